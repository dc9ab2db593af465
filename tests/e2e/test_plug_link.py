"""The plug's side of the link: the real firmware against a relay of the test's own, which says whatever it likes."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import SimulatedPlug
from wattseal.errors import LinkError
from wattseal.protocol import framing, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, Stop, Voucher
from wattseal.protocol.typed_data import FLAG_FINAL, FLAG_METER_FAULT, FLAG_UNPLUGGED

CONTRACT = b"\x11" * 20
CHAIN_ID = 31337
DRIVER = b"\x22" * 32
NOW = 1_790_000_000
DOMAIN = domain_separator(CHAIN_ID, CONTRACT)


class Bench:
    """A listening socket in the relay's place, and a plug that connects to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(20)
        self.boot()

    def boot(self, car: dict[str, int] | None = None) -> None:
        self.plug = SimulatedPlug(self.folder, "desk_16a", "x64", CONTRACT, self.server.getsockname()[1], car)
        self.accept()

    def accept(self) -> dict[str, Any]:
        """Let time pass until the plug connects; return its hello."""
        self.server.settimeout(0.2)
        for _ in range(100):
            self.plug.run(2)
            try:
                self.connection, _ = self.server.accept()
                break
            except TimeoutError:
                continue
        self.connection.settimeout(20)
        self.lines = self.connection.makefile("rb")
        self.hello = self.expect("hello")
        self.state = self.expect("status")["state"]
        return self.hello

    def send(self, **message: object) -> None:
        self.connection.sendall(framing.encode(message))

    def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type; others before it are passed over."""
        while True:
            line = self.lines.readline()
            assert line, f"the plug hung up before {kind}; see {self.plug.log.read_text()}"
            message: dict[str, Any] = json.loads(line[9:])
            if message["type"] == kind:
                return message

    def expect_final(self) -> dict[str, Any]:
        """Return the fields of the next final receipt."""
        while True:
            receipt: dict[str, Any] = self.expect("receipt")["receipt"]
            if receipt["flags"] & FLAG_FINAL:
                return receipt

    def start(self) -> str:
        """Have a session charging; return its id."""
        self.send(type="time", utc=NOW)
        self.plug.run(4)  # the self-check after a boot
        offer = self.expect("offer")
        voucher = Voucher(
            driver=signatures.address(DRIVER),
            host=b"\x44" * 20,
            plug=bytes.fromhex(self.hello["plug"][2:]),
            token=bytes(20),
            funding=0,
            pricePerKwh=10**14,
            pricePerHour=0,
            maxPowerW=4600,
            cap=10**18,
            issuedAt=offer["issued_at"],
            validUntil=offer["issued_at"] + 86_400,
            nonce=offer["nonce"],
        )
        signature = signatures.sign(DRIVER, voucher.digest(DOMAIN))
        self.send(type="voucher", voucher=voucher.to_wire(), signature="0x" + signature.hex())
        session: str = self.expect("session")["session"]
        assert session == "0x" + voucher.digest(DOMAIN).hex()
        self.plug.ask(cmd="plug_in", energy_wh=5000, current_ma=16_000)
        self.send(type="lock", session=session)
        assert self.plug.run(5, "contactor_closed")["contacts"] == 1
        return session

    def stop(self, session: str) -> None:
        signature = signatures.sign(DRIVER, Stop(bytes.fromhex(session[2:])).digest(DOMAIN))
        self.send(type="stop", session=session, signature="0x" + signature.hex())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    running = Bench(tmp_path)
    yield running
    running.plug.kill()
    running.server.close()


def test_what_the_plug_refuses_leaves_the_connection_and_the_session_alone(bench: Bench) -> None:
    session = bench.start()
    other = "0x" + "ab" * 32
    for message, code in (
        ({"type": "lock", "session": other}, "wrong_session"),
        ({"type": "stop", "session": session, "signature": "0x" + "00" * 65}, "bad_signature"),
        ({"type": "stop", "session": session, "signature": "0x"}, "malformed"),
        ({"type": "stop"}, "malformed"),
        ({"type": "voucher", "voucher": {}, "signature": ""}, "busy"),
        ({"type": "ack", "session": [], "sequence": 1, "status": "stored"}, "malformed"),
        ({"type": "ack", "session": session, "sequence": "1", "status": "stored"}, "malformed"),
        ({"type": "time", "utc": "now"}, "malformed"),
        ({"type": "time", "utc": -1}, "malformed"),
        ({"type": "settled", "session": 5}, "malformed"),
        ({"type": "format_flash"}, "unknown_type"),
    ):
        bench.send(**message)
        assert bench.expect("refused")["code"] == code, message
    for line in (b"\n", b"hello\n", b"x" * 10_000 + b"\n", b'00000000 {"type":"ping"}\n', framing.encode({"type": "ping"})[:-2] + b"\xff\n"):
        bench.connection.sendall(line)
        assert bench.expect("refused")["code"] == "bad_frame"
    bench.send(type="ping")
    bench.expect("pong")
    assert bench.plug.ask(cmd="state")["contacts"] == 1


def test_a_receipt_is_sent_again_on_every_connection_until_it_is_acknowledged(bench: Bench) -> None:
    session = bench.start()
    bench.plug.run(10)
    bench.stop(session)
    bench.plug.run(6)
    first = bench.expect("receipt")
    assert Receipt.from_wire(first["receipt"]).final

    bench.connection.close()
    bench.lines.close()
    bench.accept()
    assert bench.expect("session")["session"] == session
    assert bench.expect("receipt") == first

    bench.plug.kill()
    bench.boot()
    assert bench.expect("session")["session"] == session
    assert bench.expect("receipt") == first
    bench.send(type="ack", session=session, sequence=first["receipt"]["sequence"], status="stored")
    bench.send(type="ping")
    bench.expect("pong")

    bench.connection.close()
    bench.lines.close()
    bench.accept()
    bench.send(type="time", utc=NOW + 100)
    bench.send(type="ping")
    seen = [json.loads(bench.lines.readline()[9:])["type"] for _ in range(2)]
    assert "receipt" not in seen


def test_a_plug_without_its_relay_goes_on_metering_and_ends_by_itself(bench: Bench) -> None:
    session = bench.start()
    port = bench.server.getsockname()[1]
    for end in (bench.lines, bench.connection, bench.server):
        end.close()
    bench.plug.ask(cmd="plug_in", energy_wh=300, current_ma=16_000)
    state = bench.plug.run(3600, "contactor_open")
    assert state["reason"] == "contactor_open"
    bench.plug.run(3)
    bench.server = socket.create_server(("127.0.0.1", port))
    bench.accept()
    assert bench.expect("session")["session"] == session
    receipt = bench.expect_final()
    assert 298 <= receipt["energyWh"] <= state["true_mwh"] / 1000 * 1.001


def test_a_meter_that_falls_silent_opens_the_contactor_and_bills_less(bench: Bench) -> None:
    bench.start()
    bench.plug.run(100)
    bench.plug.ask(cmd="fault", i2c=100_000)
    state = bench.plug.run(60, "contactor_open")
    assert state["reason"] == "contactor_open"
    bench.plug.run(3)
    receipt = bench.expect_final()
    assert receipt["flags"] & FLAG_METER_FAULT
    assert receipt["energyWh"] <= state["true_mwh"] / 1000 * 1.001


def test_a_meter_ic_that_resets_never_adds_energy(bench: Bench) -> None:
    session = bench.start()
    for _ in range(5):
        bench.plug.run(60)
        bench.plug.ask(cmd="fault", meter_reset=True)
    state = bench.plug.run(60)
    assert state["contacts"] == 1
    bench.stop(session)
    state = bench.plug.run(5)
    receipt = bench.expect_final()
    true_wh = state["true_mwh"] / 1000
    assert true_wh * 0.97 <= receipt["energyWh"] <= true_wh * 1.001


def test_after_a_reboot_the_relay_is_told_and_its_first_lock_is_not_lost(bench: Bench) -> None:
    session = bench.start()
    bench.plug.run(100)
    bench.plug.kill()
    bench.boot({"energy_wh": 5000, "current_ma": 16_000})
    assert bench.state == "suspended"
    bench.send(type="time", utc=NOW + 200)
    bench.send(type="lock", session=session)
    assert bench.plug.run(25, "contactor_closed")["contacts"] == 0  # at least 30 s after an outage
    assert bench.plug.run(290, "contactor_closed")["contacts"] == 1


def test_after_a_reboot_with_an_empty_socket_the_session_ends_where_it_was(bench: Bench) -> None:
    bench.start()
    state = bench.plug.run(100)
    bench.plug.kill()
    bench.boot()
    bench.send(type="time", utc=NOW + 200)
    bench.plug.run(3)
    receipt = bench.expect_final()
    assert receipt["flags"] & FLAG_UNPLUGGED
    assert state["true_mwh"] / 1000 - 12 <= receipt["energyWh"] <= state["true_mwh"] / 1000 * 1.001


def test_a_plug_whose_meter_is_dead_takes_no_voucher(bench: Bench) -> None:
    bench.plug.ask(cmd="fault", i2c=1_000_000)
    bench.plug.run(5)
    bench.send(type="time", utc=NOW)
    bench.send(type="voucher", voucher={}, signature="")
    assert bench.expect("refused")["code"] == "meter_fault"
    bench.send(type="ping")
    assert json.loads(bench.lines.readline()[9:])["type"] == "pong"


def test_a_key_or_a_journal_alone_keeps_the_contactor_open_for_good(bench: Bench) -> None:
    bench.start()
    bench.plug.run(100)
    bench.plug.kill()
    flash = bench.folder / "flash"
    journal = (flash / "flash.bin").read_bytes()
    (flash / "flash.bin").unlink()
    with pytest.raises(LinkError):
        bench.boot()
    assert "journal: the journal is gone" in bench.plug.log.read_text()
    (flash / "flash.bin").write_bytes(journal)
    (flash / "nvs.json").unlink()
    with pytest.raises(LinkError):
        bench.boot()
    assert "journal: the device key is gone" in bench.plug.log.read_text()
