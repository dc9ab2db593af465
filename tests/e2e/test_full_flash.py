"""A flash full of unsettled sessions, over the link: no new session starts, no receipt is lost, and a power cut in any write changes neither."""

import importlib.util
import json
import os
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).parent
boot_server = load("boot_server", HERE / "boot_server.py")
recorded_session = load("recorded_session", HERE / "recorded_session.py")
power_cut = load("power_cut", HERE.parent / "power_cut.py")

CAPACITY = 32
ROUNDS = 30  # of settled sessions, until the log of documents goes round and copies those that are not
CUT_ROUNDS = 2  # of them with a cut in every write
SIZE = 0x40000
TAG = 2 + 22


def never_started(plug: Any) -> tuple[str, dict[str, Any]]:
    """Have a session that the host ends before it starts; return it and its final receipt."""
    session = plug.authorise()
    plug.send(type="end", session=session)
    plug.run(3)
    receipt = plug.final()
    assert receipt["session"] == session
    return session, receipt


def settle(plug: Any, session: str, receipt: dict[str, Any]) -> None:
    plug.send(type="ack", session=session, sequence=receipt["sequence"], status="stored")
    plug.send(type="settled", session=session)
    plug.answers()


def resent(plug: Any) -> dict[str, dict[str, Any]]:
    """Cut the power; return the receipts that the plug sends then, by session."""
    plug.received.clear()
    plug.power_cut()
    plug.run(1)
    plug.answers()
    return {message["receipt"]["session"]: message["receipt"] for message in plug.received if message["type"] == "receipt"}


def test_full_flash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    log = tmp_path / "flash.log"
    os.environ["WATTSEAL_FLASH_LOG"] = str(log)
    try:
        plug = recorded_session.Plug(tmp_path)
        charged = plug.authorise()
        plug.start(charged)
        plug.run(300)
        plug.stop(charged)
        plug.run(5)
        unsettled = {charged: plug.final()}
        for _ in range(CAPACITY - 2):
            session, receipt = never_started(plug)
            unsettled[session] = receipt
        assert unsettled[charged]["energyWh"] > 250
        for place in range(ROUNDS):  # each takes the room of the one before
            if place == ROUNDS - CUT_ROUNDS:
                tail = len(power_cut.read_log(log.read_bytes()))
            settle(plug, *never_started(plug))
        operations = power_cut.read_log(log.read_bytes())
        session, receipt = never_started(plug)
        unsettled[session] = receipt
        assert len(unsettled) == CAPACITY

        session, answer = plug.ask()
        assert (answer["type"], answer["code"], answer["session"]) == ("refused", "outbox_full", None)
        assert plug.plug.ask(cmd="state")["contacts"] == 0
        assert resent(plug) == unsettled
        _, answer = plug.ask()
        assert answer["code"] == "outbox_full"  # after a reboot too
        settle(plug, charged, unsettled.pop(charged))
        session, receipt = never_started(plug)
        unsettled[session] = receipt
        assert resent(plug) == unsettled
        plug.close()
    finally:
        del os.environ["WATTSEAL_FLASH_LOG"]
    seconds = time.monotonic() - start
    key = json.loads((tmp_path / "flash/nvs.json").read_text())["wattseal"]["blob:key"]
    tested, total = cut_in_tail(tmp_path, operations, tail, key, list(unsettled)[:-2])
    with capsys.disabled():
        print(  # noqa: T201
            f"\nfull flash: {CAPACITY} unsettled sessions kept, then outbox_full, {seconds:.0f} s; "
            f"{tested} / {total} cuts in {CUT_ROUNDS} sessions beside 31 unsettled ones, {time.monotonic() - start - seconds:.0f} s"
        )
    assert tested == total


def cut_in_tail(folder: Path, operations: list[Any], tail: int, key: str, kept: list[str]) -> tuple[int, int]:
    """Cut the power in each operation from number `tail` on: the sessions in `kept` still have their receipts; return (cuts tested, cuts)."""
    flash = power_cut.blank(SIZE)
    for operation in operations[:tail]:
        power_cut.apply(flash, operation)
    assert sum(operation.data is None for operation in operations[tail:]) >= 2  # sectors are opened, live documents move
    server = boot_server.Server(folder / "boots", (folder / "flash/config.json").read_text())
    (server.folder / "image").write_bytes(flash)
    utc = recorded_session.NOW + 40_000
    _, _, before = server.run(("rebase", "image"), ("load", "image"), ("boot", key))
    receipts = {session[2:TAG]: before["ended"][session[2:TAG]] for session in kept}
    tested = base = 0
    rest = operations[tail:]
    for cut in power_cut.cuts(rest, flash, Random(6)):
        for operation in rest[base : cut.number]:  # the server's base follows
            server.run(("patch", operation.offset, cut.flash[operation.offset : operation.offset + operation.length].hex()))
        base = cut.number
        where = f"cut in operation {tail + cut.number} ({cut.name})"
        patches = [(cut.offset, cut.content.hex())] if cut.content else []
        _, booted, ended, again = server.run(("case", patches), ("boot", key), ("finish", utc), ("boot", None))
        for state in (booted, ended, again):
            assert "error" not in state, (where, state)
            assert state["damaged"] == 0, where
            assert state["register_mwh"] == before["register_mwh"], where
            assert {tag: state["ended"].get(tag) for tag in receipts} == receipts, where
            assert set(receipts) <= set(state["unpaid"]), where
        assert again["ended"] == ended["ended"], where
        assert again["state"] == "idle", where
        tested += 1
    server.close()
    return tested, power_cut.total(rest)
