from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from wattseal.errors import StoreError
from wattseal.protocol.messages import ReceiptMessage
from wattseal.store import Added, SettlementRecord, Store

from tests.host_tools.store.pieces import ACTORS, RECEIPTS, SESSIONS, add


class AgainstADict(RuleBasedStateMachine):
    """The store does what a dict of receipts does that is only ever added to."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        for table in ("settlements", "receipts", "vouchers"):
            store._execute(f"DELETE FROM {table}")
        self.store = store
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
        expected = {
            session.session: newest
            for session in SESSIONS
            if (newest := self.newest(session.session)) is not None and newest > self.settled.get(session.session, -1)
        }
        assert {entry.session.session: entry.message.receipt.sequence for entry in self.store.unsettled()} == expected


def test_against_a_dict(store: Store) -> None:
    run_state_machine_as_test(lambda: AgainstADict(store), settings=settings(max_examples=20, stateful_step_count=25, deadline=None))


def test_a_receipt_of_no_known_session_is_not_stored(store: Store) -> None:
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
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
