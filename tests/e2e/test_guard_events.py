"""Crashes, hangs and what the contacts themselves do, in the real firmware: each opens, is journalled, and holds over a reboot."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import ROOT
from wattseal.errors import LinkError
from wattseal.protocol.typed_data import FLAG_POWER_LOST, FLAG_TRIP

from tests.e2e.bench import Bench, mutant

BOARD = "socket_10a"
RESET, WATCHDOG = 3, 4  # exit statuses of the simulated processor
NOTICED_MS = 1_000  # a task that dies
WATCHDOG_MS = 3_000
# The task that samples does what the file `strike` in the plug's flash says.
STRIKE = (
    "plug/app.py",
    "            guard.sample(now_ms, meter)\n",
    """            guard.sample(now_ms, meter)
            if "strike" in os.listdir():
                with open("strike") as file:
                    kind = file.read()
                os.remove("strike")
                if kind == "raises":
                    raise ValueError("a mutant")
                if kind == "ends":
                    return
                while kind == "hangs":
                    await asyncio.sleep(1)
                while True:
                    clock.tick()
""",
)
READ_CRASH = """
import json, esp32
from plug.ledger import Ledger
from plug.storage.journal import Journal
print(json.dumps(Ledger(Journal(esp32.Partition("journal"))).crash()))
"""

Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a function that starts a plug, with the source changed by `edits`."""
    made: list[Bench] = []

    def start(*edits: tuple[str, str, str]) -> Bench:
        tree = mutant(tmp_path, BOARD, "x64", *edits) if edits else None
        made.append(Bench(tmp_path, BOARD, tree=tree))
        return made[-1]

    yield start
    for bench in made:
        bench.close()


def crash_journalled(bench: Bench) -> dict[str, Any]:
    """Return what the journal holds of the last crash, read as a service would."""
    environment = os.environ | {"MICROPYPATH": f"{ROOT / 'firmware/sim'}:{bench.tree}:.frozen"}
    command = [ROOT / "build/bin/micropython-x64", "-c", READ_CRASH]
    done = subprocess.run(command, cwd=bench.folder / "flash", env=environment, capture_output=True, text=True, check=True)
    crash: dict[str, Any] = json.loads(done.stdout)
    return crash


def strike(bench: Bench, kind: str) -> tuple[int, int]:
    """Have the sampling task go wrong; return the process's exit status and after how many ms it ended."""
    at_ms = bench.plug.ask(cmd="state")["at_ms"]
    (bench.folder / "flash/strike").write_text(kind)
    with pytest.raises(LinkError):
        bench.plug.run(10)
    status = bench.plug.wait()
    ended = re.findall(r"simulator: .* at (\d+) ms", bench.plug.log.read_text())
    return status, int(ended[-1]) - at_ms


def test_a_task_that_dies_opens_is_journalled_and_the_third_within_an_hour_latches(make: Make) -> None:
    bench = make(STRIKE)
    for kind, error, trip in (("raises", "ValueError", "watchdog"), ("ends", "TaskDied", "watchdog"), ("hangs", "TaskDied", "watchdog_loop")):
        bench.start()
        bench.plug.run(5)
        status, after_ms = strike(bench, kind)
        assert status == RESET, kind
        assert after_ms <= NOTICED_MS, kind  # the reset comes after the coil is low and the journal is written
        crash = crash_journalled(bench)
        assert crash["error"] == error
        assert "a mutant" in crash["message"] if kind == "raises" else "meter" in crash["message"]

        bench.boot(reset_cause="reset")
        assert bench.status["trip"] == trip
        bench.plug.run(5)
        assert bench.expect_final()["flags"] & FLAG_TRIP
        assert bench.newest_status()["trip"] == (None if trip == "watchdog" else trip)
    assert bench.refusal(type="voucher", voucher={}, signature="") == "tripped"
    assert bench.refusal(type="clear_trip") == "tripped"
    bench.plug.kill()
    bench.boot()
    assert bench.status["trip"] == "watchdog_loop"


def test_a_hang_of_everything_is_ended_by_the_watchdog_and_is_a_trip_at_the_next_boot(make: Make) -> None:
    bench = make(STRIKE)
    bench.start()
    bench.plug.run(5)
    status, after_ms = strike(bench, "spins")
    assert status == WATCHDOG
    assert after_ms <= WATCHDOG_MS + 100
    bench.boot(reset_cause="watchdog")
    assert bench.status["trip"] == "watchdog"
    assert bench.status["contactor"] == 0
    bench.plug.run(5)
    assert bench.expect_final()["flags"] & FLAG_TRIP
    assert bench.newest_status()["trip"] is None


def test_the_seventh_closing_within_an_hour_is_chatter(make: Make) -> None:
    bench = make()
    for _ in range(6):
        session = bench.start()
        bench.plug.run(1)
        bench.stop(session)
        bench.plug.run(4)
        bench.expect_final()
    bench.start(closes=False)
    state = bench.plug.run(5)
    assert state["coil_high_at_us"] < state["coil_low_at_us"]
    assert bench.expect_final()["flags"] & FLAG_TRIP
    assert bench.newest_status()["trip"] == "chatter"
    assert bench.refusal(type="clear_trip") == "tripped"


@pytest.mark.parametrize("pole", ["line", "neutral"])
def test_a_pole_that_is_closed_at_boot_is_told_apart_from_one_that_welds(make: Make, pole: str) -> None:
    bench = make()
    session = bench.start()
    bench.plug.run(3)
    bench.plug.ask(cmd="contactor", **{pole: "welded"})
    bench.stop(session)
    bench.plug.run(5)
    bench.expect_final()
    status = bench.newest_status()
    assert (status["trip"], status["weld"], status["contactor"]) == ("weld", "welded", 0)
    assert bench.refusal(type="voucher", voucher={}, signature="") == "tripped"
    assert bench.refusal(type="clear_trip") == "tripped"
    bench.plug.ask(cmd="contactor", **{pole: "ok"})
    bench.plug.run(3)
    bench.send(type="clear_trip")
    bench.plug.run(1)
    assert bench.newest_status()["trip"] is None

    bench.plug.kill()
    bench.boot(cmd="contactor", **{pole: "welded"})
    bench.plug.run(3)
    status = bench.newest_status()
    assert (status["trip"], status["weld"]) == ("closed_at_boot", "welded")
    assert bench.refusal(type="clear_trip") == "tripped"


@pytest.mark.parametrize("pole", ["line", "neutral"])
def test_a_pole_that_does_not_close_is_stuck_open(make: Make, pole: str) -> None:
    bench = make()
    bench.plug.ask(cmd="contactor", **{pole: "stuck_open"})
    bench.start(closes=False)
    state = bench.plug.run(5)
    assert state["coil_low_at_us"] - state["coil_high_at_us"] <= 220_000
    assert bench.expect_final()["flags"] & FLAG_TRIP
    assert bench.newest_status()["trip"] == "stuck_open"


def test_an_outage_suspends_and_the_contacts_close_a_random_time_after_it(make: Make) -> None:
    bench = make()
    session = bench.start()
    bench.plug.run(3)
    at_us = bench.plug.ask(cmd="dip", voltage_mv=0, ms=20_000)["at_us"]
    state = bench.plug.run(5)
    assert 0 < state["coil_low_at_us"] - at_us <= 200_000  # the reading falls for 92 ms, and must stay there for 60
    status = bench.newest_status()
    assert (status["state"], status["trip"]) == ("suspended", None)
    bench.plug.run(15)
    over_ms = bench.plug.ask(cmd="state")["at_ms"]
    state = bench.plug.run(320, "contactor_closed")
    assert state["contacts"] == 1
    assert 30_000 <= state["at_ms"] - over_ms <= 310_000
    bench.stop(session)
    bench.plug.run(4)
    assert bench.expect_final()["flags"] & FLAG_POWER_LOST


def test_the_third_brown_out_within_ten_minutes_locks_out(make: Make) -> None:
    bench = make(("plug/app.py", 'int.from_bytes(os.urandom(4), "big") % limit', "0"))  # the shortest delay
    bench.start()
    for count in range(3):
        bench.plug.run(3)
        bench.plug.ask(cmd="dip", voltage_mv=0, ms=500)
        state = bench.plug.run(60, "contactor_open")
        assert state["contacts"] == 0
        if count < 2:
            assert bench.plug.run(60, "contactor_closed")["contacts"] == 1
    bench.plug.run(3)
    assert bench.expect_final()["flags"] & FLAG_TRIP
    assert bench.newest_status()["trip"] == "brown_out"
    assert bench.refusal(type="clear_trip") == "tripped"
    bench.plug.kill()
    bench.boot()
    bench.plug.run(3)
    assert bench.newest_status()["trip"] == "brown_out"


def test_worn_contacts_stay_open_until_they_are_replaced(make: Make) -> None:
    bench = make(("plug/board.py", '"wear_budget": 30000', '"wear_budget": 1'))
    bench.start()
    bench.plug.run(3)
    bench.plug.ask(cmd="overload", current_ma=10_000, ms=5_000)
    bench.plug.run(6)
    assert bench.newest_status()["trip"] == "overload"
    bench.send(type="clear_trip")
    bench.plug.run(1)
    assert bench.newest_status()["trip"] == "wear"
    assert bench.refusal(type="clear_trip") == "tripped"
