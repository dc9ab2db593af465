"""Files that older versions wrote open, and keep what they hold."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from wattseal.errors import StoreError
from wattseal.store import SettlementRecord, Store, migrations

from tests.host_tools.store.pieces import ACTORS, SESSIONS
from tests.postgresql import Cluster

FORMAT_2 = (Path(__file__).parent / "format_2.sql").read_text()
NEWER_TABLES = ("enrolments", "retirements")
PROCESSES = 4


def old_file(path: Path, version: int) -> None:
    """Write a file as a version of Wattseal with that format did."""
    with sqlite3.connect(path) as database:
        database.executescript(FORMAT_2)
        if version == 1:
            for table in NEWER_TABLES:
                database.execute(f"DROP TABLE {table}")
            database.execute("PRAGMA user_version = 1")
    database.close()


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_opens_with_all_that_it_holds(tmp_path: Path, version: int) -> None:
    path = tmp_path / "relay.sqlite"
    old_file(path, version)
    first, second = reversed(SESSIONS)  # in this order they came
    for _ in range(2):  # the second time there is nothing left to do
        store = Store(path)
        store.bind(ACTORS.chain_id, ACTORS.contract)
        assert (store.voucher(first.session), store.voucher(second.session)) == (first, second)
        assert store.unfinished(ACTORS.plug) == second
        assert [message.receipt.sequence for message in store.receipts(first.session)] == [1, 4]
        assert store.newest_receipt(second.session) == ACTORS.receipt_message(second.session, 1)
        settled = SettlementRecord(first.session, 4, "settled", b"\x01" * 32, 12, b"\x02" * 32, 41_804, 5, 2**128 - 1, proof_verified=True)
        assert store.settlements(first.session) == [settled]
        assert [entry.session for entry in store.unsettled()] == [second]
        assert [entry.raw for entry in store.quarantined()] == [b"\x00\xff"]
        assert len(store.statuses(ACTORS.other_plug)) == 1
        assert store.plugs() == sorted({ACTORS.plug, ACTORS.other_plug} | ({b"\x07" * 20} if version == 2 else set()))
        assert store.identities(ACTORS.plug) == [ACTORS.plug] + ([b"\x08" * 20] if version == 2 else [])
        store.close()


def test_receipts_still_need_their_voucher_after_the_tables_were_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    old_file(path, 2)
    store = Store(path)
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store._execute("DELETE FROM vouchers")
    store.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "relay.sqlite"
    old_file(path, 2)
    broken = migrations.Step((*migrations.STEPS[2].sqlite, "CREATE TABLE"), ())
    monkeypatch.setattr("wattseal.store.database.STEPS", (*migrations.STEPS[:2], broken))
    with pytest.raises(StoreError):
        Store(path)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM vouchers").fetchone() == (2,)
        assert database.execute("SELECT name FROM sqlite_master WHERE name = 'numbered'").fetchone() is None


def test_processes_that_start_at_once_make_the_tables_once(postgresql: Cluster) -> None:
    url = postgresql.empty_database()
    program = f"from wattseal.store import Store; input(); Store({url!r}).close()"
    running = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) for _ in range(PROCESSES)]
    for process in running:
        if process.stdin:
            process.stdin.write(b"\n")
            process.stdin.flush()
    assert [process.wait(30) for process in running] == [0] * PROCESSES
    store = Store(url)
    assert store._rows("SELECT format FROM store_format ORDER BY format") == [{"format": number + 1} for number in range(len(migrations.STEPS))]
    store.close()
