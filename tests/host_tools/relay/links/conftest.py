"""Real brokers, certificates made on the spot, plugs at a broker by another MQTT client than ours, and a relay at the same broker."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from wattseal.protocol.messages import Gone
from wattseal.relay.links import Timings
from wattseal.relay.links.mqtt import ALL_SHARDS, MqttLink
from wattseal.relay.links.mqtt_client import BrokerAddress
from wattseal.relay.service import Relay
from wattseal.store import Store

from tests.host_tools.asyncapi import why_not
from tests.host_tools.conftest import PATIENCE_S, Actors, FakeGateway

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Mosquitto:
    """A broker process. `lines` are its configuration but for the listener."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.folder = folder
        self.lines = lines
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / f"mosquitto-{self.port}.conf"
        root = ["user root"] if os.geteuid() == 0 else []  # else it takes another user, who cannot read a test's files
        config.write_text("\n".join([*root, f"listener {self.port} 127.0.0.1", *self.lines, ""]))
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(config)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                assert self._process.poll() is None, "mosquitto did not take its configuration"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def address(self, **more: Any) -> BrokerAddress:
        return BrokerAddress("127.0.0.1", self.port, **more)


class MqttPlug:
    """The plug's end of an MQTT link, by aiomqtt."""

    def __init__(self, client: aiomqtt.Client, plug: bytes) -> None:
        self.client = client
        self.plug = plug
        self.heard: list[dict[str, Any]] = []

    def topic(self, direction: str, version: int = 1) -> str:
        return f"wattseal/{version}/{self.plug.hex()[:2]}/{self.plug.hex()}/{direction}"

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.send_raw(json.dumps(message).encode())

    async def send_raw(self, payload: bytes, topic: str | None = None) -> None:
        await self.client.publish(topic or self.topic("up"), payload, qos=1)

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type; others before it are kept in `heard`."""
        async with asyncio.timeout(PATIENCE_S):
            async for came in self.client.messages:
                assert isinstance(came.payload, bytes)
                assert len(came.payload) <= 2000
                message: dict[str, Any] = json.loads(came.payload)
                assert why_not("down", message) == ""
                self.heard.append(message)
                if message["type"] == kind:
                    return message
        raise AssertionError(f"no {kind}; heard {self.heard}")


class MqttRelay:
    """A relay at a broker, with a real store."""

    def __init__(self, store: Store, gateway: FakeGateway, actors: Actors, timings: Timings, shards: range = ALL_SHARDS) -> None:
        self.store = store
        self.gateway = gateway
        self.actors = actors
        self.relay = Relay(actors.chain_id, actors.contract, store, gateway, timings)
        self.link = MqttLink(actors.chain_id, actors.contract, self.relay, timings, shards)
        self.address: BrokerAddress | None = None
        self._plugs = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def at(self, address: BrokerAddress) -> AsyncIterator["MqttRelay"]:
        self.address = address
        await self.link.start(address)
        try:
            async with self._plugs:
                yield self
        finally:
            await self.link.close()
            self.relay.close()

    async def plug(self, plug: bytes | None = None, **options: Any) -> MqttPlug:
        """Connect a plug that has not said hello."""
        assert self.address
        plug = plug or self.actors.plug
        mine = MqttPlug(plug_client(self.address.port, plug, **options), plug)
        await self._plugs.enter_async_context(mine.client)
        await mine.client.subscribe(mine.topic("down"), qos=1)
        return mine

    async def connect(self, plug: bytes | None = None, **options: Any) -> MqttPlug:
        """Connect a plug that has said hello and was told the time."""
        mine = await self.plug(plug, **options)
        await mine.send(self.actors.hello(plug="0x" + mine.plug.hex()))
        await mine.expect("time")
        return mine

    async def charge(self, plug: MqttPlug) -> bytes:
        accepted = self.actors.session()
        await plug.send(accepted.frame())
        async with asyncio.timeout(PATIENCE_S):
            while self.store.voucher(accepted.session) is None:
                await asyncio.sleep(0.001)
        return accepted.session

    def quarantined_codes(self) -> list[str]:
        return [entry.code for entry in reversed(self.store.quarantined(limit=1000))]


def plug_client(port: int, plug: bytes, **options: Any) -> aiomqtt.Client:
    """Return a client that connects as the firmware does."""
    topic = f"wattseal/1/{plug.hex()[:2]}/{plug.hex()}/up"
    will = aiomqtt.Will(topic, json.dumps(Gone().frame()), qos=1)
    defaults = {"identifier": f"wattseal-{plug.hex()}", "clean_session": True, "keepalive": 60, "will": will}
    client = aiomqtt.Client("127.0.0.1", port, **{**defaults, **options})
    client.pending_calls_threshold = 10_000  # it warns above
    return client


class Certificates:
    """A CA of our own, and what it has signed, as files."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Wattseal test {name}")])
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._sign(self._name, self._key, is_ca=True).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate for 127.0.0.1 and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, is_ca=False)
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files[1].write_bytes(pem)
        return files

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def mosquitto_folder(tmp_path: Path) -> Path:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    return tmp_path


@pytest.fixture
def mosquitto(mosquitto_folder: Path) -> Iterator[Mosquitto]:
    """A broker that takes everybody."""
    broker = Mosquitto(mosquitto_folder, "allow_anonymous true")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path / "relay.sqlite")) as kept:
        yield kept


@pytest.fixture
async def at_broker(mosquitto: Mosquitto, store: Store, gateway: FakeGateway, actors: Actors, timings: Timings) -> AsyncIterator[MqttRelay]:
    async with MqttRelay(store, gateway, actors, timings).at(mosquitto.address()) as relay:
        yield relay
