from collections.abc import Callable

import pytest
from wattseal.store import SettlementRecord, Store

from tests.host_tools.store.pieces import ACTORS, RECEIPTS, SESSIONS, add


@pytest.fixture
def settled(store: Store) -> Store:
    """Two sessions of five receipts; the first was settled in between and in the end, the second is not settled to its end."""
    for index, session in enumerate(SESSIONS):
        store.add_voucher(session)
        for sequence in range(5):
            add(store, index, sequence)
        store.add_settlement(SettlementRecord(session.session, 2, "settled", paid=1))
    store.add_settlement(SettlementRecord(SESSIONS[0].session, 4, "settled", paid=2))
    return store


def forget_all(step: Callable[[int, int], int], before: int) -> int:
    total = 0
    while done := step(before, 1):
        total += done
    return total


def test_interim_receipts_go_and_what_was_settled_stays(settled: Store) -> None:
    first, second = (session.session for session in SESSIONS)
    assert forget_all(settled.forget_interim, ACTORS.now) == 0
    assert forget_all(settled.forget_interim, ACTORS.now + 1) == 1
    assert settled.receipts(first) == [RECEIPTS[first, 2, 0], RECEIPTS[first, 4, 0]]
    assert settled.count_receipts(second) == 5
    assert settled.voucher(first) == SESSIONS[0]
    assert [record.paid for record in settled.settlements(first)] == [1, 2]
    assert forget_all(settled.forget_interim, ACTORS.now + 1) == 0
    assert settled.settled_sessions(ACTORS.plug, 32) == [first]


def test_in_the_end_all_of_a_settled_session_goes_and_nothing_of_others(settled: Store) -> None:
    first, second = (session.session for session in SESSIONS)
    forget_all(settled.forget_interim, ACTORS.now + 1)
    assert forget_all(settled.forget_sessions, ACTORS.now) == 0
    assert forget_all(settled.forget_sessions, ACTORS.now + 1) == 1
    assert (settled.voucher(first), settled.receipts(first), settled.settlements(first)) == (None, [], [])
    assert settled.count_receipts(second) == 5
    assert [entry.session.session for entry in settled.unsettled()] == [second]
    assert settled.knows(ACTORS.plug)


def test_a_late_settlement_starts_the_time_anew(where: str) -> None:
    now = [ACTORS.now]
    store = Store(where, clock=lambda: now[0])
    store.add_voucher(SESSIONS[0])
    for sequence in (3, 4):
        add(store, 0, sequence)
    now[0] += 1000
    store.add_settlement(SettlementRecord(SESSIONS[0].session, 4, "settled"))
    assert store.forget_interim(ACTORS.now + 1000) == 0
    assert store.forget_interim(ACTORS.now + 1001) == 1
    store.close()
