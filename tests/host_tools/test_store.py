import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from wattseal.errors import ConfigError, StoreError
from wattseal.protocol.messages import ReceiptMessage, Status
from wattseal.store import Added, SettlementRecord, Store, quarantine, statuses

from tests.host_tools.conftest import Actors

ACTORS = Actors()
SESSIONS = [ACTORS.session(ACTORS.voucher(nonce=nonce)) for nonce in (1, 2)]
# Two different receipts for every key; whether they fit together is not the store's business.
RECEIPTS = {
    (session.session, sequence, variant): ACTORS.receipt_message(session.session, sequence, final=sequence == 4, energyWh=100 * sequence + variant)
    for session in SESSIONS
    for sequence in range(5)
    for variant in range(2)
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.sqlite"


@pytest.fixture
def store(path: Path) -> Store:
    return Store(path, clock=lambda: ACTORS.now)


def add(store: Store, session: int, sequence: int, variant: int = 0) -> Added:
    return store.add_receipt(ACTORS.plug, RECEIPTS[SESSIONS[session].session, sequence, variant])


class AgainstADict(RuleBasedStateMachine):
    """The store does what a dict of receipts does that is only ever added to."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(":memory:", clock=lambda: ACTORS.now)
        self.model: dict[tuple[bytes, int], ReceiptMessage] = {}
        self.settled: dict[bytes, int] = {}
        for session in SESSIONS:
            self.store.add_voucher(session)

    def newest(self, session: bytes) -> int | None:
        return max((sequence for key, sequence in self.model if key == session), default=None)

    @rule(key=st.sampled_from(sorted(RECEIPTS)))
    def add(self, key: tuple[bytes, int, int]) -> None:
        session, sequence, _ = key
        message = RECEIPTS[key]
        stored = self.model.setdefault((session, sequence), message)
        added = self.store.add_receipt(ACTORS.plug, message)
        if stored != message:
            assert added is Added.CONFLICT
        elif added is not Added.DUPLICATE:
            assert added is (Added.STORED if self.newest(session) == sequence else Added.SUPERSEDED)

    @rule(key=st.sampled_from(sorted(RECEIPTS)))
    def add_twice(self, key: tuple[bytes, int, int]) -> None:
        self.add(key)
        assert self.store.add_receipt(ACTORS.plug, RECEIPTS[key]) in (Added.DUPLICATE, Added.CONFLICT)

    @rule(index=st.integers(0, 1))
    def settle_newest(self, index: int) -> None:
        session = SESSIONS[index].session
        sequence = self.newest(session)
        if sequence is not None:
            self.store.add_settlement(SettlementRecord(session, sequence, "settled"))
            self.settled[session] = sequence

    @invariant()
    def agrees(self) -> None:
        for accepted in SESSIONS:
            session = accepted.session
            mine = [self.model[key] for key in sorted(self.model) if key[0] == session]
            assert self.store.receipts(session) == mine
            assert self.store.count_receipts(session) == len(mine)
            assert self.store.newest_receipt(session) == (mine[-1] if mine else None)
            for (_, sequence), around in self.store.around([(session, sequence) for sequence in range(6)]).items():
                lower = [message.receipt for message in mine if message.receipt.sequence < sequence]
                higher = [message.receipt for message in mine if message.receipt.sequence > sequence]
                assert around.same == self.model.get((session, sequence))
                assert around.lower == (lower[-1] if lower else None)
                assert around.higher == (higher[0] if higher else None)
        for before, only_final in ((0, True), (ACTORS.now + 1, False)):
            expected = {
                session.session
                for session in SESSIONS
                if (newest := self.newest(session.session)) is not None
                and newest > self.settled.get(session.session, -1)
                and (newest == 4 or not only_final)
            }
            assert {voucher.session for voucher, _ in self.store.due(received_before=before)} == expected


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_what_is_committed_survives_a_power_cut(store: Store, path: Path) -> None:
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


def test_a_receipt_of_no_known_session_is_not_stored(store: Store) -> None:
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        add(store, 0, 1)


def test_the_widest_integers_are_kept(store: Store) -> None:
    voucher = ACTORS.voucher(cap=2**128 - 1, pricePerKwh=2**96 - 1, issuedAt=2**64 - 2, validUntil=2**64 - 1, nonce=2**64 - 1)
    session = ACTORS.session(voucher)
    store.add_voucher(session)
    assert store.voucher(session.session) == session
    message = RECEIPTS[SESSIONS[0].session, 1, 0]
    wide = replace(message, receipt=replace(message.receipt, session=session.session, sequence=2**32 - 1, energyWh=2**64 - 1, asOf=2**64 - 1))
    store.add_receipt(ACTORS.plug, wide)
    assert store.newest_receipt(session.session) == wide
    store.add_settlement(SettlementRecord(session.session, 1, "settled", paid=2**128 - 1, total_paid=2**128 - 1))
    assert store.settlements(session.session)[0].paid == 2**128 - 1


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_a_plugs_newest_session_is_unfinished_until_its_final_receipt(store: Store, first: int, second: int) -> None:
    assert store.unfinished(ACTORS.plug) is None
    store.add_voucher(SESSIONS[first])
    add(store, first, 1)
    assert store.unfinished(ACTORS.plug) == SESSIONS[first]
    store.add_voucher(SESSIONS[second])
    assert store.unfinished(ACTORS.plug) == SESSIONS[second]
    add(store, second, 4)
    assert store.unfinished(ACTORS.plug) is None


def test_a_settlement_is_kept_as_it_was(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 4)
    record = SettlementRecord(SESSIONS[0].session, 4, "settled", b"\x01" * 32, 12, b"\x02" * 32, 41_804, 5, 9, proof_verified=True)
    store.add_settlement(record)
    assert store.settlements(SESSIONS[0].session) == [record]
    assert store.settled_sessions(ACTORS.plug, 32) == [SESSIONS[0].session]


def test_a_failed_final_settlement_is_not_tried_again_nor_called_settled(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 4)
    store.add_settlement(SettlementRecord(SESSIONS[0].session, 4, "failed", code="reverted", message="too_late"))
    assert store.due(received_before=2**40) == []
    assert store.settled_sessions(ACTORS.plug, 32) == []


def test_the_quarantine_keeps_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_QUARANTINE_ROWS", 3)
    for number in range(5):
        store.add_quarantined("192.0.2.1:5", "bad_frame", f"no frame {number}", b"\x00\xff%d" % number)
    entries = store.quarantined()
    assert [(entry.code, entry.raw, entry.received_at) for entry in entries] == [("bad_frame", b"\x00\xff%d" % n, ACTORS.now) for n in (4, 3, 2)]


def test_statuses_keep_the_newest_of_each_plug(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statuses, "MAX_STATUS_ROWS", 2)
    reports = [
        Status("idle", None, at, 230_000, 0, -5, 2**63 - 1, 0, 50_000, None, -5_000, "tripped", None, "weld", "line live", "welded")
        for at in range(4)
    ]
    for status in reports:
        store.add_status(ACTORS.plug, status)
    store.add_status(ACTORS.other_plug, reports[0])
    assert store.statuses(ACTORS.plug) == reports[2:]
    assert store.statuses(ACTORS.other_plug) == reports[:1]
    assert store.plugs() == sorted([ACTORS.plug, ACTORS.other_plug])
    assert store.knows(ACTORS.plug)
    assert not store.knows(ACTORS.host)


def test_everything_is_there_after_opening_again(store: Store, path: Path) -> None:
    store.bind(1, ACTORS.contract)
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    store.close()
    again = Store(path)
    again.bind(1, ACTORS.contract)
    assert again.newest_receipt(SESSIONS[0].session) == RECEIPTS[SESSIONS[0].session, 1, 0]


@pytest.mark.parametrize(("chain_id", "contract"), [(2, ACTORS.contract), (1, ACTORS.host)])
def test_a_store_belongs_to_one_chain_and_contract(store: Store, chain_id: int, contract: bytes) -> None:
    store.bind(1, ACTORS.contract)
    with pytest.raises(ConfigError, match="another --store"):
        store.bind(chain_id, contract)


def test_a_newer_format_is_refused(store: Store, path: Path) -> None:
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
