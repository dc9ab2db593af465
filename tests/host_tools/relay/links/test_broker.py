"""The embedded broker: what a home has, and what a hostile client may not."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from wattseal.errors import BrokerRefused, LinkError
from wattseal.protocol.messages import to_hex
from wattseal.relay.links import Timings, broker, mqtt_packets
from wattseal.relay.links.broker import EmbeddedBroker
from wattseal.relay.links.mqtt_client import BrokerAddress, MqttClient
from wattseal.relay.links.users import make_user, read_users
from wattseal.store import Store

from tests.host_tools.conftest import PATIENCE_S, Actors, FakeGateway, until
from tests.host_tools.relay.links.conftest import Certificates, MqttPlug, MqttRelay, plug_client

pytestmark = pytest.mark.anyio


class Home:
    """A relay with its own broker, and two plugs that may come in."""

    def __init__(self, relay: MqttRelay, address: tuple[str, int], inner: BrokerAddress, passwords: dict[bytes, str]) -> None:
        self.relay = relay
        self.address = address
        self.inner = inner
        self.passwords = passwords

    def client(self, plug: bytes, **options: Any) -> aiomqtt.Client:
        defaults: dict[str, Any] = {"username": plug.hex(), "password": self.passwords.get(plug, "none")}
        return plug_client(self.address[1], plug, **{**defaults, **options})

    @contextlib.asynccontextmanager
    async def plug(self, plug: bytes, **options: Any) -> AsyncIterator[MqttPlug]:
        """A plug that has said hello and was told the time."""
        mine = MqttPlug(self.client(plug, **options), plug)
        async with mine.client:
            await mine.client.subscribe(mine.topic("down"), qos=1)
            await mine.send(self.relay.actors.hello(plug=to_hex(plug)))
            await mine.expect("time")
            yield mine


@contextlib.asynccontextmanager
async def home(store: Store, gateway: FakeGateway, actors: Actors, folder: Path, tls: ssl.SSLContext | None = None) -> AsyncIterator[Home]:
    users = folder / "users"
    passwords = {plug: make_user(users, plug.hex()) for plug in (actors.plug, actors.other_plug)}
    embedded = EmbeddedBroker(read_users(users), tls)
    address, inner = await embedded.start("127.0.0.1", 0)
    try:
        async with MqttRelay(store, gateway, actors, Timings(poll_s=0.01)).at(inner) as relay:
            yield Home(relay, address, inner, passwords)
    finally:
        await embedded.close()


@pytest.fixture
async def at_home(store: Store, gateway: FakeGateway, actors: Actors, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(store, gateway, actors, tmp_path) as running:
        yield running


async def check_served(home: Home, plug: MqttPlug, sequence: int = 1) -> None:
    """A plug's receipt is acknowledged."""
    accepted = home.relay.actors.session()
    await plug.send(accepted.frame(), home.relay.actors.receipt_message(accepted.session, sequence).frame())
    assert (await plug.expect("ack"))["sequence"] == sequence


async def test_a_plug_with_its_password_is_served(at_home: Home, actors: Actors) -> None:
    async with at_home.plug(actors.plug) as plug:
        await check_served(at_home, plug)


async def test_by_tls(store: Store, gateway: FakeGateway, actors: Actors, tmp_path: Path, certificates: Certificates) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificates.issue("broker"))
    async with home(store, gateway, actors, tmp_path, tls) as running:
        async with running.plug(actors.plug, tls_context=ssl.create_default_context(cafile=certificates.ca)) as plug:
            await check_served(running, plug)
        other = Certificates(tmp_path, "other")
        with pytest.raises(aiomqtt.MqttError, match="certificate verify failed"):
            await running.client(actors.plug, tls_context=ssl.create_default_context(cafile=other.ca)).__aenter__()


@pytest.mark.parametrize(
    "options",
    [
        {"password": "wrong"},
        {"username": "relay", "identifier": "relay"},
        {"username": None, "password": None},
        {"username": "00" * 20},
        {"identifier": "wattseal-" + Actors().other_plug.hex()},
        {"clean_session": False},
        {"will": aiomqtt.Will("wattseal/1/00/" + Actors().other_plug.hex() + "/up", "{}")},
        {"will": aiomqtt.Will(f"wattseal/1/{Actors().plug.hex()[:2]}/{Actors().plug.hex()}/up", "{}", retain=True)},
        {"protocol": aiomqtt.ProtocolVersion.V31},
    ],
)
async def test_who_does_not_fit_is_turned_away_and_disturbs_nobody(at_home: Home, actors: Actors, options: dict[str, Any]) -> None:
    async with at_home.plug(actors.plug) as plug, at_home.plug(actors.other_plug) as other:
        with pytest.raises(aiomqtt.MqttError):
            await at_home.client(actors.plug, timeout=0.5, **options).__aenter__()
        await check_served(at_home, plug)
        await other.send({"type": "rubbish"})
        await other.expect("refused")
    assert at_home.relay.link.dropped == 0


async def test_a_plug_speaks_and_hears_on_its_own_topics_only(at_home: Home, actors: Actors) -> None:
    async with at_home.plug(actors.plug) as plug, at_home.plug(actors.other_plug) as other:
        for topic in ("#", "wattseal/#", "wattseal/+/+/+/up", other.topic("down"), other.topic("up"), plug.topic("up"), "$SYS/#"):
            (granted,) = await plug.client.subscribe(topic)
            assert granted.is_failure  # type: ignore[union-attr]
        for topic in (other.topic("up"), other.topic("down"), plug.topic("down"), "wattseal/10/a/b/up", "other"):
            await plug.send_raw(json.dumps(actors.hello()).encode(), topic)
        await check_served(at_home, plug)
        await other.send({"type": "rubbish"})
        await other.expect("refused")
        assert [message["type"] for message in other.heard] == ["time", "refused"]
    assert at_home.relay.quarantined_codes() == ["unknown_type"]


async def test_a_plug_that_comes_back_takes_the_place_of_its_old_connection(at_home: Home, actors: Actors) -> None:
    old = at_home.client(actors.plug)
    await old.__aenter__()
    async with at_home.plug(actors.plug) as plug:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(aiomqtt.MqttError):
                await anext(old.messages)
        await check_served(at_home, plug)
        assert "greet" not in [message["type"] for message in plug.heard]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\x7f" + b"x" * 10_000,
        b"\x10\xff\xff\xff\xff\xff",
        mqtt_packets.publish("wattseal/1/00/x/up", b"x"),
        mqtt_packets.connect("x", "x" * 9000, "y", 60),
        b"\x10\x0c\x00\x04MQTT\x04\xc2\x00\x3c\xff\xff",
    ],
)
async def test_what_is_no_mqtt_is_closed(at_home: Home, actors: Actors, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "CONNECT_S", 0.2)
    async with at_home.plug(actors.plug) as plug:
        reader, writer = await asyncio.open_connection(*at_home.address)
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        await check_served(at_home, plug)


@pytest.mark.parametrize(
    "data",
    [
        mqtt_packets.publish("wattseal/1/00/x/up", b"x" * 9000),  # too long
        b"\x82\xff\xff\xff\x7f",  # a SUBSCRIBE of 256 MB
        b"\x30\x05\xff\xff123",  # a topic longer than its packet
        b"\x82\x03\x00\x01\x00",
        b"\x32\x02\x00\x00",
        b"\xf0\x00" * 100,
        mqtt_packets.connect("again", "x", "y", 60),
    ],
)
async def test_a_plug_that_sends_bad_packets_harms_nobody_else(at_home: Home, actors: Actors, data: bytes) -> None:
    async with at_home.plug(actors.plug) as plug, at_home.plug(actors.other_plug) as bad:
        bad.client._client._sock.sendall(data)  # type: ignore[union-attr]
        await check_served(at_home, plug)


async def test_a_silent_client_is_closed_and_its_last_will_comes(at_home: Home, actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "SILENCE_S", 0.3)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(at_home.plug(actors.plug))
        await until(lambda: not at_home.relay.relay.connections)
        stack.pop_all()


async def test_a_flood_waits_and_the_other_is_served(at_home: Home, actors: Actors) -> None:
    """Six hundred messages at once: after the first hundred packets they are taken at ten a second."""
    heard: list[int] = []
    receive = at_home.relay.link._client._receive  # type: ignore[union-attr]

    def counted(topic: str, payload: bytes, is_retained: bool) -> None:
        heard.append(len(payload))
        receive(topic, payload, is_retained)

    async with at_home.plug(actors.plug) as plug, at_home.plug(actors.other_plug) as loud:
        at_home.relay.link._client._receive = counted  # type: ignore[union-attr]
        for _ in range(600):
            await loud.client.publish(loud.topic("up"), b"x" * 3000, qos=0)
        await until(lambda: len(heard) > 50)
        await check_served(at_home, plug)
        assert heard.count(3000) < 300


async def test_too_many_clients_are_turned_away(at_home: Home, actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "MAX_CLIENTS", 1)
    async with at_home.plug(actors.plug) as plug:
        with pytest.raises(aiomqtt.MqttError):
            await at_home.client(actors.other_plug, timeout=0.5).__aenter__()
        await check_served(at_home, plug)


async def test_an_address_that_is_taken_is_said(at_home: Home) -> None:
    second = EmbeddedBroker({}, None)
    with pytest.raises(LinkError, match="--mqtt-listen"):
        await second.start(*at_home.address)
    await second.close()


async def test_the_relay_says_what_a_broker_does_not_give_it(at_home: Home) -> None:
    with pytest.raises(BrokerRefused, match="not subscribe to wattseal/#: correct its access list"):
        await MqttClient.connect(at_home.inner, ["wattseal/#"], lambda topic, payload, is_retained: None, 4000)
