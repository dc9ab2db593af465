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
    assert store.due(received_before=2**40) == []
    assert store.settled_sessions(ACTORS.plug, 32) == []


def test_two_workers_never_have_the_same_session(store: Store) -> None:
    for session in SESSIONS:
        store.add_voucher(session)
    for index in (0, 1):
        add(store, index, 4)
    (first,) = store.lease_due(received_before=0, limit=1, worker="a", for_s=60)
    (second,) = store.lease_due(received_before=0, limit=5, worker="b", for_s=60)
    assert {first[0].session, second[0].session} == {session.session for session in SESSIONS}
    assert store.lease_due(received_before=0, limit=5, worker="c", for_s=60) == []
    assert store.lease_due(received_before=0, limit=5, worker="a", for_s=60) == [first]
    store.let_go(second[0].session, "a")  # not its own
    assert store.lease_due(received_before=0, limit=5, worker="c", for_s=60) == []
    store.let_go(second[0].session, "b")
    assert store.lease_due(received_before=0, limit=5, worker="c", for_s=60) == [second]


def test_a_lease_ends_with_its_time(where: str) -> None:
    now = [ACTORS.now]
    store = Store(where, clock=lambda: now[0])
    store.add_voucher(SESSIONS[0])
    add(store, 0, 4)
    assert len(store.lease_due(received_before=0, limit=5, worker="dead", for_s=60)) == 1
    now[0] += 59
    assert store.lease_due(received_before=0, limit=5, worker="b", for_s=60) == []
    now[0] += 1
    assert len(store.lease_due(received_before=0, limit=5, worker="b", for_s=60)) == 1
    store.close()


def test_nothing_is_leased_that_is_not_due(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    assert store.lease_due(received_before=ACTORS.now, limit=5, worker="a", for_s=60) == []
    assert len(store.lease_due(received_before=ACTORS.now + 1, limit=5, worker="a", for_s=60)) == 1
