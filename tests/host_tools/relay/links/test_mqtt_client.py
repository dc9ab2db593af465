"""The client against a scripted broker: what a good one does seldom, and a bad one might."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from wattseal.errors import BrokerError
from wattseal.relay.links import mqtt_client, mqtt_packets
from wattseal.relay.links.mqtt_client import BrokerAddress, MqttClient

from tests.host_tools.conftest import PATIENCE_S, until

pytestmark = pytest.mark.anyio

WELCOME = b"\x20\x02\x00\x00"
GRANTED = b"\x90\x03\x00\x01\x00"


class Broker:
    """Sends what a test says, and keeps what comes."""

    def __init__(self) -> None:
        self.address = BrokerAddress("127.0.0.1", 0)
        self.greeting = WELCOME
        self.answer = GRANTED
        self.heard = b""
        self.received: list[tuple[str, bytes, bool]] = []
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(self.greeting)
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1000):
                self.heard += chunk
                if chunk[0] == 0x82:  # SUBSCRIBE
                    writer.write(self.answer)
        writer.close()

    def send(self, data: bytes) -> None:
        assert self._writer
        self._writer.write(data)

    async def connect(self) -> MqttClient:
        def receive(topic: str, payload: bytes, is_retained: bool) -> None:
            self.received.append((topic, payload, is_retained))

        return await MqttClient.connect(self.address, ["#"], receive, 10)


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    scripted = Broker()
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    yield scripted
    server.close()


async def ended(client: MqttClient) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return await client.ended


async def test_qos_1_is_acknowledged(broker: Broker) -> None:
    client = await broker.connect()
    broker.send(b"\x33\x06\x00\x01t\x12\x34x")
    await until(lambda: broker.heard.endswith(b"\x40\x02\x12\x34"))
    assert broker.received == [("t", b"x", True)]
    await client.close()
    await until(lambda: broker.heard.endswith(mqtt_packets.DISCONNECT))


@pytest.mark.parametrize(
    "rubbish", [b"\x10\x00", b"\x34\x06\x00\x01t\x12\x34x", b"\x30\x01\x00", b"\x30\xff\xff\xff\xff\xff", b"HTTP/1.1 400 Bad Request\r\n" * 5]
)
async def test_what_is_no_mqtt_ends_the_connection(broker: Broker, rubbish: bytes) -> None:
    client = await broker.connect()
    broker.send(rubbish)
    assert "the broker sent" in await ended(client)
    with pytest.raises(ConnectionError):
        await client.publish("t", b"x")


async def test_a_long_message_is_cut_and_the_next_one_whole(broker: Broker) -> None:
    client = await broker.connect()
    broker.send(mqtt_packets.publish("t", b"x" * 1_000_000) + mqtt_packets.publish("t", b"next"))
    await until(lambda: len(broker.received) == 2)
    assert 10 < len(broker.received[0][1]) < 200
    assert broker.received[1] == ("t", b"next", False)
    client.abort()


async def test_a_silent_broker_is_given_up(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_client, "KEEP_ALIVE_S", 0.1)
    monkeypatch.setattr(mqtt_packets, "connect", lambda *_: b"")  # it says whole seconds
    client = await broker.connect()
    assert await ended(client) == "the broker is silent"
    assert mqtt_packets.PINGREQ in broker.heard


async def test_one_that_answers_pings_is_not(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_client, "KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(mqtt_packets, "connect", lambda *_: b"")
    client = await broker.connect()
    for answered in range(1, 6):
        await until(lambda answered=answered: broker.heard.count(mqtt_packets.PINGREQ) >= answered)
        broker.send(b"\xd0\x00")
    assert not client.ended.done()
    client.abort()


@pytest.mark.parametrize(
    ("greeting", "answer", "why"),
    [
        (b"\x20\x02\x00\x03", GRANTED, "it is not available"),
        (WELCOME, b"\x90\x02\x00\x01", "not subscribe"),
        (WELCOME, b"\x90\x03\x00\x01\x80", "not subscribe"),
        (WELCOME, b"", "does not answer"),
        (b"", GRANTED, "does not answer"),
        (b"SSH-2.0-x\r\n" * 10, GRANTED, "hung up"),
    ],
)
async def test_a_broker_that_does_not_welcome(broker: Broker, greeting: bytes, answer: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_client, "CONNECT_S", 0.3)
    broker.greeting, broker.answer = greeting, answer
    with pytest.raises(BrokerError, match=why):
        await broker.connect()


async def test_a_client_that_waits_to_write_is_woken_by_the_end(broker: Broker) -> None:
    client = await broker.connect()
    client.pause_writing()
    waiting = asyncio.create_task(client.publish("t", b"x"))
    await asyncio.sleep(0)
    assert not waiting.done()
    client.abort()
    with pytest.raises(ConnectionError):
        await waiting
