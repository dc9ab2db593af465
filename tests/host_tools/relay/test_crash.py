"""Killing the relay or its database at any moment loses no acknowledged receipt."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from wattseal.protocol import framing
from wattseal.protocol.messages import ReceiptMessage, to_hex
from wattseal.store import Store, is_url

from tests.host_tools.conftest import PATIENCE_S, Actors, ScriptedPlug
from tests.postgresql import Cluster

pytestmark = pytest.mark.anyio

KILLS = 3
KILLS_OF_THE_INGEST = {"sqlite": 200, "postgresql": 60}  # there a killed client is the server's everyday
RECEIPTS_A_LIFE = 60
DEAD_RPC = "http://127.0.0.1:9"


@contextlib.asynccontextmanager
async def relay_process(store: str, actors: Actors) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, int]]:
    """Run `wattseal relay` without a chain; give process, host and port for plugs. Kills it in the end."""
    arguments = ["--store", store, "--rpc", DEAD_RPC, "--contract", to_hex(actors.contract), "--chain-id", str(actors.chain_id), "--trust-rpc"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from wattseal.cli.main import app; app()", "relay", *arguments, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"),
        env=os.environ | {"WATTSEAL_RELAY_KEY": "0x" + "01" * 32},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    async with asyncio.timeout(3 * PATIENCE_S):
        ready = json.loads(await process.stdout.readline())
    host, _, port = ready["listen"].rpartition(":")
    try:
        yield process, host, int(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_killed_relay_has_every_receipt_that_it_acknowledged(where: str, actors: Actors) -> None:
    session = actors.session()
    acknowledged: set[int] = set()
    dice = random.Random(20260301)
    for life in range(KILLS):
        newest = (life + 1) * RECEIPTS_A_LIFE
        messages = [short_receipt(actors, session.session, sequence) for sequence in range(newest) if sequence not in acknowledged]
        async with relay_process(where, actors) as (process, host, port):
            plug = ScriptedPlug(*await asyncio.open_connection(host, port))
            await plug.send(actors.hello(), session.frame(), *(message.frame() for message in messages))
            for _ in range(dice.randrange(1, RECEIPTS_A_LIFE)):
                acknowledged.add((await plug.expect("ack"))["sequence"])
            process.kill()
            acknowledged |= await acknowledged_until_the_end(plug)
            await process.wait()
            await plug.close()
        if not is_url(where):
            with sqlite3.connect(where) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check_kept(where, session.session, acknowledged, messages)
    assert len(acknowledged) >= KILLS


def test_an_ingest_that_is_killed_at_any_moment_has_every_receipt_that_it_acknowledged(where: str, tmp_path: Path) -> None:
    actors = Actors()
    session = actors.session()
    # as many as any machine takes meanwhile, or all of them over and over
    messages = [short_receipt(actors, session.session, sequence) for sequence in range(3000)]
    file = tmp_path / "messages"
    file.write_text("".join(json.dumps(message.frame()) + "\n" for message in (session, *messages)))
    acknowledged: set[int] = set()
    dice = random.Random(20260303)
    kills = KILLS_OF_THE_INGEST["postgresql" if is_url(where) else "sqlite"]
    child = [sys.executable, str(Path(__file__).with_name("ingest_child.py")), where, str(file), actors.domain.hex()]
    with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as server:
        assert server.stdin
        assert server.stdout
        line = ""
        for life in range(kills):
            server.stdin.write(f"{len(acknowledged) % len(messages)}\n")
            pid = int(server.stdout.readline().removeprefix("pid "))
            # Half die by the clock, also before they have opened the store; half after some acknowledgements.
            if life % 2:
                time.sleep(dice.uniform(0, 0.02))
            else:
                for _ in range(dice.randrange(1, 60)):
                    if (line := server.stdout.readline()) == "dead\n":
                        break
                    acknowledged.add(int(line.removeprefix("ack ")))
            if line != "dead\n":
                os.kill(pid, signal.SIGKILL)  # it is there until the server says that it is not
            while line != "dead\n" and (line := server.stdout.readline()) != "dead\n":
                acknowledged.add(int(line.removeprefix("ack ")))
            line = ""
        server.stdin.close()
    assert len(acknowledged) > kills
    check_kept(where, session.session, acknowledged, messages)


async def test_a_killed_database_has_every_receipt_that_the_relay_acknowledged(postgresql: Cluster, actors: Actors) -> None:
    where = postgresql.empty_database()
    session = actors.session()
    acknowledged: set[int] = set()
    dice = random.Random(20260302)
    async with relay_process(where, actors) as (_, host, port):
        for life in range(KILLS):
            newest = (life + 1) * RECEIPTS_A_LIFE
            messages = [short_receipt(actors, session.session, sequence) for sequence in range(newest) if sequence not in acknowledged]
            plug = ScriptedPlug(*await asyncio.open_connection(host, port))
            await plug.send(actors.hello(), session.frame(), *(message.frame() for message in messages))
            for _ in range(dice.randrange(1, RECEIPTS_A_LIFE)):
                acknowledged.add((await plug.expect("ack"))["sequence"])
            postgresql.kill()
            acknowledged |= await acknowledged_until_the_end(plug)  # the relay hangs up, and the plug comes again
            await plug.close()
            postgresql.start()
            check_kept(where, session.session, acknowledged, messages)
    assert len(acknowledged) >= KILLS


def short_receipt(actors: Actors, session: bytes, sequence: int) -> ReceiptMessage:
    return actors.receipt_message(session, sequence, asOf=actors.now + 60 + 3 * sequence, activeSeconds=2 * sequence, energyWh=sequence)


async def acknowledged_until_the_end(plug: ScriptedPlug) -> set[int]:
    """Return the sequences of the acknowledgements that were on their way."""
    found = set()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(3 * PATIENCE_S):
            while (line := await plug.reader.readline()).endswith(b"\n"):
                message = framing.decode(line[:-1])
                if message["type"] == "ack":
                    found.add(message["sequence"])
    return found


def check_kept(where: str, session: bytes, acknowledged: set[int], messages: list[ReceiptMessage]) -> None:
    kept = Store(where)
    stored = {message.receipt.sequence: message for message in kept.receipts(session, limit=100_000)}
    kept.close()
    assert acknowledged <= stored.keys()
    assert all(stored[message.receipt.sequence] == message for message in messages if message.receipt.sequence in stored)
