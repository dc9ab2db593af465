"""`wattseal export` as its users meet it."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wattseal.protocol.messages import Receipt, Voucher, due, to_hex
from wattseal.store import SettlementRecord, Store

from tests.host_tools.conftest import Actors

ACTORS = Actors()
SESSIONS = [ACTORS.session(ACTORS.voucher(nonce=nonce)) for nonce in (1, 2)]
PATIENCE_S = 30


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from wattseal.cli.main import app; app()", "export", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=os.environ | environment)


@pytest.fixture
def place(where: str) -> str:
    """Two sessions: the first is settled, the second goes on."""
    store = Store(where, clock=lambda: ACTORS.now)
    for index, session in enumerate(SESSIONS):
        store.add_voucher(session)
        for sequence in (1, 2):
            store.add_receipt(ACTORS.plug, ACTORS.receipt_message(session.session, sequence, final=sequence == 2 and not index))
    store.add_settlement(SettlementRecord(SESSIONS[0].session, 2, "settled", b"\x01" * 32, 12, b"\x02" * 32, 41_804, 5, 2**100, proof_verified=True))
    store.close()
    return where


def test_json_lines_hold_all_that_was_signed(place: str) -> None:
    lines = run("--store", place, "--format", "jsonl").stdout.splitlines()
    first, second = map(json.loads, lines)
    for row, session in zip((first, second), SESSIONS, strict=True):
        message = ACTORS.receipt_message(session.session, 2, final=session is SESSIONS[0])
        assert Voucher.from_wire(row["voucher"]) == session.voucher
        assert Receipt.from_wire(row["receipt"]) == message.receipt
        assert (row["driver_signature"], row["plug_signature"], row["ocmf"]) == (to_hex(session.signature), to_hex(message.signature), message.ocmf)
        assert row["due_wei"] == due(session.voucher, message.receipt)
    assert (first["settlement"]["state"], first["settlement"]["total_paid"], first["settlement"]["tx_hash"]) == ("settled", 2**100, "0x" + "01" * 32)
    assert second["settlement"] is None
    assert len(run("--format", "jsonl", "--interim", WATTSEAL_RELAY_STORE=place).stdout.splitlines()) == 4


def test_a_table_has_units_in_its_names_and_integers_in_its_cells(place: str) -> None:
    first, second = csv.DictReader(io.StringIO(run("--store", place, "--format", "csv").stdout))
    assert {
        name: first[name] for name in ("energy_wh", "active_s", "register_start_wh", "register_end_wh", "final", "total_paid_wei", "paid_wei")
    } == {
        "energy_wh": "300",
        "active_s": "580",
        "register_start_wh": "1000000",
        "register_end_wh": "1000300",
        "final": "1",
        "total_paid_wei": str(2**100),
        "paid_wei": "5",
    }
    assert first["as_of_utc"] == "2026-02-25T06:24:20Z"
    assert (second["final"], second["settlement_state"], second["paid_wei"]) == ("0", "", "")


def test_a_span_and_a_plug_choose(place: str) -> None:
    assert run("--store", place, "--format", "jsonl", "--since", "2026-02-25T07:24:21+01:00").stdout == ""
    assert len(run("--store", place, "--format", "jsonl", "--until", "2026-02-25T06:24:21").stdout.splitlines()) == 2
    assert run("--store", place, "--format", "jsonl", "--plug", to_hex(ACTORS.host)).stdout == ""


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    done = run("--store", str(path), "--format", "csv")
    assert (done.returncode, path.exists()) == (1, False)
    assert "wattseal: there is no store" in done.stderr


@pytest.mark.parametrize("options", [("--since", "yesterday"), ("--plug", "0x12"), ("--format", "xml")])
def test_wrong_options_are_wrong_usage(tmp_path: Path, options: tuple[str, str]) -> None:
    assert run("--store", str(tmp_path), "--format", "csv", *options).returncode == 2
