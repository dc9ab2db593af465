from dataclasses import replace

import pytest
from wattseal.store import SettlementRecord, Store

from tests.host_tools.store.pieces import ACTORS, RECEIPTS, SESSIONS, add

PAID = SettlementRecord(SESSIONS[0].session, 4, "settled", b"\x01" * 32, 12, b"\x02" * 32, 41_804, 5, 2**128 - 1, proof_verified=True)
OTHER = ACTORS.session(ACTORS.voucher(plug=ACTORS.other_plug))


@pytest.fixture
def filled(store: Store) -> Store:
    for index, session in enumerate(SESSIONS):
        store.add_voucher(session)
        for sequence in range(5 - index):
            add(store, index, sequence)
    store.add_voucher(OTHER)
    message = ACTORS.receipt_message(OTHER.session, 1)
    store.add_receipt(ACTORS.other_plug, replace(message, receipt=replace(message.receipt, asOf=ACTORS.now + 40_000)))
    store.add_settlement(SettlementRecord(SESSIONS[0].session, 4, "failed", code="reverted"))
    store.add_settlement(PAID)
    return store


def test_each_session_comes_once_with_its_newest_receipt_and_settlement(filled: Store) -> None:
    first, second, third = filled.export()
    assert (first.session, first.receipt, first.settlement) == (SESSIONS[0], RECEIPTS[SESSIONS[0].session, 4, 0], PAID)
    assert (second.session, second.receipt, second.settlement) == (SESSIONS[1], RECEIPTS[SESSIONS[1].session, 3, 0], None)
    assert third.session == OTHER
    assert first.received_at == ACTORS.now


def test_interim_receipts_come_where_they_are_asked_for(filled: Store) -> None:
    found = [(row.session.session, row.receipt.receipt.sequence) for row in filled.export(interim=True)]
    assert found == [(SESSIONS[0].session, n) for n in range(5)] + [(SESSIONS[1].session, n) for n in range(4)] + [(OTHER.session, 1)]


def test_a_span_of_time_is_that_of_the_readings(filled: Store) -> None:
    assert [row.session for row in filled.export(since=ACTORS.now + 1260)] == [SESSIONS[0], OTHER]
    assert [row.session for row in filled.export(since=ACTORS.now + 1261)] == [OTHER]
    assert [row.session for row in filled.export(until=ACTORS.now + 1260)] == [SESSIONS[1]]


def test_a_plug_gets_its_own(filled: Store) -> None:
    assert [row.session for row in filled.export(plug=ACTORS.other_plug)] == [OTHER]
    assert list(filled.export(plug=ACTORS.host)) == []


def test_an_export_shows_one_moment_and_keeps_nobody_from_writing(filled: Store) -> None:
    rows = filled.export(interim=True)
    next(rows)
    add(filled, 1, 4)
    assert len(list(rows)) == 9  # without the one that came later
    assert len(list(filled.export(interim=True))) == 11


def test_many_rows_come_in_order(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    template = RECEIPTS[SESSIONS[0].session, 1, 0]
    rows = [(ACTORS.plug, replace(template, receipt=replace(template.receipt, sequence=sequence))) for sequence in range(1201)]
    with store.transaction():
        store.add_receipts(rows)
    assert [row.receipt.receipt.sequence for row in store.export(interim=True)] == list(range(1201))
