"""Many plugs at one broker: how much each costs, and that a loud one does not delay the others."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import pytest
from wattseal.protocol import signatures
from wattseal.protocol.messages import PlugMessage, to_hex
from wattseal.relay.links import Connection, mqtt, pace

from tests.host_tools.conftest import Actors, until
from tests.host_tools.relay.links.conftest import Mosquitto, MqttRelay

pytestmark = pytest.mark.anyio

PLUGS = 1_000
BYTES_A_PLUG = 10_000
OTHERS = 20


class Crowd:
    """Any number of plugs behind one MQTT client."""

    def __init__(self, client: aiomqtt.Client, actors: Actors, size: int) -> None:
        self._client = client
        self._actors = actors
        self.keys = [number.to_bytes(32) for number in range(1_000, 1_000 + size)]
        self.plugs = [signatures.address(key) for key in self.keys]

    async def say(self, plug: bytes, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self._client.publish(f"wattseal/1/{plug.hex()[:2]}/{plug.hex()}/up", json.dumps(message), qos=0)

    async def hello(self, plugs: list[bytes]) -> None:
        for plug in plugs:
            await self.say(plug, self._actors.hello(plug=to_hex(plug)))
        await self.all_hear("time", plugs)

    def session(self, plug: bytes) -> Any:
        return self._actors.session(self._actors.voucher(plug=plug))

    def receipt(self, key: bytes, plug: bytes, sequence: int) -> dict[str, Any]:
        session = self.session(plug).session
        return self._actors.signed(self._actors.receipt(session, sequence), plug, key).frame()

    async def all_hear(self, kind: str, plugs: list[bytes]) -> None:
        """Wait until each of these plugs has heard a message of a type."""
        missing = set(plugs)
        async with asyncio.timeout(60):
            async for came in self._client.messages:
                assert isinstance(came.payload, bytes)
                if json.loads(came.payload)["type"] == kind:
                    missing.discard(bytes.fromhex(came.topic.value.split("/")[3]))
                    if not missing:
                        return


async def crowd(relay: MqttRelay, port: int, size: int) -> AsyncIterator[Crowd]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("wattseal/1/+/+/down")
        yield Crowd(client, relay.actors, size)


@pytest.fixture
async def many(mosquitto: Mosquitto, at_broker: MqttRelay) -> AsyncIterator[Crowd]:
    async for them in crowd(at_broker, mosquitto.port, PLUGS):
        yield them


@pytest.fixture
async def others(mosquitto: Mosquitto, at_broker: MqttRelay) -> AsyncIterator[Crowd]:
    async for them in crowd(at_broker, mosquitto.port, OTHERS):
        yield them


async def test_a_thousand_plugs_at_once_are_each_acknowledged_in_little_memory(at_broker: MqttRelay, many: Crowd) -> None:
    weighed = many.plugs[-PLUGS // 5 :]  # tracing is slow
    await many.hello(many.plugs[: -len(weighed)])
    gc.collect()
    tracemalloc.start()
    await many.hello(weighed)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(at_broker.relay.connections) == PLUGS
    assert used / len(weighed) < BYTES_A_PLUG
    assert at_broker.gateway.calls < PLUGS  # the time is asked for once for many
    charging = slice(0, PLUGS, 4)
    for key, plug in zip(many.keys[charging], many.plugs[charging], strict=True):
        await many.say(plug, many.session(plug).frame(), many.receipt(key, plug, 1))
    await many.all_hear("ack", many.plugs[charging])
    assert at_broker.link.dropped == 0


@pytest.mark.parametrize("is_flooded", [False, True])
async def test_a_flood_does_not_delay_the_others(at_broker: MqttRelay, others: Crowd, monkeypatch: pytest.MonkeyPatch, is_flooded: bool) -> None:
    """Time is counted in messages that are dealt with before a receipt has its turn: at most one of each plug, however many the loud one has sent."""
    turns: list[bytes] = []
    waited: dict[bytes, int] = {}
    received = at_broker.relay.received

    async def counted(connection: Connection, message: PlugMessage) -> None:
        if message.type == "receipt":
            waited[connection.plug] = len(turns)
        turns.append(connection.plug)
        await received(connection, message)

    await others.hello(others.plugs)
    for plug in others.plugs:
        await others.say(plug, others.session(plug).frame())
    await until(lambda: len(at_broker.store.plugs()) == OTHERS)
    loud = await at_broker.connect()
    receipts = [(plug, others.receipt(key, plug, 1)) for key, plug in zip(others.keys, others.plugs, strict=True)]
    monkeypatch.setattr(at_broker.relay, "received", counted)
    # All of it as if in one read from the broker's socket, the flood first.
    for _ in range(2 * mqtt.PLUG_INBOX if is_flooded else 0):
        at_broker.link._receive(loud.topic("up"), b'{"type":"pong"}', False)
    for plug, receipt in receipts:
        at_broker.link._receive(f"wattseal/1/{plug.hex()[:2]}/{plug.hex()}/up", json.dumps(receipt).encode(), False)
    await others.all_hear("ack", others.plugs)
    assert len(waited) == OTHERS
    assert max(waited.values()) <= OTHERS
    if is_flooded:
        await until(lambda: turns.count(loud.plug) == mqtt.PLUG_INBOX)  # the rest was too much
        assert at_broker.link.dropped == mqtt.PLUG_INBOX


async def test_what_one_plug_sends_too_fast_is_refused_once_and_never_acknowledged(at_broker: MqttRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MESSAGES_PER_S", 0)
    plug = await at_broker.connect()
    session = await at_broker.charge(plug)
    excess = 200
    receipt = at_broker.actors.receipt_message(session, 1).frame()
    await asyncio.gather(*(plug.send({"type": "pong"}) for _ in range(pace.BURST + excess)))
    await until(lambda: at_broker.link.dropped >= excess)
    await plug.send(receipt)
    await until(lambda: at_broker.link._waiting == 0)
    assert (await plug.expect("refused"))["code"] == "too_fast"
    assert at_broker.quarantined_codes().count("too_fast") == 1
    assert at_broker.store.count_receipts(session) == 0
    assert "ack" not in [message["type"] for message in plug.heard]
