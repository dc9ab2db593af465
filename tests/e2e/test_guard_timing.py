"""How soon the coil's pin is low after a fault, in the real firmware with the time of CPU, bus and flash charged to the virtual clock."""

import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from wattseal.protocol import signatures
from wattseal.protocol.typed_data import FLAG_METER_FAULT, FLAG_TRIP

from tests.e2e.bench import NOW, Bench, mutant

pytestmark = pytest.mark.xdist_group("guard_timing")

BOARD = "socket_10a"
HANDLING_MS = 20  # from the detection to the coil's pin
LONG_STEP_MS = 50  # the same while one of our own long steps is under way
UNSLICED_MS = 500  # the same across a C call: an erase of flash, a collection of garbage
SAMPLE_MS = 10
VOLTAGE_EVERY_MS = 2 * SAMPLE_MS  # the meter's other readings take turns
FREQUENCY_EVERY_MS = 10 * SAMPLE_MS
RMS_LAG_MS = 125  # time constant of the ADE7953's rms readings: settled in half a second
CLOSINGS = 5  # one less than what the guard allows in an hour
RATED_MA = 10_000

# Where the parts of a tree are changed for measurement.
PROBE = (
    "plug/app.py",
    "            self._sampled_ms = now_ms\n",
    "            self._sampled_ms = now_ms\n            if elapsed_ms > 14:\n                print('gap', now_ms, elapsed_ms)\n",
)
BUSY = (
    "plug/app.py",
    "            self._panel.tick(self._link.is_up)\n",
    "            self._panel.tick(self._link.is_up)\n            end = self._clock.tick() + 200\n            while self._clock.tick() < end:\n                pass\n",
)
STRONG_CONTACTS = ("plug/board.py", '"breaking_capacity_ma": 30000', '"breaking_capacity_ma": 300000')


def lag_ms(before: float, after: float, limit: float) -> float:
    """How long an rms reading takes to cross a limit after a jump."""
    return RMS_LAG_MS * math.log((after - before) / (after - limit))


def overload_ms(current_ma: float) -> float:
    """When the I2t store is full after a jump from the rated current, with the lag of the readings."""
    spent, ms = 0.0, 0
    while spent < 2000:
        reading = current_ma - (current_ma - RATED_MA) * math.exp(-ms / RMS_LAG_MS)
        spent = max(0.0, spent + (reading / (1.05 * RATED_MA)) ** 2 - 1)
        ms += 1
    return ms


@dataclass
class Fault:
    """How to strike, when docs/guard.md has it detected (at the earliest and at the latest, in ms), and the trip's code."""

    strike: list[dict[str, Any]]
    stated_ms: tuple[float, float]
    code: str
    heal: list[dict[str, Any]] = field(default_factory=list)
    lasts: bool = True  # it can be there at a boot
    flag: int = FLAG_TRIP
    refusal: str = "tripped"
    until: Callable[[dict[str, Any]], bool] | None = None  # the fault is there only when this is so
    tree: str | None = None


def mains(voltage_mv: int, limit_mv: int, stated_ms: int, code: str) -> Fault:
    shown_ms = lag_ms(230_000, voltage_mv, limit_mv)
    return Fault([{"cmd": "dip", "voltage_mv": voltage_mv, "ms": 3_600_000}], (shown_ms + stated_ms, shown_ms + stated_ms + VOLTAGE_EVERY_MS), code,
                 [{"cmd": "dip", "voltage_mv": 230_000, "ms": 1}])  # fmt: skip


def frequency(frequency_mhz: int) -> Fault:
    return Fault([{"cmd": "mains", "frequency_mhz": frequency_mhz}], (1000, 1000 + FREQUENCY_EVERY_MS), "frequency",
                 [{"cmd": "mains", "frequency_mhz": 50_000}])  # fmt: skip


def overload(current_ma: int) -> Fault:
    stated_ms = overload_ms(RATED_MA + current_ma)
    return Fault([{"cmd": "overload", "current_ma": current_ma, "ms": 60_000}], (0.98 * stated_ms, 1.02 * stated_ms), "overload", lasts=False)


def heat(spot: str, limit_mc: int, code: str) -> Fault:
    """A loose terminal, until it is too hot; what heals it is arctic air."""
    is_hot = lambda state: state[spot + "_mc"] >= limit_mc  # noqa: E731
    return Fault([{"cmd": "heat", spot + "_uohm": 1_000_000}], (350, 600), code, [{"cmd": "heat", "ambient_mc": -30_000}], lasts=False, until=is_hot)


def thermometer(spot: str, condition: str) -> Fault:
    return Fault([{"cmd": "ntc", spot: condition}], (400, 600), "temperature_sensor", [{"cmd": "ntc", spot: "ok"}])


def silence(**fault: object) -> Fault:
    heal = [{"cmd": "fault", "i2c": 0}, {"cmd": "fault", "bus_stuck": None}]
    return Fault([{"cmd": "fault", **fault}], (480, 500 + SAMPLE_MS), "meter_silent", heal, flag=FLAG_METER_FAULT, refusal="meter_fault")


def torn(pole: str) -> Fault:
    return Fault([{"cmd": "contactor", pole: "stuck_open"}], (200, 320), "stuck_open", lasts=False)  # 20 ms of it are the detector's


FAULTS = {
    "over-current, by interrupt": Fault([{"cmd": "overload", "current_ma": 60_000, "ms": 1000}], (0, 0), "over_current", lasts=False, tree="strong"),
    "over-current, held": Fault([{"cmd": "overload", "current_ma": 60_000, "ms": 1000}], (90, 100), "over_current", lasts=False),
    "over-current, broken upstream": Fault([{"cmd": "overload", "current_ma": 60_000, "ms": 15}], (20, 45), "over_current", lasts=False),
    "over-current, IC mute": Fault(
        [{"cmd": "fault", "i2c": 40}, {"cmd": "pin", "pin": 34, "level": 0}],
        (0, 0),
        "over_current",
        [{"cmd": "pin", "pin": 34, "level": None}],
        lasts=False,
    ),
    "overload 1.25": overload(2_500),
    "overload 2.0": overload(10_000),
    "over-voltage": mains(280_000, 264_500, 500, "over_voltage"),
    "under-voltage": mains(170_000, 184_000, 2000, "under_voltage"),
    "frequency high": frequency(52_000),
    "frequency low": frequency(47_000),
    "contacts hot": heat("contacts", 90_000, "contact_temperature"),
    "plug pins hot": heat("pins", 70_000, "plug_temperature"),
    "contacts' NTC open": thermometer("contacts", "open"),
    "contacts' NTC short": thermometer("contacts", "short"),
    "pins' NTC open": thermometer("pins", "open"),
    "pins' NTC short": thermometer("pins", "short"),
    "line torn off": torn("line"),
    "neutral torn off": torn("neutral"),
    "meter mute": silence(i2c=1_000_000),
    "meter's bus stuck low": silence(bus_stuck="low"),
    "meter's bus stuck high": silence(bus_stuck="high"),
}


class Plugs:
    """Plugs with closings left, and what was measured on them."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self.trees: dict[str | None, Path | None] = {None: None}
        self.table: list[str] = []
        self._running: dict[str | None, Bench] = {}
        self._closings: dict[str | None, int] = {}
        self._count = 0

    def tree(self, name: str, *edits: tuple[str, str, str]) -> str:
        """Make a changed tree, once."""
        if name not in self.trees:
            (self.folder / name).mkdir()
            self.trees[name] = mutant(self.folder / name, BOARD, "x86", *edits)
        return name

    def take(self, tree: str | None = None) -> Bench:
        """Return a plug without a trip that may close once more."""
        if self._closings.get(tree, CLOSINGS) >= CLOSINGS:
            self.drop(tree)
            self._count += 1
            self._closings[tree] = 0
            self._running[tree] = Bench(self.folder / str(self._count), BOARD, "x86", self.settings, self.trees[tree])
        self._closings[tree] += 1
        return self._running[tree]

    def drop(self, tree: str | None) -> None:
        """End a plug; the next test gets a new one."""
        if tree in self._running:
            self._running.pop(tree).close()
        self._closings.pop(tree, None)

    def note(self, what: str, stated: str, measured: str) -> None:
        """Add a line to the table."""
        self.table.append(f"{what:36} {stated:>22} {measured:>22}")


@pytest.fixture(scope="module")
def plugs(tmp_path_factory: pytest.TempPathFactory, cpu_scale: float) -> Iterator[Plugs]:
    made = Plugs(tmp_path_factory.mktemp("plugs"), {"cpu_scale": cpu_scale, "late_interrupts": True, "bus_time": True, "flash_time": True})
    made.tree("strong", STRONG_CONTACTS)
    yield made
    for tree in list(made.trees):
        made.drop(tree)
    print(f"\n{'ms from the fault to the coil pin low':36} {'stated':>22} {'measured':>22}\n" + "\n".join(made.table))


def strike(bench: Bench, fault: Fault) -> int:
    """Let the fault come about; return when, in us."""
    for command in fault.strike:
        state = bench.plug.ask(**command)
    while fault.until and not fault.until(state):
        state = bench.plug.run(0.02)
    at_us: int = state["at_us"]
    return at_us


def latency_ms(bench: Bench, fault: Fault) -> float:
    """Strike while a car draws; return the time to the coil's pin low in ms."""
    at_us = strike(bench, fault)
    state = bench.plug.run((fault.stated_ms[1] + 1500) / 1000)
    assert state["coil_low_at_us"] is not None, "the coil is still driven"
    assert state["coil_low_at_us"] >= at_us, "the coil was released before"
    if fault.code == "over_current" and fault.tree:
        at_us = state["irq_at_us"]
    return float(state["coil_low_at_us"] - at_us) / 1000


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_opens_in_time_is_in_the_receipt_and_stays_over_a_reboot(plugs: Plugs, name: str) -> None:
    fault = FAULTS[name]
    bench = plugs.take(fault.tree)
    try:
        bench.start()
        bench.plug.run(3)
        measured_ms = latency_ms(bench, fault)
        least_ms, most_ms = fault.stated_ms
        plugs.note(name, f"{least_ms:.0f} to {most_ms:.0f}", f"{measured_ms:.1f}")
        assert least_ms - 1 <= measured_ms <= most_ms + HANDLING_MS

        bench.plug.run(2)
        assert bench.expect_final()["flags"] & fault.flag
        status = bench.newest_status()
        assert (status["guard"], status["trip"], status["contactor"]) == ("tripped", fault.code, 0)
        assert bench.refusal(type="voucher", voucher={}, signature="") == fault.refusal
        if fault.lasts:
            assert bench.refusal(type="clear_trip") == "tripped"

        bench.plug.kill()
        bench.boot()
        if fault.lasts:
            strike(bench, fault)
        bench.plug.run(2)
        assert bench.newest_status()["trip"] == fault.code
        assert bench.refusal(type="voucher", voucher={}, signature="") == fault.refusal
        if fault.lasts:
            assert bench.refusal(type="clear_trip") == "tripped"
            for command in fault.heal:
                bench.plug.ask(**command)
        bench.plug.run(3)
        bench.send(type="clear_trip")
        assert bench.newest_status()["trip"] is None
    except BaseException:
        plugs.drop(fault.tree)
        raise
