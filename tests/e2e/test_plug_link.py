"""The plug's side of the link: the real firmware against a relay of the test's own, which says whatever it likes."""

import json
import socket

import pytest
from wattseal.errors import LinkError
from wattseal.protocol import framing
from wattseal.protocol.messages import Receipt
from wattseal.protocol.typed_data import FLAG_METER_FAULT, FLAG_UNPLUGGED

from tests.e2e.bench import NOW, Bench


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


def test_no_message_costs_the_link(bench: Bench) -> None:
    bench.send(type="time", utc=NOW)
    bench.plug.run(4)
    voucher = dict.fromkeys(("pricePerKwh",), 10**1500) | {"nonce": bench.expect("offer")["nonce"]}
    others = ("funding", "pricePerHour", "maxPowerW", "cap", "issuedAt", "validUntil")
    voucher |= dict.fromkeys(others, 1) | dict.fromkeys(("driver", "host", "plug", "token"), "0x" + "11" * 20)
    for message in (
        {"type": "voucher", "voucher": voucher, "signature": "0x" + "11" * 65},
        {"type": "time", "utc": 10**1900},
        {"type": "budget", "current_ma": -(10**1900)},
        {"type": "x" * 1900},
    ):
        bench.send(**message)
        bench.plug.run(0.5)
        assert bench.expect("refused")["code"] in ("malformed", "unknown_type"), message
    bench.send(type="ping")
    bench.expect("pong")


def test_a_plug_restarts_only_between_sessions(bench: Bench) -> None:
    session = bench.start()
    bench.send(type="budget", current_ma=0)
    assert bench.refusal(type="reboot") == "bad_state"
    bench.stop(session)
    bench.plug.run(6)
    bench.expect_final()
    bench.send(type="reboot")
    with pytest.raises(LinkError):
        bench.plug.run(1)


def test_a_pong_names_the_newest_budget(bench: Bench) -> None:
    for current_ma in (None, 10_000, 0):
        if current_ma is not None:
            bench.send(type="budget", current_ma=current_ma)
        bench.send(type="ping")
        bench.plug.run(0.5)
        assert bench.expect("pong")["budget_ma"] == current_ma


def test_a_plug_tells_its_health(bench: Bench) -> None:
    before = bench.expect("health")
    bench.refusal(type="format_flash")
    bench.connection.sendall(b"x" * 3000 + b"\n")
    bench.expect("refused")
    bench.plug.run(62)
    after = bench.expect("health")
    assert after["refused"] == before["refused"] + 2
    assert after["uptime_s"] >= 60
    assert after["crash"] is None


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
    bench.boot(car={"energy_wh": 5000, "current_ma": 16_000})
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
