"""What holds for every part of the store: transactions, threads, failures, errors."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from wattseal.errors import ConfigError, StoreError, WattsealError
from wattseal.store import Added, Store

from tests.host_tools.store.pieces import ACTORS, RECEIPTS, SESSIONS, add
from tests.postgresql import Cluster


def test_what_is_committed_survives_a_power_cut(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    store = Store(path)
    assert store._row("PRAGMA journal_mode") == {"journal_mode": "wal"}
    assert store._row("PRAGMA synchronous") == {"synchronous": 2}  # FULL
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM receipts").fetchone() == (1,)


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    store.add_voucher(SESSIONS[0])

    def fail_after_adding() -> None:
        with store.transaction():
            add(store, 0, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_adding()
    assert store.receipts(SESSIONS[0].session) == []
    assert add(store, 0, 1) is Added.STORED


def test_everything_is_there_after_opening_again(store: Store, where: str) -> None:
    store.bind(1, ACTORS.contract)
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    store.close()
    again = Store(where)
    again.bind(1, ACTORS.contract)
    assert again.newest_receipt(SESSIONS[0].session) == RECEIPTS[SESSIONS[0].session, 1, 0]


@pytest.mark.parametrize(("chain_id", "contract"), [(2, ACTORS.contract), (1, ACTORS.host)])
def test_a_store_belongs_to_one_chain_and_contract(store: Store, chain_id: int, contract: bytes) -> None:
    store.bind(1, ACTORS.contract)
    with pytest.raises(ConfigError, match="another --store"):
        store.bind(chain_id, contract)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    store = Store(path)
    store._execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="update wattseal"):
        Store(path)


@pytest.mark.parametrize("content", [b"no database, but long enough to be read as one" * 50, None])
def test_a_file_that_cannot_be_used_is_a_store_error(tmp_path: Path, content: bytes | None) -> None:
    path: Any = tmp_path / "folder" / "relay.sqlite" if content is None else tmp_path / "relay.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"relay\.sqlite"):
        Store(path)


def test_a_damaged_row_is_a_store_error(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    store._execute("UPDATE vouchers SET voucher = replace(voucher, 'cap', 'cup')")
    with pytest.raises(StoreError, match="damaged"):
        store.voucher(SESSIONS[0].session)


def test_a_damaged_row_is_named(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    store._execute("UPDATE receipts SET receipt = '[]'")
    with pytest.raises(StoreError, match="Receipt is damaged"):
        store.newest_receipt(SESSIONS[0].session)


def test_threads_write_at_once_and_nothing_is_lost_or_doubled(store: Store) -> None:
    for session in SESSIONS:
        store.add_voucher(session)
    keys = [key for key in RECEIPTS if key[2] == 0] * 4
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda key: store.add_receipt(ACTORS.plug, RECEIPTS[key]), keys))
    assert sum(outcome in (Added.STORED, Added.SUPERSEDED) for outcome in outcomes) == 10
    assert sum(outcome is Added.DUPLICATE for outcome in outcomes) == 30
    assert [store.count_receipts(session.session) for session in SESSIONS] == [5, 5]


def test_a_reader_does_not_wait_for_a_writer_and_sees_nothing_half_done(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    seen: list[int] = []

    def read() -> None:
        seen.append(store.count_receipts(SESSIONS[0].session))

    with store.transaction():
        add(store, 0, 1)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(10)
    read()
    assert seen == [0, 1]


def test_a_statement_that_failed_undoes_the_whole_transaction_even_if_its_error_was_dropped(store: Store, where: str) -> None:
    store.add_voucher(SESSIONS[0])
    dropped = 0

    def write() -> None:
        nonlocal dropped
        with store.transaction():
            add(store, 0, 1)
            try:
                add(store, 1, 1)  # of no known session
            except StoreError:
                dropped += 1

    if where.startswith("postgresql"):
        with pytest.raises(StoreError, match="undid"):
            write()
        assert store.count_receipts(SESSIONS[0].session) == 0
    else:
        write()
        assert store.count_receipts(SESSIONS[0].session) == 1
    assert dropped == 1


def test_a_database_that_is_killed_in_a_batch_keeps_nothing_of_it_and_is_found_again(postgresql: Cluster) -> None:
    store = Store(postgresql.empty_database())
    for session in SESSIONS:
        store.add_voucher(session)
    add(store, 1, 1)
    seen = threading.Event()

    def use_another_connection() -> None:
        store.plugs()
        seen.set()

    with pytest.raises(StoreError), store.transaction():  # noqa: PT012 - it is the commit that fails
        for sequence in range(4):
            add(store, 0, sequence)
        thread = threading.Thread(target=use_another_connection)
        thread.start()
        assert seen.wait(10)
        postgresql.kill()
        add(store, 0, 4)
    with pytest.raises(StoreError):
        store.plugs()
    postgresql.start()
    assert store.receipts(SESSIONS[0].session) == []
    assert store.count_receipts(SESSIONS[1].session) == 1
    assert add(store, 0, 4) is Added.STORED
    store.close()


def test_a_restarted_database_costs_one_error_at_most(postgresql: Cluster) -> None:
    store = Store(postgresql.empty_database())
    store.add_voucher(SESSIONS[0])
    with ThreadPoolExecutor(4) as threads:  # several connections that are idle when the server goes
        list(threads.map(lambda _: store.plugs(), range(16)))
    postgresql.kill()
    postgresql.start()
    with pytest.raises(StoreError, match="new connection"):
        add(store, 0, 1)
    assert add(store, 0, 1) is Added.STORED
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host:{}@127.0.0.1:1/relay",
        "postgresql://host@127.0.0.1:1/relay?password={}",
        "postgresql://host:{}@[127.0.0.1/relay",
        "postgresql://host:{}@127.0.0.1:port/relay",
        "postgresql://host:{}@127.0.0.1:1/relay?no_such_option=1",
        "postgresql://host:{}%zz@127.0.0.1:1/relay",
        "postgresql://host:p@{}@127.0.0.1:1/relay",
    ],
)
def test_no_message_shows_the_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WattsealError) as refused:
        Store(url.format("hunter2"))
    shown: Any = refused.value
    while shown is not None:
        assert "hunter2" not in str(shown) + repr(shown)
        shown = None if shown.__suppress_context__ else shown.__cause__ or shown.__context__
    assert "hunter2" not in caplog.text


def test_a_database_of_a_newer_format_is_refused(postgresql: Cluster) -> None:
    url = postgresql.empty_database()
    store = Store(url)
    store._execute("INSERT INTO store_format (format) VALUES (99)")
    store.close()
    with pytest.raises(StoreError, match="update wattseal"):
        Store(url)
