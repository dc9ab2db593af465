import pytest
from wattseal.errors import TooMany
from wattseal.protocol.messages import Enrolment, RetiredMessage, Status
from wattseal.store import Store, plugs, vouchers

from tests.host_tools.store.pieces import ACTORS, SESSIONS, add

STATUS = Status("idle", None, 1, 230_000, 0, -5, 2**63 - 1, 0, 50_000, None, -5_000, "open", None, None, None, "ok")


def retired(number: int, successor: bytes = ACTORS.plug) -> RetiredMessage:
    return RetiredMessage(number.to_bytes(20), successor, 3, bytes(65))


def test_plugs_are_known_by_what_they_brought(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    store.add_status(ACTORS.other_plug, STATUS)
    store.put_enrolment(Enrolment(b"\x07" * 20, ACTORS.host, 1, "p256", bytes(64), bytes(65)))
    assert store.plugs() == sorted([ACTORS.plug, ACTORS.other_plug, b"\x07" * 20])
    assert all(map(store.knows, store.plugs()))
    assert not store.knows(ACTORS.host)


def test_invented_plugs_find_no_room_and_known_ones_go_on(where: str) -> None:
    store = Store(where, max_plugs=2)
    store.add_voucher(SESSIONS[0])
    store.add_status(ACTORS.other_plug, STATUS)
    with pytest.raises(TooMany, match="--max-plugs"):
        store.add_status(b"\x07" * 20, STATUS)
    with pytest.raises(TooMany):
        store.put_enrolment(Enrolment(b"\x07" * 20, ACTORS.host, 1, "p256", bytes(64), bytes(65)))
    with pytest.raises(TooMany):
        store.put_retirement(retired(1, b"\x07" * 20))
    assert store.statuses(b"\x07" * 20) == []
    store.add_status(ACTORS.plug, STATUS)
    store.add_voucher(SESSIONS[1])
    store.close()


def test_a_plug_of_a_transaction_that_was_undone_is_not_taken_for_known(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.add_status(ACTORS.plug, STATUS)
            store.add_status(ACTORS.plug, STATUS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not store.knows(ACTORS.plug)
    store.add_status(ACTORS.plug, STATUS)
    assert store.plugs() == [ACTORS.plug]


def test_invented_predecessors_find_no_room(store: Store) -> None:
    for number in range(plugs.MAX_PREDECESSORS):
        store.put_retirement(retired(number))
    store.put_retirement(retired(0))  # again
    with pytest.raises(TooMany):
        store.put_retirement(retired(plugs.MAX_PREDECESSORS))
    assert len(store.identities(ACTORS.plug)) == 1 + plugs.MAX_PREDECESSORS
    store.put_retirement(retired(100, ACTORS.other_plug))
    assert store.identities(ACTORS.other_plug) == [ACTORS.other_plug, (100).to_bytes(20)]


def test_of_invented_sessions_the_oldest_makes_room_and_signed_ones_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouchers, "MAX_OPEN_SESSIONS", 3)
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    invented = [ACTORS.session(ACTORS.voucher(nonce=nonce)) for nonce in range(100, 105)]
    for session in invented:
        store.add_voucher(session)
    assert [store.voucher(session.session) is not None for session in invented] == [False, False, True, True, True]
    assert store.voucher(SESSIONS[0].session) == SESSIONS[0]


def test_a_plug_with_too_many_unsettled_sessions_gets_no_further(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouchers, "MAX_OPEN_SESSIONS", 1)
    store.add_voucher(SESSIONS[0])
    add(store, 0, 1)
    with pytest.raises(TooMany, match="settle"):
        store.add_voucher(SESSIONS[1])
    store.add_voucher(SESSIONS[0])  # again
    assert store.voucher(SESSIONS[1].session) is None
