"""Power is cut in every erase and program of a plug's first three sessions: the real firmware boots on what is left, and nothing reported is lost."""

import importlib.util
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from wattseal.protocol.typed_data import FLAG_FINAL, FLAG_METER_FAULT, FLAG_POWER_LOST, FLAG_TRIP

HERE = Path(__file__).parent


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


boot_server = load("boot_server", HERE / "boot_server.py")
recorded_session = load("recorded_session", HERE / "recorded_session.py")
power_cut = load("power_cut", HERE.parent / "power_cut.py")

SIZE = 0x40000
SAMPLES_SECTORS = 20
SAMPLES_END = SAMPLES_SECTORS * power_cut.SECTOR
RECOVERIES = 60
EVERY = 20  # of the whole prefixes one is booted as a process, over the link
SESSIONS = 4 * 3653  # in ten years
MEAN_WH = 9_330  # of a session at Caltech (docs/decisions.md)
COUNTED = 24  # of them are run through the journal
MOST_ERASES = 20_000
MOST_LOST_MWH = 10_000
MOST_LOST_MS = 60_000
pytestmark = pytest.mark.xdist_group("power_cuts")  # they share a recording
TAG = 2 + 22  # of a session's hex


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
        recorded_session.moments(log, facts),
        received,
        facts,
        (folder / "flash/config.json").read_text(),
        time.monotonic() - start,
    )


@pytest.fixture(scope="module")
def server(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    running = boot_server.Server(tmp_path_factory.mktemp("boots") / "flash", recording.config)
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
        first = self.recording.facts["sessions"][0]
        if moment.may_drop:  # it was settled long before, and does not come back while it is dropped
            assert state["session"] != first, where
            assert first[2:TAG] not in state["unpaid"], where
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
            in_flash = booted["receipt"] if booted["session"] == receipt["session"] else None
            for before in filter(None, (moment.sessions.get(receipt["session"]), in_flash)):
                assert receipt["sequence"] >= before["sequence"], where
                assert receipt["energyWh"] >= before["energyWh"], where
                assert receipt["activeSeconds"] >= before["activeSeconds"], where
                assert receipt["asOf"] >= before["asOf"], where
                assert receipt["registerWh"] == before["registerWh"], where
        spans = sorted((receipt["registerWh"], receipt["registerWh"] + receipt["energyWh"]) for receipt in finals)
        for (_, end), (start, _) in pairwise(spans):
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


def test_every_cut(recording: Recording, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
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

    (server.folder / "image").write_bytes(power_cut.blank(SIZE))
    server.run(("rebase", "image"))
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


def test_cuts_in_recovery(recording: Recording, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """After a cut the plug boots and ends its session; power is cut again in each erase and program of that."""
    start = time.monotonic()
    random, judge = Random(2), Judge(recording)
    utc = recorded_session.NOW + 3_600
    whole = [number for number, moment in enumerate(recording.moments) if moment.has_key]
    charging = [number for number in whole if recording.moments[number].sessions and not recording.moments[number].finals]
    chosen = {number: random.choice(("before", "programmed 2/4")) for number in random.sample(charging, RECOVERIES - 10) + random.sample(whole, 10)}
    tested = total = 0
    for cut in power_cut.cuts(recording.operations, power_cut.blank(SIZE), Random(3)):
        wanted = chosen.get(cut.number)
        if wanted is None or not (cut.name == wanted or (cut.name == "erased 128/256" and wanted != "before")):
            continue
        image, secret = cut.image(), judge.secret(cut.number)
        (server.folder / "image").write_bytes(image)
        _, booted, ended, log = server.run(("load", "image"), ("boot", secret), ("finish", utc), ("take_log",))
        inner = [power_cut.Operation(offset, length, bytes.fromhex(data) if letter == "P" else None) for letter, offset, length, data in log]
        assert len(inner) >= 2  # what stood last is programmed again
        server.run(("rebase", "image"))
        base = 0
        for second in power_cut.cuts(inner, bytearray(image), random):
            for operation in inner[base : second.number]:  # the server's base follows
                server.run(("patch", operation.offset, second.flash[operation.offset : operation.offset + operation.length].hex()))
            base = second.number
            if second.name not in ("before", "after") and random.randrange(3):
                continue
            total += 1
            where = f"cut in operation {cut.number} ({cut.name}), then in the recovery's {second.number} ({second.name})"
            patches = [(second.offset, second.content.hex())] if second.content else []
            _, again, end, last = server.run(("case", patches), ("boot", secret), ("finish", utc), ("boot", None))
            judge.check(cut.number, where, again)
            judge.check_end(cut.number, where, again, end)
            assert again["register_mwh"] == booted["register_mwh"], where
            assert set(end["ended"]) == set(ended["ended"]), where
            for tag, receipt in again["ended"].items():  # what was final stays as it was
                assert receipt == ended["ended"][tag], where
            assert last["ended"] == end["ended"], where
            tested += 1
    with capsys.disabled():
        print(f"\npower cuts in recovery: {len(chosen)} recoveries, tested {tested} / {total} second cuts, {time.monotonic() - start:.0f} s")  # noqa: T201
    assert len(chosen) >= 50
    assert tested == total


def test_over_the_link(recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole firmware boots after a cut: it sends what it had reported, and ends the session or goes on with it."""
    start = time.monotonic()
    tested = resumed = 0
    for cut in power_cut.cuts(recording.operations, power_cut.blank(SIZE), Random(4)):
        if cut.number % EVERY or cut.name != ("before", "programmed 2/4")[cut.number // EVERY % 2]:
            continue
        where = f"cut in operation {cut.number} ({cut.name})"
        moment = recording.moments[cut.number]
        folder = tmp_path / str(cut.number)
        (folder / "flash").mkdir(parents=True)
        (folder / "flash/flash.bin").write_bytes(cut.image())
        if moment.has_key:
            (folder / "flash/nvs.json").write_text(json.dumps({"wattseal": {"blob:key": recording.facts["key"]}}))
        plug = recorded_session.Plug(folder, car={"energy_wh": 5_000, "current_ma": 10_000})
        try:
            tested += 1
            resumed += follow(plug, moment, where, resume=tested % 2 == 0)
        finally:
            plug.close()
    with capsys.disabled():
        print(f"\npower cuts over the link: {tested} boots, {resumed} sessions went on, {time.monotonic() - start:.0f} s")  # noqa: T201
    assert tested >= len(recording.operations) // EVERY
    assert resumed >= 5


def follow(plug: Any, moment: Any, where: str, *, resume: bool) -> bool:
    """Check what a plug sends after a cut, end its session; return whether that went on before."""
    plug.run(1)
    plug.answers()
    sent = {}
    for message in plug.received:
        if message["type"] == "receipt":
            sent[message["receipt"]["session"]] = message["receipt"]
    open_sessions = {session: receipt for session, receipt in moment.sessions.items() if session not in moment.over}
    for session, receipt in open_sessions.items():
        if receipt is None:
            continue
        assert session in sent, (where, "a reported receipt is not sent", receipt)
        assert sent[session]["sequence"] >= receipt["sequence"], where
        if session in moment.finals:
            assert sent[session] == receipt, where
    session = plug.status["session"]
    if session is None:
        assert all(receipt["flags"] & FLAG_FINAL for receipt in sent.values()), where
        return False
    plug.utc = recorded_session.NOW + 20 * recorded_session.DAY_S if moment.may_drop else recorded_session.NOW + moment.ms // 1000
    plug.send(type="time", utc=plug.utc)
    went_on = False
    if resume and plug.status["state"] == "suspended":
        plug.send(type="lock", session=session)
        went_on = plug.run(400, "contactor_closed")["contacts"] == 1
        assert went_on, where
        plug.run(60)
    if not (session in sent and sent[session]["flags"] & FLAG_FINAL):
        plug.send(type="end", session=session)
    state = plug.run(10)
    plug.answers()
    final = [message["receipt"] for message in plug.received if message["type"] == "receipt" and message["receipt"]["session"] == session][-1]
    assert final["flags"] & FLAG_FINAL, where
    delivered_mwh = moment.register_mwh + state["true_mwh"] * 1.001
    assert (final["registerWh"] + final["energyWh"]) * 1000 <= max(delivered_mwh, final["registerWh"] * 1000), where
    before = moment.sessions.get(session)
    if before is not None:
        assert final["registerWh"] == before["registerWh"], where
        assert final["energyWh"] >= before["energyWh"] + (30 if went_on else 0), where
    return went_on


def test_wear(recording: Recording, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten years of mean sessions, from what the recorded one wrote, through the real ledger and journal with all the sessions it can hold."""
    samples = [operation for operation in recording.operations if operation.data is not None and operation.offset < SAMPLES_END]
    per_kwh = len(samples) / (recording.moments[-1].register_mwh / 1e6)
    for number, cut in enumerate(power_cut.cuts(recording.operations, power_cut.blank(SIZE), Random(5))):
        last = cut if number == power_cut.total(recording.operations) - 1 else None
    (server.folder / "image").write_bytes(last.image())
    samples, worst = round(per_kwh * MEAN_WH / 1000), 0
    for current, watts in (("16 A", 3_680), ("6 A", 1_380)):  # the most that this plug gives, and the least that a car is told to draw
        receipts = max(MEAN_WH // 250, round(MEAN_WH / watts * 12)) + 1
        _, _, erases = server.run(("load", "image"), ("boot", recording.facts["key"]), ("wear", COUNTED, samples, receipts))
        assert "error" not in erases, erases
        ten_years = [erased * SESSIONS // COUNTED for erased in erases]
        worst = max(worst, *ten_years)
        with capsys.disabled():
            print(  # noqa: T201
                f"\nwear in ten years at {current}: {SESSIONS} sessions of {samples} samples and {receipts} receipts, {sum(ten_years)} erases, "
                f"worst sector of samples {max(ten_years[:SAMPLES_SECTORS])}, of documents {max(ten_years[SAMPLES_SECTORS:])}"
            )
    assert worst <= MOST_ERASES
