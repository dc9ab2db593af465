"""What the events and the state of a block prove of the settlements in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from wattseal.errors import ProofError
from wattseal.gateway.chain import Chain
from wattseal.gateway.contract import (
    STATUS_CLOSED,
    STATUS_NONE,
    STATUS_OPEN,
    Event,
    balance_slot,
    events,
    session_slot,
    session_state,
)
from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.submit import Inclusion
from wattseal.gateway.types import Claim, Header, SessionState
from wattseal.protocol.messages import Voucher, due
from wattseal.protocol.typed_data import START_WINDOW_S


@dataclass(frozen=True, slots=True)
class Paid:
    """A proven `Settled` event: `receipt` of the block holds it, `paid` of the session's `total_paid` was paid by it."""

    header: Header
    receipt: TransactionReceipt
    paid: int
    total_paid: int


def paid_in(chain: Chain, contract: bytes, inclusion: Inclusion, claims: Sequence[Claim]) -> list[Paid | ProofError | None]:
    """Check the block of an own transaction that made some claims: events, the sessions' slots and the hosts' balances must agree.

    None is a claim that the contract refused in it. Raises RpcError, ProofError.
    """
    header = inclusion.header
    block = block_events(inclusion.receipts, contract)
    slots = [session_slot(claim.receipt.session) for claim in claims]
    hosts = list({(claim.voucher.host, claim.voucher.token) for claim in claims})
    before = chain.slots(chain.headers.by_number(header.number - 1), contract, slots)
    after = chain.slots(header, contract, [*slots, *(balance_slot(*host) for host in hosts)])
    found: list[Paid | ProofError | None] = []
    for claim, word_before, word_after in zip(claims, before, after[: len(claims)], strict=True):
        try:
            found.append(_paid(inclusion, block, claim, session_state(word_before), session_state(word_after)))
        except ProofError as error:
            found.append(error)
    for (host, token), balance in zip(hosts, after[len(claims) :], strict=True):
        _check_balance(inclusion, block, host, token, balance, _sum(found, claims, host, token))
    return found


def settled_in(receipts: list[TransactionReceipt], contract: bytes, session: bytes) -> list[tuple[TransactionReceipt, int]]:
    """Return each settlement of a session in a block, in order: the receipt that holds it, and what was paid in total with it."""
    return [(receipts[index], event.total_paid) for index, event in block_events(receipts, contract) if is_settled(event, session)]


def is_released_in(receipts: list[TransactionReceipt], contract: bytes, session: bytes) -> bool:
    """Return whether a session was released by its host, or refunded, in a block."""
    return any(event.name == "Closed" and event.keys[0] == session for _, event in block_events(receipts, contract))


def block_events(receipts: list[TransactionReceipt], contract: bytes) -> list[tuple[int, Event]]:
    """Return the contract's events of a block in order, each with the index of its transaction."""
    return [(index, event) for index, receipt in enumerate(receipts) for event in events(receipt, contract)]


def is_settled(event: Event, session: bytes) -> bool:
    """Return whether an event is a settlement of a session."""
    return event.name == "Settled" and event.keys[0] == session


def is_withdrawn(event: Event, owner: bytes, token: bytes) -> bool:
    """Return whether an event is a withdrawal of an owner's balance of a token."""
    return event.name == "Withdrawn" and event.keys[0][-20:] == owner and event.keys[2][-20:] == token


def _paid(inclusion: Inclusion, block: list[tuple[int, Event]], claim: Claim, before: SessionState, after: SessionState) -> Paid | None:
    header, session = inclusion.header, claim.receipt.session
    own = next((place for place, (index, event) in enumerate(block) if index == inclusion.index and is_settled(event, session)), None)
    if own is None:
        return None
    total = block[own][1].total_paid
    amount = due(claim.voucher, claim.receipt)
    if total != amount:
        raise ProofError(f"session {to_hex(session)}: {amount} is due, but the contract paid {total}; is it Wattseal's?")
    expected = _state_after([event for _, event in block], claim.voucher, session, header.timestamp)
    if after != expected:
        raise ProofError(f"session {to_hex(session)} is proven to be {after}, but its events say {expected}")
    earlier = max([before.paid, *(event.total_paid for _, event in block[:own] if is_settled(event, session))])
    return Paid(header, inclusion.receipt, total - earlier, total)


def _sum(found: list[Paid | ProofError | None], claims: Sequence[Claim], host: bytes, token: bytes) -> int:
    return sum(
        paid.paid
        for paid, claim in zip(found, claims, strict=True)
        if isinstance(paid, Paid) and (claim.voucher.host, claim.voucher.token) == (host, token)
    )


def _check_balance(inclusion: Inclusion, block: list[tuple[int, Event]], host: bytes, token: bytes, balance: int, paid: int) -> None:
    withdrawn = any(index >= inclusion.index and is_withdrawn(event, host, token) for index, event in block)
    if balance < paid and not withdrawn:
        raise ProofError(f"the balance of host {to_hex(host)} is proven to be {balance}, less than the {paid} just paid")


def _is_closed(event: Event, session: bytes) -> bool:
    return event.keys[0] == session and (event.name == "Closed" or (event.name == "Settled" and event.closed))


def _state_after(block: list[Event], voucher: Voucher, session: bytes, timestamp: int) -> SessionState:
    """Return the state that a block's events leave a settled session in."""
    paid = [event.total_paid for event in block if is_settled(event, session)][-1]
    if not any(_is_closed(event, session) for event in block):
        return SessionState(STATUS_OPEN, paid)
    if timestamp > voucher.issuedAt + START_WINDOW_S:
        return SessionState(STATUS_NONE, 0)
    return SessionState(STATUS_CLOSED, paid)
