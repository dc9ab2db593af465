"""Killing the relay at any moment loses no acknowledged receipt."""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from wattseal.protocol import framing
from wattseal.protocol.messages import to_hex
from wattseal.store import Store

from tests.host_tools.conftest import PATIENCE_S, Actors, ScriptedPlug

pytestmark = pytest.mark.anyio

KILLS = 6
RECEIPTS_A_LIFE = 60
DEAD_RPC = "http://127.0.0.1:9"


@contextlib.asynccontextmanager
async def relay_process(store: Path, actors: Actors) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, int]]:
    """Run `wattseal relay` without a chain; give process, host and port for plugs. Kills it in the end."""
    arguments = ["--store", str(store), "--rpc", DEAD_RPC, "--contract", to_hex(actors.contract), "--chain-id", str(actors.chain_id)]
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


async def test_a_killed_relay_has_every_receipt_that_it_acknowledged(tmp_path: Path, actors: Actors) -> None:
    store = tmp_path / "relay.sqlite"
    session = actors.session()
    acknowledged: set[int] = set()
    dice = random.Random(20260301)
    for life in range(KILLS):
        newest = (life + 1) * RECEIPTS_A_LIFE
        messages = [
            actors.receipt_message(session.session, sequence, asOf=actors.now + 60 + 3 * sequence, activeSeconds=2 * sequence, energyWh=sequence)
            for sequence in range(newest)
            if sequence not in acknowledged
        ]
        async with relay_process(store, actors) as (process, host, port):
            plug = ScriptedPlug(*await asyncio.open_connection(host, port))
            await plug.send(actors.hello(), session.frame(), *(message.frame() for message in messages))
            for _ in range(dice.randrange(1, RECEIPTS_A_LIFE)):
                acknowledged.add((await plug.expect("ack"))["sequence"])
            process.kill()
            with contextlib.suppress(ConnectionError):
                # acknowledgements that were on their way count as well
                while (line := await plug.reader.readline()).endswith(b"\n"):
                    message = framing.decode(line[:-1])
                    if message["type"] == "ack":
                        acknowledged.add(message["sequence"])
            await process.wait()
            await plug.close()
        with sqlite3.connect(store) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = Store(store)
        stored = {message.receipt.sequence: message for message in kept.receipts(session.session)}
        kept.close()
        assert acknowledged <= stored.keys()
        assert all(stored[message.receipt.sequence] == message for message in messages if message.receipt.sequence in stored)
    assert len(acknowledged) >= KILLS
