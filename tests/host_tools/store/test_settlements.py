from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wattseal.store import SettlementRecord, Store

from tests.host_tools.store.pieces import ACTORS, SESSIONS, add


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
    assert store.unsettled() == []
    assert store.settled_sessions(ACTORS.plug, 32) == []


def record(state: str, sequence: int = 4, **more: Any) -> SettlementRecord:
    return SettlementRecord(SESSIONS[0].session, sequence, state, **more)


def test_a_settlement_in_flight_gives_way_to_what_becomes_of_it(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 4)
    steps = [record("sent", tx_hash=b"\x01" * 32), record("sent", tx_hash=b"\x02" * 32), record("included", tx_hash=b"\x02" * 32, paid=2**200)]
    for step in steps:
        store.add_settlement(step)
        assert store.settlements(SESSIONS[0].session) == [step]
        (entry,) = store.unsettled()
        assert entry.in_flight == step
        assert store.settled_sessions(ACTORS.plug, 32) == []
    store.add_settlement(record("settled", paid=2**200))
    assert store.settlements(SESSIONS[0].session) == [record("settled", paid=2**200)]
    assert store.unsettled() == []
    assert store.settled_sessions(ACTORS.plug, 32) == [SESSIONS[0].session]


def test_one_settlement_of_a_session_at_a_time(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    store.add_settlement(record("sent", 1))
    add(store, 0, 4)
    (entry,) = store.unsettled()
    assert entry.message.receipt.sequence == 1
    store.add_settlement(record("settled", 1, total_paid=77))
    (entry,) = store.unsettled()
    assert (entry.message.receipt.sequence, entry.paid, entry.in_flight) == (4, 77, None)


def test_since_when_a_session_waits(where: str) -> None:
    now = [ACTORS.now]
    store = Store(where, clock=lambda: now[0])
    store.add_voucher(SESSIONS[0])
    now[0] += 10
    add(store, 0, 1)
    (entry,) = store.unsettled()
    assert (entry.since, entry.received_at, entry.paid) == (ACTORS.now, ACTORS.now + 10, 0)
    now[0] += 10
    store.add_settlement(record("settled", 1, total_paid=5))
    add(store, 0, 2)
    (entry,) = store.unsettled()
    assert (entry.since, entry.received_at, entry.paid) == (ACTORS.now + 20, ACTORS.now + 20, 5)
    store.close()


def test_an_interim_settlement_is_no_end(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    store.add_settlement(record("settled", 1))
    add(store, 0, 4)
    store.add_settlement(record("failed", 4))
    assert store.settled_sessions(ACTORS.plug, 32) == []


def test_two_workers_never_have_the_same_session(store: Store) -> None:
    first, second = (session.session for session in SESSIONS)
    for session in SESSIONS:
        store.add_voucher(session)
    assert store.lease([first], "a", for_s=60) == {first}
    assert store.lease([first, second], "b", for_s=60) == {second}
    assert store.lease([first, second], "c", for_s=60) == set()
    assert store.lease([first, second], "a", for_s=60) == {first}
    assert store.lease([], "a", for_s=60) == set()


def test_a_lease_ends_with_its_time(where: str) -> None:
    now = [ACTORS.now]
    store = Store(where, clock=lambda: now[0])
    store.add_voucher(SESSIONS[0])
    session = SESSIONS[0].session
    assert store.lease([session], "dead", for_s=60) == {session}
    now[0] += 59
    assert store.lease([session], "b", for_s=60) == set()
    now[0] += 1
    assert store.lease([session], "b", for_s=60) == {session}
    store.close()


def test_leasing_at_the_same_time(where: str) -> None:
    """Two processes' worth of threads ask for the same sessions at once: each gets them whole or not, and nobody waits for the other."""
    store = Store(where)
    sessions = [ACTORS.session(ACTORS.voucher(nonce=nonce)) for nonce in range(20)]
    for session in sessions:
        store.add_voucher(session)
    wanted = [session.session for session in sessions]
    with ThreadPoolExecutor(4) as pool:
        leased = list(pool.map(lambda worker: store.lease(wanted, worker, for_s=60), "abcd"))
    assert sum(map(len, leased)) == len(set().union(*leased)) == len(wanted)
    store.close()
