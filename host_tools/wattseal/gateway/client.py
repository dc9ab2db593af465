"""Reads and settles sessions; believes nothing that is not proven against a header."""

import threading
from dataclasses import dataclass

from wattseal.errors import ConfigError, ProofError, Reverted, SettlementRefused, SubmissionError
from wattseal.gateway.blocks import Block
from wattseal.gateway.chain import MAX_LOG_BLOCKS, Chain
from wattseal.gateway.contract import (
    STATUS_CLOSED,
    STATUS_NONE,
    STATUS_OPEN,
    Event,
    balance_slot,
    call_data,
    claim,
    event_topic,
    events,
    session_slot,
    session_state,
)
from wattseal.gateway.logs import LogFilter
from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.submit import Inclusion, Submitter
from wattseal.gateway.types import Header, SessionState, Settlement
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, Voucher, due
from wattseal.protocol.typed_data import GRACE_S, START_WINDOW_S

# Each block of a log query costs a header. A settlement that is looked for is mostly a recent one, so the first queries are short.
FIRST_LOG_WINDOW_BLOCKS = 32

# Refusals that mean that somebody else was faster (also the empty one of a transaction that was fine when it was sent) or that it is
# a few seconds too early. The next call sees what it is.
_PASSING_REASONS = ("", "lower", "nothing_due", "not_open", "too_early")


@dataclass(frozen=True, slots=True)
class _Settled:
    """A proven `Settled` event, which `receipt` holds."""

    header: Header
    receipt: TransactionReceipt
    total_paid: int


class Gateway:
    """The contract at one address of a chain. Thread-safe."""

    def __init__(self, chain: Chain, contract: bytes, key: bytes | None = None) -> None:
        """`key`, the 32-byte secret that pays for gas, is needed for sending only. Nothing is asked of the chain yet."""
        self.chain = chain
        self.contract = contract
        self.domain = domain_separator(chain.chain_id, contract)
        self._submitter = Submitter(chain, key) if key is not None else None
        self._contract_seen = False
        self._settling = threading.Lock()

    @property
    def basis(self) -> str:
        """What everything this gateway says rests on, in words."""
        return self.chain.basis

    def head_timestamp(self) -> int:
        """Return the newest header's time in UTC seconds. Raises RpcError, ProofError."""
        return self.chain.headers.latest().timestamp

    def session_state(self, session: bytes) -> SessionState:
        """Return a session's proven state at the newest header. Raises RpcError, ProofError."""
        return self._state(self.chain.headers.latest(), session)

    def balance_of(self, owner: bytes, token: bytes) -> int:
        """Return the proven balance of an address in the contract, in units of the token (20 bytes; zeros: wei). Raises RpcError, ProofError."""
        return self._slots(self.chain.headers.latest(), balance_slot(owner, token))[0]

    def settle(self, voucher: Voucher, receipt: Receipt, plug_signature: bytes) -> Settlement:
        """Have the contract pay for a receipt; return what is proven to have happened. `plug_signature` is 65 or 128 bytes.

        Safe to repeat: where the chain already paid for this receipt or a later one, that settlement is found, proven and returned.
        Raises SettlementRefused or Reverted when the receipt will not be paid, SubmissionError when it may be later, RpcError, ProofError.
        """
        if voucher.digest(self.domain) != receipt.session:
            raise SettlementRefused(f"session {to_hex(receipt.session)} is not of this voucher, or is for another chain or contract")
        amount = due(voucher, receipt)
        with self._settling:
            header = self.chain.headers.latest()
            state = self._state(header, receipt.session)
            if state.status == STATUS_OPEN and (amount > state.paid or (receipt.final and amount == state.paid)):
                return self._accept(voucher, receipt, self._submit_settle(voucher, receipt, plug_signature))
            return self._earlier_settlement(voucher, receipt, header, state)

    def withdraw(self, owner: bytes, token: bytes) -> int:
        """Have the contract send an address's whole balance of a token to it. Returns the proven amount in its units. Raises GatewayError."""
        inclusion = self.submit(call_data("withdraw", owner, token))
        for event in events(inclusion.receipt, self.contract):
            if _is_withdrawn(event, owner, token):
                return event.words[0]
        raise ProofError(f"the transaction in block {inclusion.header.number} succeeded, but withdrew nothing for {to_hex(owner)}")

    def submit(self, call: bytes, value: int = 0) -> Inclusion:
        """Send a call to the contract with this gateway's key. Raises ConfigError without one, else as `Submitter.submit` does."""
        if self._submitter is None:
            raise ConfigError("this gateway has no key to send transactions with; give it one")
        return self._submitter.submit(self.contract, call, value)

    def _state(self, header: Header, session: bytes) -> SessionState:
        return session_state(self._slots(header, session_slot(session))[0])

    def _slots(self, header: Header, *slots: int) -> list[int]:
        """Return slots of the contract, which must be there: an address without one would pass for a contract without sessions."""
        if not self._contract_seen:
            if not self.chain.has_code(header, self.contract):
                raise ProofError(f"there is no contract at {to_hex(self.contract)} in block {header.number}; is it deployed on this chain?")
            self._contract_seen = True
        return self.chain.slots(header, self.contract, list(slots))

    def _submit_settle(self, voucher: Voucher, receipt: Receipt, plug_signature: bytes) -> Inclusion:
        try:
            return self.submit(call_data("settle", claim(voucher, receipt, plug_signature)))
        except Reverted as error:
            if error.reason in _PASSING_REASONS:
                raise SubmissionError(f"session {to_hex(receipt.session)}: {error}; call again") from error
            raise

    def _accept(self, voucher: Voucher, receipt: Receipt, inclusion: Inclusion) -> Settlement:
        """Check the block of an own transaction: the event, the session's slot and the host's balance must agree."""
        header, session = inclusion.header, receipt.session
        block = _block_events(inclusion.receipts, self.contract)
        own = [place for place, (index, event) in enumerate(block) if index == inclusion.index and _is_settled(event, session)]
        if not own:
            raise ProofError(f"the transaction in block {header.number} succeeded, but did not settle session {to_hex(session)}")
        total = block[own[0]][1].total_paid
        if total != due(voucher, receipt):
            raise ProofError(f"session {to_hex(session)}: {due(voucher, receipt)} is due, but the contract paid {total}; is it Wattseal's?")
        before = self._state(self.chain.headers.by_number(header.number - 1), session).paid
        before = max([before, *(event.total_paid for _, event in block[: own[0]] if _is_settled(event, session))])
        word, balance = self._slots(header, session_slot(session), balance_slot(voucher.host, voucher.token))
        expected = _state_after([event for _, event in block], voucher, session, header.timestamp)
        if session_state(word) != expected:
            raise ProofError(f"session {to_hex(session)} is proven to be {session_state(word)}, but its events say {expected}")
        withdrawn = any(_is_withdrawn(event, voucher.host, voucher.token) for _, event in block[own[0] :])
        if balance < total - before and not withdrawn:
            raise ProofError(f"the host's balance is proven to be {balance}, less than the {total - before} just paid")
        return _settlement(_Settled(header, inclusion.receipt, total), before)

    def _earlier_settlement(self, voucher: Voucher, receipt: Receipt, head: Header, state: SessionState) -> Settlement:
        """Find and prove the settlement that left nothing to do for `receipt`."""
        session, amount = receipt.session, due(voucher, receipt)
        if state.status == STATUS_OPEN and state.paid == 0:
            raise SettlementRefused(f"nothing is due yet for session {to_hex(session)}; settle a later receipt")
        found = self._find_settled(voucher, session, head)
        total = found[-1].total_paid if found else 0
        if state.status != STATUS_NONE and total != state.paid:
            raise ProofError(f"session {to_hex(session)} is proven to be paid {state.paid}, but its events show settlements up to {total}")
        if total < amount or not found:
            # a slot that is empty proves nothing: the lock may not be there yet
            if state.status == STATUS_NONE and head.timestamp <= voucher.validUntil + GRACE_S:
                raise SubmissionError(f"session {to_hex(session)} is not open: its lock is not on chain yet, or it was closed with {total} paid")
            raise SettlementRefused(f"session {to_hex(session)} is closed with {total} paid; the receipt's {amount} cannot be claimed any more")
        return _settlement(found[-1], before=found[-2].total_paid if len(found) > 1 else 0)

    def _find_settled(self, voucher: Voucher, session: bytes, head: Header) -> list[_Settled]:
        """Return the session's newest settlements since the voucher, in order, two at most. All are proven, and that there are no others."""
        wanted = LogFilter(frozenset([self.contract]), (frozenset([event_topic("Settled")]), frozenset([session])))
        found: list[_Settled] = []
        newest, window = head, FIRST_LOG_WINDOW_BLOCKS
        while True:
            first = max(0, newest.number - window + 1)
            blocks = {log.block.header.number: log.block for log in self.chain.logs(wanted, first, newest)}
            for number in sorted(blocks, reverse=True)[:2]:
                found = self._settled_in(blocks[number], session) + found
            if len(found) > 1 or first == 0 or self.chain.headers.by_number(first).timestamp < voucher.issuedAt:
                return found[-2:]
            newest, window = self.chain.headers.by_number(first - 1), min(2 * window, MAX_LOG_BLOCKS)

    def _settled_in(self, block: Block, session: bytes) -> list[_Settled]:
        receipts = self.chain.receipts(block)
        places = _block_events(receipts, self.contract)
        return [_Settled(block.header, receipts[index], event.total_paid) for index, event in places if _is_settled(event, session)]


def _settlement(settled: _Settled, before: int) -> Settlement:
    return Settlement(
        tx_hash=settled.receipt.tx_hash,
        block_number=settled.header.number,
        block_hash=settled.header.hash,
        gas_used=settled.receipt.gas_used,
        paid=settled.total_paid - before,
        total_paid=settled.total_paid,
        proof_verified=True,
    )


def _block_events(receipts: list[TransactionReceipt], contract: bytes) -> list[tuple[int, Event]]:
    """Return the contract's events of a block in order, each with the index of its transaction."""
    return [(index, event) for index, receipt in enumerate(receipts) for event in events(receipt, contract)]


def _is_settled(event: Event, session: bytes) -> bool:
    return event.name == "Settled" and event.keys[0] == session


def _is_withdrawn(event: Event, owner: bytes, token: bytes) -> bool:
    return event.name == "Withdrawn" and event.keys[0][-20:] == owner and event.keys[2][-20:] == token


def _is_closed(event: Event, session: bytes) -> bool:
    return event.keys[0] == session and (event.name == "Closed" or (event.name == "Settled" and event.closed))


def _state_after(block: list[Event], voucher: Voucher, session: bytes, timestamp: int) -> SessionState:
    """Return the state that a block's events leave a settled session in."""
    paid = [event.total_paid for event in block if _is_settled(event, session)][-1]
    if not any(_is_closed(event, session) for event in block):
        return SessionState(STATUS_OPEN, paid)
    if timestamp > voucher.issuedAt + START_WINDOW_S:
        return SessionState(STATUS_NONE, 0)
    return SessionState(STATUS_CLOSED, paid)
