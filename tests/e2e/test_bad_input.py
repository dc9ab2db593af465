"""What is wrong with anything that comes in has a code, changes nothing that it should not, and leaves contacts open where it matters."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
from wattseal.demo.processes import ROOT
from wattseal.errors import LinkError
from wattseal.protocol.messages import Receipt
from wattseal.protocol.typed_data import FLAG_DRIVER_STOP, FLAG_TIME_OUT

from tests.e2e.bench import NOW, Bench

SESSION = "0x" + "ab" * 32
ZEROS = "0x" + "00" * 65


def framed(body: bytes) -> bytes:
    return b"%08x %s\n" % (crc32(body), body)


BAD_LINES = {
    b"\n": "bad_frame",
    b"GET / HTTP/1.1\r\n": "bad_frame",
    b"\x00\xff\xfe" * 30 + b"\n": "bad_frame",
    b"x" * 5_000 + b"\n": "bad_frame",
    b"x" * 100_000 + b"\n": "bad_frame",
    b'00000000 {"type":"ping"}\n': "bad_frame",
    framed(b'{"type":"ping"')[:-1] + b"\n": "bad_frame",
    framed(b"[]"): "bad_frame",
    framed(b'{"type":7}'): "bad_frame",
    framed(b'{"type":"ping","more":' + b"[" * 64 + b"]" * 64 + b"}"): "bad_frame",
    framed(b'{"type":"ping","more":' + b'{"a":' * 700 + b"1" + b"}" * 700 + b"}"): "bad_frame",
    framed(b'{"type":"ping","more":1}'): "malformed",
    framed(b'{"type":"hello","version":2}'): "unknown_type",
    framed(b'{"type":"\xc3\xa4\\u0000"}'): "unknown_type",
    framed(b'{"type":"' + b"a" * 2_000 + b'"}'): "unknown_type",
    framed(b'{"type":"' + b"a" * 2_040 + b'"}'): "bad_frame",
    framed(b'{"type":"time","utc":null}'): "malformed",
    framed(b'{"type":"time","utc":true}'): "malformed",
    framed(b'{"type":"time","utc":1.5}'): "malformed",
    framed(b'{"type":"time","utc":' + b"9" * 2_000 + b"}"): "malformed",
    framed(b'{"type":"budget","current_ma":-1}'): "malformed",
    framed(b'{"type":"budget","current_ma":1e3}'): "malformed",
    framed(b'{"type":"clear_trip","code":"weld"}'): "malformed",
    framed(b'{"type":"reboot","now":true}'): "malformed",
    framed(b'{"type":"enrol","epoch":true}'): "malformed",
    framed(b'{"type":"enrol","epoch":18446744073709551616}'): "malformed",
    framed(b'{"type":"enrol","epoch":1,"host":"0x' + b"44" * 20 + b'"}'): "malformed",
    framed(b'{"type":"enrol","epoch":1}'): "no_host",
    framed(b'{"type":"settled","session":{}}'): "malformed",
    framed(b'{"type":"ack","session":"' + SESSION.encode() + b'","sequence":true,"status":"stored"}'): "malformed",
    framed(b'{"type":"ack","session":"' + SESSION.encode() + b'","sequence":1,"status":"lost"}'): "malformed",
    framed(b'{"type":"end","session":"' + SESSION.encode() + b'"}'): "wrong_session",
    framed(b'{"type":"stop","session":"' + SESSION.encode() + b'","signature":"' + ZEROS.encode() + b'"}'): "wrong_session",
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, "desk_16a")
    yield bench
    bench.close()


def refuse_all(bench: Bench) -> None:
    for line, code in BAD_LINES.items():
        bench.connection.sendall(line)
        assert bench.expect("refused")["code"] == code, line[:100]


def test_bad_lines_are_refused_and_change_nothing(desk: Bench) -> None:
    desk.send(type="time", utc=NOW)
    desk.plug.run(4)
    refuse_all(desk)
    desk.plug.run(1)
    assert desk.newest_status()["state"] == "idle"
    session = desk.start()
    desk.plug.run(100)
    before = desk.newest_status()
    refuse_all(desk)
    assert desk.plug.ask(cmd="state")["contacts"] == 1
    desk.plug.run(100)
    after = desk.newest_status()
    assert (after["state"], after["session"], after["contactor"]) == (before["state"], session, 1)
    desk.stop(session)
    true_mwh = desk.plug.run(6)["true_mwh"]
    receipt = desk.expect_final()
    assert receipt["flags"] & FLAG_DRIVER_STOP
    assert true_mwh * 0.99 - 1_000 <= receipt["energyWh"] * 1_000 <= true_mwh * 1.001


def test_time_that_goes_back_changes_nothing(desk: Bench) -> None:
    session = desk.start()
    desk.plug.run(200)
    at = desk.newest_status()["at"]
    for utc in (1, NOW - 100_000, at - 1):
        desk.send(type="time", utc=utc)
        desk.plug.run(120)
    assert desk.newest_status()["at"] >= at + 300  # the last one sent of each minute
    assert desk.plug.ask(cmd="state")["contacts"] == 1
    desk.stop(session)
    desk.plug.run(6)
    receipt = desk.expect_final()
    assert receipt["asOf"] >= NOW + 560
    assert not receipt["flags"] & FLAG_TIME_OUT


def test_time_that_jumps_to_its_end_ends_the_session_and_bills_what_has_flowed(desk: Bench) -> None:
    desk.start()
    desk.plug.run(200)
    desk.send(type="time", utc=(1 << 31) - 1)
    state = desk.plug.run(6)
    assert state["contacts"] == 0
    receipt = desk.expect_final()
    assert receipt["flags"] & FLAG_TIME_OUT
    assert receipt["asOf"] <= NOW + 86_410
    Receipt.from_wire(receipt)
    assert receipt["energyWh"] * 1_000 <= state["true_mwh"] * 1.001
    desk.plug.run(100)
    assert desk.newest_status()["state"] == "idle"


@pytest.mark.parametrize("fault", [{"flip_ppm": 20_000}, {"flip_ppm": 300_000}, {"bus_stuck": "low"}, {"bus_stuck": "high"}])
def test_garbage_on_i2c_bills_no_more_and_trips_when_it_lasts(desk: Bench, fault: dict[str, object]) -> None:
    desk.start()
    desk.plug.run(60)
    desk.plug.ask(cmd="fault", **fault)
    state = desk.plug.run(60)
    if fault != {"flip_ppm": 20_000}:
        assert state["contacts"] == 0
        assert desk.newest_status()["trip"]
    status = desk.newest_status()
    assert 50_000 <= status["register_mwh"] <= state["true_mwh"] * 1.001 + 20
    assert "Traceback" not in desk.plug.log.read_text()


@pytest.mark.parametrize("board", ["bl0942_10a", "cse7766_16a"])
def test_garbage_on_a_uart_makes_no_energy_and_no_silence(tmp_path: Path, board: str) -> None:
    bench = Bench(tmp_path, board)
    try:
        for fault in ({"flip_ppm": 20_000}, {"flip_ppm": 300_000}, {"flip_ppm": 0}, {"bus_stuck": "low"}, {"bus_stuck": "high"}):
            bench.plug.ask(cmd="fault", **fault)
            assert bench.plug.run(20)["contacts"] == 0
            assert bench.newest_status()["register_mwh"] == 0
        assert "Traceback" not in bench.plug.log.read_text()
    finally:
        bench.close()


def booted_alone(folder: Path, board: str = "desk_16a") -> tuple[int, str]:
    """Start the plug in the folder of an earlier bench, with the flash as it is; return exit status and output of one that does not go on."""
    settings = json.loads((folder / "sim.json").read_text())
    settings["control"] = []
    (folder / "sim.json").write_text(json.dumps(settings))
    environment = os.environ | {"MICROPYPATH": f"{ROOT / 'firmware/sim'}:.frozen", "WATTSEAL_SIM": str(folder / "sim.json")}
    command = [ROOT / "build/bin/micropython-x64", "-X", "heapsize=512k", ROOT / "build/firmware" / board / "x64/main.py"]
    done = subprocess.run(command, cwd=folder / "flash", env=environment, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def charged(folder: Path) -> tuple[bytes, int]:
    """Leave a plug's flash after a session and in the middle of another; return the journal's bytes and what the first receipt came to."""
    bench = Bench(folder, "desk_16a")
    session = bench.start()
    bench.plug.run(100)
    bench.stop(session)
    bench.plug.run(6)
    energy_wh: int = bench.expect_final()["energyWh"]
    bench.now += 200
    bench.start()
    bench.plug.run(400)
    bench.close()
    return (folder / "flash/flash.bin").read_bytes(), energy_wh


def test_a_corrupt_config_is_named_and_ends_it_without_a_restart(tmp_path: Path) -> None:
    Bench(tmp_path, "desk_16a").close()
    config = tmp_path / "flash/config.json"
    good = json.loads(config.read_text())
    for text in (
        "",
        "\x00" * 200,
        "{",
        "null",
        json.dumps(good)[:-1],
        json.dumps(good | {"chain_id": "1"}),
        json.dumps(good | {"contract": "0x12"}),
        json.dumps(good | {"relay": {"host": "relay.example", "port": 1}}),
        json.dumps(good | {"more": 1}),
        json.dumps({"wifi": good["wifi"]}),
        json.dumps(good) + " " * 5_000,
        "[" * 4_000,
    ):
        config.write_text(text)
        status, output = booted_alone(tmp_path)
        assert status == 0, (text[:60], output)  # neither a reset nor the watchdog
        assert "config: " in output, (text[:60], output)
        assert "Traceback" not in output
    config.write_bytes(b"\xff\xfe" * 100)
    assert "config: " in booted_alone(tmp_path)[1]


def test_a_journal_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    journal, _ = charged(tmp_path)
    flash = tmp_path / "flash/flash.bin"
    random = Random(5)
    for other in (
        random.randbytes(len(journal)),
        bytes(len(journal)),
        journal[:4096] + random.randbytes(len(journal) - 4096),
        b"\xeb\x3c\x90MSDOS5.0" + b"\xff" * (len(journal) - 11),
        b"\xff" * (len(journal) - 1) + b"\x00",
        journal[len(journal) // 2 :] + journal[: len(journal) // 2],
    ):
        flash.write_bytes(other)
        status, output = booted_alone(tmp_path)
        assert (status, flash.read_bytes() == other) == (0, True), output
        assert "journal: " in output, output
        assert "Traceback" not in output


def test_damage_in_the_journal_is_refused_or_costs_nothing_that_was_signed(tmp_path: Path) -> None:
    journal, energy_wh = charged(tmp_path)
    flash = tmp_path / "flash/flash.bin"
    written = [at for at in range(0, len(journal), 16) if journal[at : at + 16] != b"\xff" * 16]
    outcomes = []
    for seed in range(12):
        random = Random(seed)
        damaged = bytearray(journal)
        for _ in range(1 if seed < 8 else 40):
            damaged[random.choice(written) + random.randrange(16)] ^= 1 << random.randrange(8)
        flash.write_bytes(damaged)
        bench = Bench.__new__(Bench)
        try:
            bench.__init__(tmp_path, "desk_16a")  # type: ignore[misc]
        except LinkError:
            output = (tmp_path / "plug.log").read_text()[-300:]
            assert "journal: " in output, (seed, output)
            assert flash.read_bytes() == bytes(damaged), seed
            outcomes.append("refused")
            continue
        finally:
            bench.server.close()
        state = bench.plug.run(20)
        assert state["contacts"] == 0
        if seed < 8:  # one flipped bit: what an earlier session signed is still there
            assert energy_wh in {receipt["energyWh"] for receipt in receipts_of(bench)}, seed
        outcomes.append("serves")
        bench.plug.kill()
    assert set(outcomes) == {"refused", "serves"}, outcomes


def receipts_of(bench: Bench) -> list[dict[str, int]]:
    """Return the receipts that wait on the connection."""
    bench.send(type="ping")
    receipts = []
    while (message := json.loads(bench.lines.readline()[9:]))["type"] != "pong":
        receipts += [message["receipt"]] if message["type"] == "receipt" else []
    return receipts
