"""SIGTERM in the middle of work: the relay stops by itself, and has every receipt that it acknowledged."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from wattseal.protocol import framing
from wattseal.store import Store

from tests.host_tools.conftest import PATIENCE_S, Actors, ScriptedPlug
from tests.host_tools.relay.test_crash import relay_process

pytestmark = pytest.mark.anyio

STOPS = 2
RECEIPTS = 400


async def test_a_relay_that_is_told_to_stop_under_load_has_every_receipt_that_it_acknowledged(tmp_path: Path, actors: Actors) -> None:
    store = tmp_path / "relay.sqlite"
    session = actors.session()
    dice = random.Random(20260302)
    messages = [
        actors.receipt_message(session.session, sequence, asOf=actors.now + 60 + 3 * sequence, activeSeconds=2 * sequence, energyWh=sequence)
        for sequence in range(RECEIPTS)
    ]
    acknowledged: set[int] = set()
    for _ in range(STOPS):
        async with relay_process(str(store), actors) as (process, host, port):
            plug = ScriptedPlug(*await asyncio.open_connection(host, port))
            left = [message for message in messages if message.receipt.sequence not in acknowledged]
            sending = asyncio.create_task(plug.send(actors.hello(), session.frame(), *(message.frame() for message in left)))
            for _ in range(dice.randrange(1, RECEIPTS // STOPS // 2)):
                acknowledged.add((await plug.expect("ack"))["sequence"])
            process.terminate()
            with contextlib.suppress(ConnectionError):
                while (line := await plug.reader.readline()).endswith(b"\n"):
                    message = framing.decode(line[:-1])
                    if message["type"] == "ack":
                        acknowledged.add(message["sequence"])
            sending.cancel()
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 0
            await plug.close()
        kept = Store(store)
        stored = {message.receipt.sequence: message for message in kept.receipts(session.session)}
        kept.close()
        assert acknowledged <= stored.keys()
        assert all(stored[sequence] == messages[sequence] for sequence in stored)
    assert len(acknowledged) >= STOPS
