"""Mosquitto as docs/mosquitto/ has it: certificates, passwords, topics; and what is said when one is wrong."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from wattseal.errors import BrokerError, BrokerRefused, ConfigError
from wattseal.relay.links import Timings, mqtt_client
from wattseal.relay.links.mqtt_client import BrokerAddress, MqttClient
from wattseal.relay.links.tls import client_context, server_context
from wattseal.relay.links.users import make_user
from wattseal.store import Store

from tests.host_tools.conftest import Actors, FakeGateway, until
from tests.host_tools.relay.links.conftest import Certificates, Mosquitto, MqttPlug, MqttRelay

pytestmark = pytest.mark.anyio

FILES = Path(__file__).parents[4] / "docs" / "mosquitto"


class Guarded(Mosquitto):
    """A broker by the configuration in docs/, with users for the relay and two plugs."""

    def __init__(self, folder: Path, certificates: Certificates, actors: Actors) -> None:
        config = (FILES / "mosquitto.conf").read_text().replace("/etc/mosquitto/", f"{folder}/").replace("listener 8883\n", "")
        super().__init__(folder, *config.splitlines())
        shutil.copy(FILES / "acl", folder / "acl")
        self.certificates = certificates
        for made, name in zip(certificates.issue("server"), ("server.pem", "server.key"), strict=True):
            assert made == folder / name
        self.passwords = {user: make_user(folder / "users", user) for user in ("relay", actors.plug.hex(), actors.other_plug.hex())}
        self.relay = {"user": "relay", "password": self.passwords["relay"], "tls": client_context(certificates.ca, None)}

    def plug_options(self, plug: bytes) -> dict[str, Any]:
        return {"username": plug.hex(), "password": self.passwords[plug.hex()], "tls_context": client_context(self.certificates.ca, None)}


@pytest.fixture
def guarded(mosquitto_folder: Path, certificates: Certificates, actors: Actors) -> Iterator[Guarded]:
    broker = Guarded(mosquitto_folder, certificates, actors)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
async def relay(guarded: Guarded, store: Store, gateway: FakeGateway, actors: Actors) -> AsyncIterator[MqttRelay]:
    async with MqttRelay(store, gateway, actors, Timings(poll_s=0.01)).at(guarded.address(**guarded.relay)) as running:
        yield running


async def test_plug_and_relay_meet_by_tls_and_passwords(guarded: Guarded, relay: MqttRelay, actors: Actors) -> None:
    plug = await relay.connect(**guarded.plug_options(actors.plug))
    session = await relay.charge(plug)
    await plug.send(actors.receipt_message(session, 1).frame())
    assert (await plug.expect("ack"))["status"] == "stored"


async def test_a_plug_speaks_and_hears_on_its_own_topics_only(guarded: Guarded, relay: MqttRelay, actors: Actors) -> None:
    plug = await relay.connect(**guarded.plug_options(actors.plug))
    other = await relay.connect(actors.other_plug, **guarded.plug_options(actors.other_plug))
    for topic in ("#", "wattseal/+/+/+/up", "wattseal/1/+/+/down", other.topic("down")):
        await plug.client.subscribe(topic)  # granted by Mosquitto, and then nothing comes
    await plug.send({"type": "pong", "budget_ma": None})
    for topic in (other.topic("up"), other.topic("down")):
        await plug.send_raw(b"rubbish", topic)
    await other.send({"type": "rubbish"})
    await other.expect("refused")
    assert [message["type"] for message in other.heard] == ["time", "refused"]
    await plug.send({"type": "rubbish"})
    await plug.expect("refused")
    assert [message["type"] for message in plug.heard] == ["time", "refused"]
    assert relay.quarantined_codes() == ["unknown_type"] * 2


async def test_nobody_is_pushed_off_by_another_user_with_its_client_id(guarded: Guarded, relay: MqttRelay, actors: Actors) -> None:
    plug = await relay.connect(**guarded.plug_options(actors.plug))
    impostor = guarded.plug_options(actors.other_plug) | {"identifier": f"wattseal-{actors.plug.hex()}"}
    other = MqttPlug(aiomqtt.Client("127.0.0.1", guarded.port, **impostor), actors.other_plug)
    async with other.client:
        await plug.send({"type": "rubbish"})
        await plug.expect("refused")


async def test_an_over_long_message_ends_at_the_broker(guarded: Guarded, relay: MqttRelay, actors: Actors) -> None:
    plug = await relay.connect(**guarded.plug_options(actors.plug))
    await plug.send_raw(b"x" * 4097)
    await plug.send({"type": "rubbish"})
    await plug.expect("refused")
    assert relay.quarantined_codes() == ["unknown_type"]


def nothing(*_: object) -> None:
    raise AssertionError


async def connect(address: BrokerAddress, topic: str = "wattseal/+/+/+/up") -> None:
    client = await MqttClient.connect(address, [topic], nothing, 4000)
    await client.close()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"password": "wrong"}, "as user 'relay': this user is not authorised"),
        ({"user": "nobody"}, "as user 'nobody': this user is not authorised"),
        ({"user": None, "password": None}, "this user is not authorised"),
        ({"tls": "other"}, "the certificate of mqtts://127.0.0.1:.* is not good.*--mqtt-ca"),
        ({"tls": "system"}, "the certificate of mqtts://127.0.0.1:.* is not good.*--mqtt-ca"),
    ],
)
async def test_what_is_wrong_is_said_and_the_password_is_not(guarded: Guarded, tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    if changes.get("tls"):
        changes = {"tls": client_context(Certificates(tmp_path, "other").ca if changes["tls"] == "other" else None, None)}
    address = guarded.address(**guarded.relay | changes)
    with pytest.raises(BrokerRefused, match=why) as caught:
        await connect(address)
    assert guarded.passwords["relay"] not in str(caught.value) + repr(address)


async def test_a_name_that_is_not_in_the_certificate_is_refused(guarded: Guarded) -> None:
    with pytest.raises(BrokerRefused, match="not good: Hostname mismatch"):
        await connect(BrokerAddress("localhost", guarded.port, **guarded.relay))


async def test_plain_tcp_to_tls_and_the_other_way_round_may_pass(guarded: Guarded, mosquitto_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_client, "CONNECT_S", 2)
    with pytest.raises(BrokerError, match="hung up") as caught:
        await connect(guarded.address())
    assert not isinstance(caught.value, BrokerRefused)
    plain = Mosquitto(mosquitto_folder, "allow_anonymous true")
    plain.start()
    try:
        with pytest.raises(BrokerError) as caught:
            await connect(plain.address(tls=client_context(None, None)))
        assert not isinstance(caught.value, BrokerRefused)
    finally:
        plain.stop()


async def test_a_client_certificate_instead_of_a_password(mosquitto_folder: Path, certificates: Certificates) -> None:
    server = certificates.issue("server")
    lines = [
        f"cafile {certificates.ca}",
        f"certfile {server[0]}",
        f"keyfile {server[1]}",
        "require_certificate true",
        "use_identity_as_username true",
    ]
    broker = Mosquitto(mosquitto_folder, *lines)
    broker.start()
    try:
        await connect(broker.address(tls=client_context(certificates.ca, certificates.issue("relay"))))
        with pytest.raises(BrokerError):
            await connect(broker.address(tls=client_context(certificates.ca, None)))
        stranger = Certificates(mosquitto_folder, "stranger").issue("impostor")
        with pytest.raises(BrokerError):
            await connect(broker.address(tls=client_context(certificates.ca, stranger)))
    finally:
        broker.stop()


async def test_a_broker_that_does_not_answer() -> None:
    with pytest.raises(BrokerError, match=r"no connection to the broker mqtt://127\.0\.0\.1:9"):
        await connect(BrokerAddress("127.0.0.1", 9))


def test_files_that_are_none_are_named(tmp_path: Path, certificates: Certificates) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for ca in (rubbish, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=ca.name):
            client_context(ca, None)
    certificate, key = certificates.issue("one")
    _, other_key = certificates.issue("two")
    for pair in ((certificate, other_key), (certificate, rubbish), (rubbish, key)):
        with pytest.raises(ConfigError, match=pair[0].name):
            client_context(certificates.ca, pair)
        with pytest.raises(ConfigError, match=pair[1].name):
            server_context(pair)


async def test_the_address_is_shown_without_the_password(guarded: Guarded, relay: MqttRelay) -> None:
    assert str(relay.address) == f"mqtts://127.0.0.1:{guarded.port}"
    await until(lambda: relay.link._client is not None)
