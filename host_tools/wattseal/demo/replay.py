"""Replays real charging sessions through the whole path: plug, relay, gateway, chain. Chain time follows the plug's virtual time."""

import json
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from wattseal.demo import lies
from wattseal.demo.charges import Charge
from wattseal.demo.driver import CAP, Driver
from wattseal.demo.lies import Forged
from wattseal.demo.lying_upstream import lying_upstream
from wattseal.demo.processes import CHAIN_ID, Chain, RelayProcess, SimulatedBeaconProcess, SimulatedPlug
from wattseal.errors import ConfigError, LinkError
from wattseal.gateway.connect import ChainSettings, connect
from wattseal.gateway.submit import deploy
from wattseal.protocol import signatures
from wattseal.protocol.messages import to_hex
from wattseal.protocol.typed_data import FLAG_FINAL

BOARD = "desk_16a"
CAR_CURRENT_MA = 16_000
METER_ERROR_PPM = 1_000  # stated for the board's meter: 0.1 %
SLICE_S = 60
WAIT_S = 30.0
FUNDS_WEI = 10**18
MARKER = ".wattseal-demo"

Found = TypeVar("Found")


@dataclass
class Outcome:
    """One replayed session. Powers are (UTC seconds, W at the contacts), receipts (asOf, energyWh)."""

    charge: Charge
    session: str
    true_wh: float = 0
    metered_wh: float = 0
    billed_wh: int = 0
    settlement: dict[str, Any] = field(default_factory=dict)
    final: bool = False
    power: list[tuple[int, float]] = field(default_factory=list)
    receipts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def over_billed_wh(self) -> float:
        """What was billed beyond the true energy and the meter's stated error."""
        return max(0.0, self.billed_wh - self.true_wh * (1 + METER_ERROR_PPM / 1e6))


def wait_for(what: str, look: Callable[[], Found | None]) -> Found:
    """Return the first answer of `look` that is not None; raise LinkError after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise LinkError(f"{what} did not come within {WAIT_S:g} s")
        time.sleep(0.01)  # another process is at work, and its page is all there is to look at
    return found


def _empty(folder: Path) -> None:
    """Empty a folder that an earlier replay made; raise ConfigError for one that holds anything else."""
    marker = folder / MARKER
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds files that no demo made: name an empty or a new folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()


class Replay:
    """Chain, simulated beacon, relay and one simulated plug below `folder`, which is emptied first if an earlier replay made it."""

    def __init__(self, folder: Path, start: int, *, board: str = BOARD, port: str = "x64", forged: Forged | None = None, alone: bool = False) -> None:
        """With `forged` the relay's first upstream lies, and no other stands behind it where it is `alone`. Everybody else asks the chain itself."""
        _empty(folder)
        self._folder = folder
        self._board = board
        self._port = port
        self._relay_key = secrets.token_bytes(32)
        self.host = signatures.address(secrets.token_bytes(32))
        self.relay_port = 0
        self.chain = Chain(folder, start)
        self.chain.fund(signatures.address(self._relay_key), FUNDS_WEI)
        self.beacon = SimulatedBeaconProcess(folder, self.chain)
        self.verified = connect(ChainSettings(chain_id=CHAIN_ID, rpc=(self.chain.url,), simulated_beacon=self.beacon.url))
        self.contract = deploy(self.verified, self._relay_key)
        self.forged = forged
        self.forgeries: list[str] = []
        self._exits = ExitStack()
        self._upstreams = [] if alone else [self.chain.url]
        if forged is not None:
            self.liar = self._exits.enter_context(lying_upstream(self.chain.url))
            self.liar.lie = lies.lie(forged, self.host, self.forgeries.append)
            self._upstreams.insert(0, self.liar.url)
        self.relay = self.start_relay()
        self.plug = self.start_plug()

    def __enter__(self) -> "Replay":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.plug, self.relay, self.beacon, self.chain):
            process.kill()
        self._exits.close()

    def start_relay(self) -> RelayProcess:
        """Start the relay, or start it again on the same store."""
        relay = RelayProcess(self._folder, self._upstreams, self.beacon, self.contract, self._relay_key, self.relay_port)
        self.relay_port = relay.port
        return relay

    def start_plug(self, car: dict[str, int] | None = None) -> SimulatedPlug:
        """Start the plug, or start it again on the same flash, with a car at it or an empty socket."""
        self._utc_at_zero = self.chain.timestamp()
        terms = {"host": to_hex(self.host), "utc_offset_min": 0, "tariff": [], "schedule": [], "button": False, "site": False}
        return SimulatedPlug(self._folder, self._board, self._port, self.contract, self.relay_port, car=car, config={"terms": terms})

    def let_pass(self, seconds: float, until: str | None = None) -> dict[str, Any]:
        """Let time pass for the plug and then for the chain; return the world's state."""
        state = self.plug.run(seconds, until)
        self.chain.follow(self.utc(state))
        return state

    def utc(self, state: dict[str, Any]) -> int:
        """Return the UTC second of a state of the world."""
        return self._utc_at_zero + int(state["at_ms"] // 1000)

    def page(self) -> dict[str, Any] | None:
        """Return what the relay's API says of the plug, once it is connected."""
        plugs: list[dict[str, Any]] = self.relay.get("/plugs")["plugs"]
        return next((plug for plug in plugs if plug["connected"]), None)

    def connected(self) -> dict[str, Any]:
        """Let the plug join and wait until it is idle with an offer; return its page."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            self.plug.run(0.5)
            page = self.page()
            if page is not None and page["offers"]:
                return page
            time.sleep(0.01)
        raise LinkError(f"the plug made no offer within {WAIT_S:g} s; see {self.plug.log} and {self.relay.log}")

    def charging(self, session: str) -> None:
        """Let time pass in small steps until the contacts are closed for a session, after an outage up to the guard's longest delay."""
        deadline = time.monotonic() + WAIT_S
        while not self.let_pass(0.5, "contactor_closed")["contacts"]:
            if time.monotonic() > deadline:
                raise LinkError(f"the plug did not start session {session}; see {self.plug.log} and {self.relay.log}")
            time.sleep(0.01)

    def settled(self, session: str, states: tuple[str, ...] = ("included", "settled")) -> dict[str, Any]:
        """Wait until the relay says that the session's settlement is in one of these states (at first: in a block) and return it."""

        def look() -> dict[str, Any] | None:
            settlements = self.relay.get(f"/sessions/{session}")["settlements"]
            return settlements[-1] if settlements and settlements[-1]["state"] in states else None

        return wait_for(f"the settlement of {session}", look)

    def wait_until_final(self, outcome: Outcome) -> None:
        """Wait until the relay counts a settlement, and until its block is final as a light client that is not the relay's sees it."""
        outcome.settlement = self.settled(outcome.session, ("settled",))
        number, block_hash = outcome.settlement["block_number"], outcome.settlement["block_hash"]
        finalized = self.verified.finalized
        if finalized is None or block_hash is None:
            return

        def look() -> bool | None:
            return True if finalized().number >= number else None

        wait_for(f"finality of block {number}", look)
        outcome.final = to_hex(self.verified.headers.by_number(number).hash) == block_hash

    def refusal(self) -> str:
        """Wait until the relay has refused what its upstream forged; return who forged what, and what refused it, in one line."""
        caught = wait_for("the refusal of a forged answer", self.relay.caught)
        if self.forged is None or not self.forgeries:
            raise LinkError(f"{caught['upstream']} was caught lying, but was not told to: {caught['lie']}; see {self.relay.log}")
        why = lies.REFUSED_BY[self.forged]
        return f"{caught['upstream']} forged {self.forgeries[0]}. The relay's gateway refused it: {why} ({caught['lie']})"

    def driver(self, key: bytes) -> Driver:
        """Return a driver with money for a session."""
        driver = Driver(self.verified, self.contract, key)
        self.chain.fund(driver.wallet.address, 2 * CAP)
        return driver

    def replay(self, charge: Charge, progress: Callable[[float], None]) -> Outcome:
        """Replay one visit and wait until it is paid in a block. `progress` is told the energy so far in Wh."""
        outcome = self.deliver(charge, progress)
        outcome.settlement = self.settled(outcome.session)
        return outcome

    def deliver(self, charge: Charge, progress: Callable[[float], None]) -> Outcome:
        """Replay one visit: the car takes its energy, and the session ends idle or at its driver's departure. What is paid is not waited for."""
        page = self.connected()
        register_before_mwh = page["status"]["register_mwh"] if page["status"] else 0
        driver = self.driver(secrets.token_bytes(32))
        offer = self.relay.get(f"/plugs/{page['plug']}/offer")
        session = driver.start(self.relay, driver.voucher(offer, self.host))
        outcome = Outcome(charge, session)
        state = self.plug.ask(cmd="plug_in", energy_wh=charge.energy_wh, current_ma=CAR_CURRENT_MA)
        true_before_mwh = state["true_mwh"]
        self.charging(session)
        leaves_at = self.utc(state) + charge.departure - charge.arrival
        while state["contacts"] or not outcome.power:
            state = self.let_pass(SLICE_S, "contactor_open")
            outcome.power.append((self.utc(state), state["power_mw"] / 1000))
            outcome.true_wh = (state["true_mwh"] - true_before_mwh) / 1000
            progress(outcome.true_wh)
            if state["car_full"] and state["contacts"] and self.utc(state) >= leaves_at:
                driver.stop(self.relay, session)
                leaves_at += SLICE_S
        self.let_pass(5)
        self.plug.ask(cmd="unplug")
        wait_for("the final receipt", lambda: self._final_receipt(session))
        self._add_receipts(outcome)
        status = self.connected()["status"]
        outcome.metered_wh = (status["register_mwh"] - register_before_mwh) / 1000
        return outcome

    def _final_receipt(self, session: str) -> bool | None:
        newest = self.relay.get(f"/sessions/{session}/receipts")["receipts"][-1:]
        return True if newest and newest[0]["receipt"]["flags"] & FLAG_FINAL else None

    def _add_receipts(self, outcome: Outcome) -> None:
        page = self.relay.get(f"/sessions/{outcome.session}/receipts")
        outcome.receipts = [(message["receipt"]["asOf"], message["receipt"]["energyWh"]) for message in page["receipts"]]
        newest = page["receipts"][-1]["receipt"]
        voucher = self.relay.get(f"/sessions/{outcome.session}")["voucher"]
        outcome.billed_wh = min(newest["energyWh"], voucher["maxPowerW"] * newest["activeSeconds"] // 3600)


def summary(outcomes: list[Outcome], basis: str) -> dict[str, Any]:
    """Return what summary.json holds; `basis` says what the proofs rest on."""
    sessions = [
        {
            "true_wh": round(outcome.true_wh, 3),
            "metered_wh": round(outcome.metered_wh, 3),
            "billed_wh": outcome.billed_wh,
            "paid": outcome.settlement["paid"],
            "gas": outcome.settlement["gas_used"],
            "tx": outcome.settlement["tx_hash"],
            "block": outcome.settlement["block_number"],
            "proof_verified": outcome.settlement["proof_verified"],
            "final": outcome.final,
        }
        for outcome in outcomes
    ]
    over_billed_wh = round(sum(outcome.over_billed_wh for outcome in outcomes), 3)
    ok = over_billed_wh == 0 and all(session["proof_verified"] and session["final"] and session["paid"] for session in sessions)
    shown_wh = int(over_billed_wh) if over_billed_wh == int(over_billed_wh) else over_billed_wh
    return {"sessions": sessions, "over_billed_wh": shown_wh, "basis": basis, "ok": ok}


def write_summary(path: Path, outcomes: list[Outcome], basis: str) -> dict[str, Any]:
    """Write summary.json and return its content."""
    result = summary(outcomes, basis)
    path.write_text(json.dumps(result, indent=2) + "\n")
    return result
