"""Power is cut in every erase and program of a plug's first three sessions: the real firmware boots on what is left, and nothing reported is lost."""

import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from wattseal.demo.processes import ROOT, _wiring
from wattseal.protocol.typed_data import FLAG_FINAL, FLAG_METER_FAULT, FLAG_POWER_LOST, FLAG_TRIP

HERE = Path(__file__).parent


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorded_session = load("recorded_session", HERE / "recorded_session.py")
power_cut = load("power_cut", HERE.parent / "power_cut.py")

SIZE = 0x40000
SAMPLES_END = 20 * power_cut.SECTOR
RECOVERIES = 60
EVERY = 20  # of the whole prefixes one is booted as a process, over the link
MOST_LOST_MWH = 10_000
MOST_LOST_MS = 60_000
TAG = 2 + 22  # of a session's hex


class Server:
    """A process of power_cut_server.py."""

    def __init__(self, folder: Path, config: str) -> None:
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "sim.json").write_text(json.dumps(_wiring(recorded_session.BOARD)))
        path = [ROOT / "firmware/sim", ROOT / "build/firmware" / recorded_session.BOARD / "x64"]
        environment = {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "WATTSEAL_SIM": str(folder / "sim.json")}
        self.folder = folder
        self._process = subprocess.Popen(
            [ROOT / "build/bin/micropython-x64", "-X", "heapsize=16m", HERE / "power_cut_server.py"],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *commands: tuple) -> list[Any]:
        """Run commands; return their results."""
        self._process.stdin.write(json.dumps(commands) + "\n")
        self._process.stdin.flush()
        while True:
            line = self._process.stdout.readline()
            assert line, "the server has ended"
            if line.startswith("@"):
                return json.loads(line[1:])

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


@dataclass
class Recording:
    operations: list[Any]
    moments: list[Any]
    received: list[dict[str, Any]]
    facts: dict[str, Any]
    config: str
    seconds: float


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    start = time.monotonic()
    folder = tmp_path_factory.mktemp("recording")
    log, received, facts = recorded_session.record(folder)
    return Recording(
        power_cut.read_log(recorded_session.operations_only(log)),
        recorded_session.moments(log, facts["claims_over"]),
        received,
        facts,
        (folder / "flash/config.json").read_text(),
        time.monotonic() - start,
    )


@pytest.fixture(scope="module")
def server(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("boots") / "flash", recording.config)
    yield running
    running.close()


def samples_before(recording: Recording) -> list[tuple[int, int]]:
    """Return for each operation and the end (register in the newest whole sample, ms when it was begun); before the first one zeros."""
    found, newest = [], (0, 0)
    for operation, moment in zip(recording.operations, recording.moments, strict=False):
        found.append(newest)
        if operation.data is not None and operation.offset < SAMPLES_END and len(operation.data) == 64:
            newest = (int.from_bytes(operation.data[12:20], "little"), moment.ms)
    return [*found, newest]


class Judge:
    """Says what a boot after a cut must hold."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.samples = samples_before(recording)
        self.lost_mwh = self.lost_ms = 0  # the most

    def secret(self, number: int) -> str:
        return self.recording.facts["key"] if self.recording.moments[number].has_key else ""

    def check(self, number: int, where: str, state: dict[str, Any]) -> None:
        """Check what the first boot holds."""
        moment = self.recording.moments[number]
        assert "error" not in state, (where, state)
        assert state["damaged"] == 0, where
        assert state["contactor"] is False, where
        # The register: nothing that did not flow, at most 10 Wh or 60 s less than what did.
        register_mwh, sample_ms = self.samples[number]
        assert state["register_mwh"] == register_mwh, where
        assert register_mwh <= moment.register_mwh, where
        assert register_mwh <= moment.true_mwh * 1.001 + 1, where
        lost_mwh = moment.register_mwh - register_mwh
        assert lost_mwh <= MOST_LOST_MWH, (where, lost_mwh)
        if lost_mwh:
            lost_ms = moment.ms - sample_ms
            assert lost_ms <= MOST_LOST_MS, (where, lost_ms)
            self.lost_ms = max(self.lost_ms, lost_ms)
        self.lost_mwh = max(self.lost_mwh, lost_mwh)
        for session, receipt in moment.sessions.items():
            self.check_session(moment, session, receipt, state, where)

    def check_session(self, moment: Any, session: str, reported: dict[str, Any] | None, state: dict[str, Any], where: str) -> None:
        """Check that a session that was reported is there, with its newest receipt or a newer one."""
        running = state["session"] == session
        ended = session[2:TAG] in state["ended"]
        receipt = state["receipt"] if running else state["ended"].get(session[2:TAG])
        if moment.may_drop and session != self.recording.facts["sessions"][2] and receipt is None:
            assert not running, where
            return
        assert running or ended, (where, "a reported session is gone", session)
        if reported is not None:
            assert receipt is not None, (where, "a reported receipt is gone", reported)
            assert receipt["sequence"] >= reported["sequence"], where
            if receipt["sequence"] == reported["sequence"] or reported["flags"] & FLAG_FINAL:
                assert receipt == reported, where
        if receipt is not None:
            self.check_receipt(moment, receipt, where)

    def check_receipt(self, moment: Any, receipt: dict[str, Any], where: str) -> None:
        assert (receipt["registerWh"] + receipt["energyWh"]) * 1000 <= max(moment.register_mwh, receipt["registerWh"] * 1000), where

    def check_end(self, number: int, where: str, booted: dict[str, Any], state: dict[str, Any]) -> None:
        """Check what is there when the host has ended what went on: one final receipt a session, no energy in two of them."""
        moment = self.recording.moments[number]
        assert "error" not in state, (where, state)
        assert state["state"] == "idle", where
        assert state["register_mwh"] == booted["register_mwh"], where
        assert set(state["ended"]) == set(booted["ended"]) | ({booted["session"][2:TAG]} if booted["session"] else set()), where
        for tag, receipt in booted["ended"].items():
            assert state["ended"][tag] == receipt, where
        finals = [receipt for receipt in state["ended"].values() if receipt is not None]
        assert all(receipt["flags"] & FLAG_FINAL for receipt in finals), where
        for receipt in finals:
            self.check_receipt(moment, receipt, where)
            before = moment.sessions.get(receipt["session"])
            if before is not None:
                assert receipt["energyWh"] >= before["energyWh"], where
                assert receipt["registerWh"] == before["registerWh"], where
        spans = sorted((receipt["registerWh"], receipt["registerWh"] + receipt["energyWh"]) for receipt in finals)
        for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
            assert start >= end, (where, "energy in two sessions", spans)


def test_the_recording(recording: Recording) -> None:
    """What the cuts rest on: it holds all that the plug writes, and marks tell what the relay received."""
    first, second, third = recording.facts["sessions"]
    receipts = [message["receipt"] for message in recording.received if message["type"] == "receipt"]
    newest = recording.moments[-1].sessions
    assert {receipt["session"]: receipt for receipt in receipts} == newest
    assert newest[first]["sequence"] >= 12
    assert newest[first]["flags"] & FLAG_POWER_LOST
    assert newest[second]["flags"] & (FLAG_TRIP | FLAG_METER_FAULT) == FLAG_TRIP
    assert newest[third]["energyWh"] == 0
    assert all(receipt["flags"] & FLAG_FINAL for receipt in newest.values())
    assert sum(operation.data is None for operation in recording.operations) >= 5
    assert recording.facts["idle_bytes"] == 0, "an idle hour wrote to the flash"


def test_every_cut(recording: Recording, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    operations, judge = recording.operations, Judge(recording)
    total, base = power_cut.total(operations), 0
    tested = {True: 0, False: 0}  # whole prefixes, torn
    batch, wanted = [], []

    def run_batch() -> None:
        results = server.run(*batch) if batch else []
        for (number, name), place in zip(wanted, range(0, len(results), 5), strict=True):
            where = f"cut in operation {number} ({name})"
            _, booted, ended, again, end = results[place : place + 5]
            judge.check(number, where, booted)
            judge.check_end(number, where, booted, ended)
            assert again == end, where
            assert {key: again[key] for key in ("register_mwh", "ended", "unpaid", "state")} == {
                key: ended[key] for key in ("register_mwh", "ended", "unpaid", "state")
            }, where
            tested[name in ("before", "after")] += 1
        batch.clear()
        wanted.clear()

    for cut in power_cut.cuts(operations, power_cut.blank(SIZE), Random(1)):
        while base < cut.number:  # the server's base follows
            run_batch()
            place = operations[base].offset
            server.run(("patch", place, cut.flash[place : place + operations[base].length].hex()))
            base += 1
        patches = [(cut.offset, cut.content.hex())] if cut.content else []
        utc = recorded_session.NOW + 3_600
        batch += [("case", patches), ("boot", judge.secret(cut.number)), ("finish", utc), ("boot", None), ("finish", utc)]
        wanted.append((cut.number, cut.name))
    run_batch()
    prefixes = len(operations) + 1
    with capsys.disabled():
        print(  # noqa: T201
            f"\npower cuts: tested {tested[True]} / {prefixes} prefixes, {tested[False]} / {total - prefixes} torn variants, "
            f"{time.monotonic() - start:.0f} s after {recording.seconds:.0f} s of recording; "
            f"at most {judge.lost_mwh} mWh and {judge.lost_ms} ms lost"
        )
    assert tested[True] == prefixes
    assert sum(tested.values()) == total
