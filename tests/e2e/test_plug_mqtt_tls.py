"""The plug over MQTT with TLS, against Mosquitto and an authority made here."""

import datetime
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wattseal.demo.processes import SimulatedPlug
from wattseal.errors import LinkError

from tests.e2e.authority import Authority
from tests.e2e.bench import CONTRACT
from tests.e2e.brokers import Listener, Mosquitto, MqttBench, needs_mosquitto

pytestmark = needs_mosquitto
NAME = "broker.example"
DAY = datetime.timedelta(days=1)


class Secured:
    """Mosquitto with the certificate `server`, what goes into the plug's flash, and a listener that trusts the same authority."""

    def __init__(self, folder: Path, server: str = NAME, *lines: str, login: tuple[str, str] | None = None, is_heard: bool = True) -> None:
        self.folder = folder
        certificates = (f"cafile {folder}/authority.pem", f"certfile {folder}/{server}.pem", f"keyfile {folder}/{server}.key")
        self.broker = Mosquitto(folder, *certificates, *lines)
        tls = {"ca_certs": f"{folder}/authority.pem", "certfile": f"{folder}/relay.pem", "keyfile": f"{folder}/relay.key"}
        self.listener = Listener(self.broker.port, tls, login) if is_heard else None
        (folder / "flash").mkdir()
        self.bench: MqttBench | None = None

    def boot(self, files: dict[str, str], name: str = NAME, **relay: object) -> MqttBench:
        """Start a plug whose tls has these files, copied into its flash."""
        for file in files.values():
            shutil.copy(self.folder / file, self.folder / "flash")
        self.bench = MqttBench(self.folder, self.broker.port, self.listener, tls={"name": name} | files, **relay)
        return self.bench

    def expect_refusal(self, words: str, files: dict[str, str], name: str = NAME, **relay: object) -> None:
        """Let a plug try with these files until it prints `words`."""
        for file in files.values():
            shutil.copy(self.folder / file, self.folder / "flash")
        settings = {"link": "mqtt", "host": "127.0.0.1", "port": self.broker.port, "tls": {"name": name} | files} | relay
        with SimulatedPlug(self.folder, "desk_16a", "x64", CONTRACT, 0, config={"relay": settings}) as plug:
            for _ in range(40):
                plug.run(1)
                if words in plug.log.read_text():
                    return
                time.sleep(0.05)  # the other end of the socket lives in real time
        raise AssertionError(plug.log.read_text())

    def close(self) -> None:
        if self.bench:
            self.bench.close()
        if self.listener:
            self.listener.close()
        self.broker.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.issue(NAME)
    made.issue("relay")
    return made


@pytest.fixture
def secured(tmp_path: Path, authority: Authority) -> Iterator[Secured]:
    running = Secured(tmp_path)
    yield running
    running.close()


@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_broker_whose_authority_the_plug_knows(secured: Secured, form: str) -> None:
    bench = secured.boot({"ca": f"authority.{form}"})
    session = bench.start()
    bench.plug.run(10)
    bench.stop(session)
    bench.plug.run(6)
    assert bench.expect_final()["session"] == session


def test_another_authority_is_refused(secured: Secured) -> None:
    Authority(secured.folder, "stranger")
    secured.expect_refusal("the broker's certificate: The certificate is not correctly signed by the trusted CA", {"ca": "stranger.der"})
    assert secured.listener.heard.empty()


def test_another_name_is_refused(secured: Secured) -> None:
    secured.expect_refusal("does not match with the expected CN", {"ca": "authority.der"}, name="other.example")


@pytest.mark.parametrize(("begin", "end", "words"), [(-2 * DAY, -DAY, "expired"), (DAY, 2 * DAY, "future")])
def test_a_certificate_out_of_its_time_is_refused(
    tmp_path: Path, authority: Authority, begin: datetime.timedelta, end: datetime.timedelta, words: str
) -> None:
    authority.issue("late", begin, end)
    secured = Secured(tmp_path, "late", is_heard=False)
    try:
        secured.expect_refusal(words, {"ca": "authority.der"}, name="late")
    finally:
        secured.close()


def test_user_and_password_are_asked_for(tmp_path: Path, authority: Authority) -> None:
    subprocess.run(["mosquitto_passwd", "-c", "-b", tmp_path / "users", "plug", "secret"], check=True)
    secured = Secured(tmp_path, NAME, "allow_anonymous false", f"password_file {tmp_path}/users", login=("plug", "secret"))
    try:
        secured.expect_refusal("5, not authorised", {"ca": "authority.der"}, user="plug", password="wrong")
        assert secured.boot({"ca": "authority.der"}, user="plug", password="secret").hello["type"] == "hello"
        assert "secret" not in (tmp_path / "plug.log").read_text()
    finally:
        secured.close()


@pytest.mark.parametrize("form", ["key", "key.der"])
def test_a_client_certificate_is_shown(tmp_path: Path, authority: Authority, form: str) -> None:
    authority.issue("plug")
    secured = Secured(tmp_path, NAME, "require_certificate true")
    try:
        secured.expect_refusal("link: ", {"ca": "authority.der"})
        assert secured.boot({"ca": "authority.der", "cert": "plug.der", "key": f"plug.{form}"}).hello["type"] == "hello"
    finally:
        secured.close()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "flash").mkdir()
    (tmp_path / "flash/bad.der").write_bytes(b"no certificate")
    for ca, words in (("bad.der", "not a certificate or key"), ("missing.der", "missing.der cannot be read")):
        config = {"relay": {"link": "mqtt", "host": "127.0.0.1", "port": 1, "tls": {"name": NAME, "ca": ca}}}
        with pytest.raises(LinkError), SimulatedPlug(tmp_path, "desk_16a", "x64", CONTRACT, 0, config=config) as plug:
            plug.run(1)
        assert words in (tmp_path / "plug.log").read_text()


def test_with_closed_contacts_a_handshake_comes_every_ten_minutes_at_most(secured: Secured) -> None:
    bench = secured.boot({"ca": "authority.der"})
    bench.start()
    secured.listener.forget_subscription()
    secured.broker.close()
    assert bench.plug.run(10)["contacts"] == 1
    secured.broker.start()
    secured.listener.wait_subscribed()
    for _ in range(5):
        bench.plug.run(100)
    assert "hello" not in [message["type"] for message in list(secured.listener.heard.queue)]
    bench.plug.run(110)
    bench.accept()
    assert bench.plug.run(1)["contacts"] == 1
