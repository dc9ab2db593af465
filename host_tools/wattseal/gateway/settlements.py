"""Settlements from the claim to the final block, a step at a time: `step` looks at the chain, does what is next, and is safe to repeat."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TypeAlias

from wattseal.errors import ConfigError, GatewayError, ProofError, Reverted, RpcError, SettlementRefused, SubmissionError
from wattseal.gateway import contract as wattseal
from wattseal.gateway.chain import MAX_LOG_BLOCKS, Chain
from wattseal.gateway.contract import MAX_CLAIMS, STATUS_NONE, STATUS_OPEN
from wattseal.gateway.logs import LogFilter
from wattseal.gateway.paid import Paid, is_released_in, paid_in, settled_in
from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.rpc import Rpc, data, to_hex
from wattseal.gateway.submit import Inclusion, Submitter
from wattseal.gateway.time_limit import time_limit
from wattseal.gateway.transaction_log import Signed
from wattseal.gateway.types import Claim, Header, Sent, SessionState, Settlement
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import due
from wattseal.protocol.typed_data import GRACE_S

# Each block of a log query costs a header. A settlement that is looked for is mostly a recent one, so the first queries are short.
FIRST_LOG_WINDOW_BLOCKS = 32
# Servers keep the state of about 128 blocks. The block of an own transaction is checked as a whole while its state is certainly there.
STATE_KEPT_BLOCKS = 100
# How long a step looks for settlements that it does not remember. It goes on from there the next time, and what can be sent is sent before.
SEARCH_S = 60.0
MAX_SEARCHES = 100
# Settlements that are remembered while their blocks are not final; what is forgotten is found again.
MAX_REMEMBERED = 10_000

_ENDS = frozenset([wattseal.event_topic("Settled"), wattseal.event_topic("Closed")])

# Refusals that mean that somebody else was faster or that it is a few seconds too early. The next call sees what it is.
_PASSING_REASONS = ("", "lower", "nothing_due", "not_open", "too_early")


class Finality(StrEnum):
    """When a settlement counts: `final` once no reorganisation can undo it, `optimistic` in the newest signed block."""

    FINAL = "final"
    OPTIMISTIC = "optimistic"


# Where a claim stands; None is one that waits for an earlier transaction, and an error one that is not paid now, or never (`retry`).
Step: TypeAlias = Settlement | Sent | GatewayError | None


@dataclass(slots=True)
class _Search:
    """How far the search for a session's settlements got, from `head` back: `newest` is the next block to look at."""

    head: Header
    newest: Header
    window: int
    found: list[tuple[Header, TransactionReceipt, int]] = field(default_factory=list)
    released: bool = False


class Settlements:
    """The settlements of one contract and key. Not thread-safe."""

    def __init__(
        self,
        chain: Chain,
        contract: bytes,
        submitter: Submitter | None,
        finality: Finality,
        slots: Callable[..., list[int]],
    ) -> None:
        """Nothing is asked of the chain yet. `submitter` None can only look; `slots(header, *slots)` reads the contract's proven storage."""
        self._chain = chain
        self._contract = contract
        self._domain = domain_separator(chain.chain_id, contract)
        self._submitter = submitter
        self._finality = finality
        self._slots = slots
        self._remembered: dict[bytes, Paid] = {}  # by encoded claim
        self._final = -1  # number of the newest final block
        self._searches: dict[bytes, _Search] = {}  # that ran out of time or answers, by encoded claim
        self._refused_at: dict[bytes, int] = {}  # encoded claims that are refused for good, and the block of the head at which they first were

    def step(self, claims: Sequence[Claim]) -> list[Step]:
        """Take each claim as far as it goes without waiting; what can be sent goes in one transaction. Safe to repeat, meant to be.

        Raises RpcError and ProofError where the chain cannot be read, StoreError, and ConfigError where something is to be sent without a key.
        """
        if not claims and (self._submitter is None or self._submitter.is_idle()):
            return []
        if self._submitter is not None and (still := self._submitter.still_waiting()):
            sent = _sessions(still)
            return [Sent(sent[claim.receipt.session]) if claim.receipt.session in sent else None for claim in claims]
        if self._chain.finalized is not None:
            self._final = (
                self._chain.finalized().number
            )  # before the head, which descends from it: what is proven under the head up to there is final
        head = self._chain.headers.latest()
        encoded = [wattseal.encoded_claim(wattseal.claim(claim.voucher, claim.receipt, claim.plug_signature)) for claim in claims]
        own = [] if self._submitter is None else self._submitter.included(head)
        waiting = self._waiting(head)
        states = self._states(head, claims)
        paid = self._paid_by_own(head, own, dict(zip(encoded, claims, strict=True)))
        steps: list[Step] = [None] * len(claims)
        owed: list[int] = []
        sought: list[int] = []
        for place, (claim, key, state) in enumerate(zip(claims, encoded, states, strict=True)):
            try:
                if not self._is_owed(claim, key, state, paid):
                    sought.append(place)
                    continue
                steps[place] = self._look(claim, key, head, paid, waiting)
            except GatewayError as error:
                if isinstance(error, RpcError):
                    raise
                steps[place] = error
            if steps[place] is None:
                owed.append(place)
        if self._submitter is not None:
            self._submitter.advance(head)  # last, as it changes the chain that was just looked at
            waiting = self._waiting(head)
        if owed and not waiting:
            for place, step in zip(owed, self._send(head, [claims[place] for place in owed[:MAX_CLAIMS]]), strict=False):
                steps[place] = step
        with time_limit(SEARCH_S):
            for place in sought:
                try:
                    steps[place] = self._seek(claims[place], encoded[place], states[place], head)
                except GatewayError as error:
                    steps[place] = error
        return [self._once_final(key, head, step) for key, step in zip(encoded, steps, strict=True)]

    def _once_final(self, key: bytes, head: Header, step: Step) -> Step:
        """Let a refusal for good be one only when the block at which it was first given is final: a reorganisation may undo its reason."""
        if not isinstance(step, SettlementRefused | Reverted):
            self._refused_at.pop(key, None)
        elif self._waits_for_finality and not self._reached(self._refused_at.setdefault(key, head.number)):
            return SubmissionError(f"{step}; this is not final yet")
        return step

    # -- where they stand -------------------------------------------------------------------------------------------------------------

    def _waiting(self, head: Header) -> dict[bytes, bytes]:
        return {} if self._submitter is None else _sessions(self._submitter.waiting(head))

    def _states(self, head: Header, claims: Sequence[Claim]) -> list[SessionState]:
        if not claims:
            return []
        slots = [wattseal.session_slot(claim.receipt.session) for claim in claims]
        words = [
            word for start in range(0, len(slots), MAX_CLAIMS) for word in self._chain.slots(head, self._contract, slots[start : start + MAX_CLAIMS])
        ]
        return [wattseal.session_state(word) for word in words]

    def _paid_by_own(self, head: Header, own: list[Inclusion], claims: dict[bytes, Claim]) -> dict[bytes, Paid | ProofError | None]:
        """Return what became of the claims in own transactions that are not long in a block: paid, refused (None) or not believed."""
        found: dict[bytes, Paid | ProofError | None] = {}
        for inclusion in own:
            if inclusion.transaction.to != self._contract or head.number - inclusion.header.number > STATE_KEPT_BLOCKS:
                continue
            keys = [key for key in wattseal.claims_in(inclusion.transaction.call) if key in claims]
            for key in keys:
                known = self._remembered.get(key)
                if known is not None and known.header.hash == inclusion.header.hash:
                    found[key] = known
            unknown = [key for key in keys if key not in found]
            if unknown:
                found |= zip(unknown, paid_in(self._chain, self._contract, inclusion, [claims[key] for key in unknown]), strict=True)
        return found

    def _is_owed(self, claim: Claim, key: bytes, state: SessionState, paid: dict[bytes, Paid | ProofError | None]) -> bool:
        """Return whether a claim is still to be paid, or was by an own transaction; if not, what paid it is to be sought."""
        session, amount = claim.receipt.session, due(claim.voucher, claim.receipt)
        if claim.voucher.digest(self._domain) != session:
            raise SettlementRefused(f"session {to_hex(session)} is not of this voucher, or is for another chain or contract")
        if paid.get(key) is not None:
            return True
        return state.status == STATUS_OPEN and (amount > state.paid or (claim.receipt.final and amount == state.paid))

    def _look(self, claim: Claim, key: bytes, head: Header, paid: dict[bytes, Paid | ProofError | None], waiting: dict[bytes, bytes]) -> Step:
        """Return where a claim stands that is owed or was paid by an own transaction; None is one that is in no transaction."""
        session = claim.receipt.session
        own = paid.get(key)
        if isinstance(own, ProofError):
            raise own
        if own is not None:
            return self._settlement(key, own)
        if session in waiting:
            return Sent(waiting[session])
        if key in paid:
            raise SubmissionError(f"session {to_hex(session)}: a transaction that the servers took for good did not settle it; wait")
        if head.timestamp > claim.voucher.validUntil + GRACE_S:
            raise SettlementRefused(f"session {to_hex(session)}: the time for claims ended at {claim.voucher.validUntil + GRACE_S}; it is too late")
        return None

    def _seek(self, claim: Claim, key: bytes, state: SessionState, head: Header) -> Settlement:
        """Return the settlement that left nothing to do for a claim."""
        known = self._remembered.get(key)
        if known is None or self._undone(known):
            known = self._found(claim, key, state, head)
        return self._settlement(key, known)

    def _settlement(self, key: bytes, paid: Paid) -> Settlement:
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = paid
        return Settlement(
            tx_hash=paid.receipt.tx_hash,
            block_number=paid.header.number,
            block_hash=paid.header.hash,
            gas_used=paid.receipt.gas_used,
            paid=paid.paid,
            total_paid=paid.total_paid,
            proof_verified=True,
            final=self._finality is Finality.OPTIMISTIC or self._reached(paid.header.number),
        )

    @property
    def _waits_for_finality(self) -> bool:
        return self._finality is Finality.FINAL and self._chain.finalized is not None

    def _reached(self, number: int) -> bool:
        return number <= self._final

    def _undone(self, paid: Paid) -> bool:
        with suppress(RpcError):  # too old to be asked for by number, after an outage of days: it is looked for again
            return self._chain.headers.by_number(paid.header.number).hash != paid.header.hash
        return True

    def _found(self, claim: Claim, key: bytes, state: SessionState, head: Header) -> Paid:
        """Find and prove the settlement that left nothing to do for a claim."""
        session, amount = claim.receipt.session, due(claim.voucher, claim.receipt)
        if state.status == STATUS_OPEN and state.paid == 0:
            raise SettlementRefused(f"nothing is due yet for session {to_hex(session)}; settle a later receipt")
        found, released = self._find(claim, key, head)
        total = found[-1].total_paid if found else 0
        if state.status != STATUS_NONE and total != state.paid:
            raise ProofError(f"session {to_hex(session)} is proven to be paid {state.paid}, but its events show settlements up to {total}")
        if total < amount or not found:
            # a slot that is empty proves nothing: the lock may not be there yet
            if not released and state.status == STATUS_NONE and head.timestamp <= claim.voucher.validUntil + GRACE_S:
                raise SubmissionError(f"session {to_hex(session)} is not open: its lock is not on chain yet, or it was closed with {total} paid")
            raise SettlementRefused(f"session {to_hex(session)} is closed with {total} paid; the receipt's {amount} cannot be claimed any more")
        return found[-1]

    def _find(self, claim: Claim, key: bytes, head: Header) -> tuple[list[Paid], bool]:
        """Return the session's newest settlements since the voucher, in order, two at most, and whether it was released or refunded.

        All are proven, and that there are no others.
        """
        search = self._searches.pop(key, None)
        if search is None or self._chain.headers.by_number(search.head.number).hash != search.head.hash:
            search = _Search(head, head, FIRST_LOG_WINDOW_BLOCKS)
        try:
            while not self._is_searched(search, claim):
                pass
        except GatewayError:
            if len(self._searches) >= MAX_SEARCHES:
                self._searches.clear()
            self._searches[key] = search
            raise
        totals = [0, *(total for _, _, total in search.found)]
        paid = [Paid(*entry[:2], entry[2] - before, entry[2]) for entry, before in zip(search.found, totals, strict=False)]
        return paid[-2:], search.released

    def _is_searched(self, search: _Search, claim: Claim) -> bool:
        """Look through the next blocks back; return whether all were looked at that matter."""
        session = claim.receipt.session
        wanted = LogFilter(frozenset([self._contract]), (_ENDS, frozenset([session])))
        first = max(0, search.newest.number - search.window + 1)
        blocks = {log.block.header.number: log.block for log in self._chain.logs(wanted, first, search.newest)}
        released, found = search.released, search.found
        for number in sorted(blocks, reverse=True)[:2]:
            receipts = self._chain.receipts(blocks[number])
            released = released or is_released_in(receipts, self._contract, session)
            found = [(blocks[number].header, *place) for place in settled_in(receipts, self._contract, session)] + found
        oldest = next(islice(self._chain.known.back_from(search.newest.hash), search.newest.number - first, None))  # any age, unlike `by_number`
        done = len(found) > 1 or first == 0 or oldest.header.timestamp < claim.voucher.issuedAt
        if not done:
            search.newest, search.window = self._chain.known.full(oldest.fields["parentHash"]).header, min(2 * search.window, MAX_LOG_BLOCKS)
        search.released, search.found = released, found
        return done

    # -- sending ----------------------------------------------------------------------------------------------------------------------

    def _send(self, head: Header, claims: list[Claim]) -> list[Step]:
        """Send what no server knows to be refused; return where each claim stands then."""
        if self._submitter is None:
            raise ConfigError("this gateway has no key to send transactions with; give it one")
        words = [wattseal.claim(claim.voucher, claim.receipt, claim.plug_signature) for claim in claims]
        steps: list[Step] = [
            _refusal(claim, code) if code else None for claim, code in zip(claims, self._refusals(self._submitter.address, words), strict=True)
        ]
        taken = [place for place, step in enumerate(steps) if step is None]
        if not taken:
            return steps
        outcome: Step
        try:
            sent = self._submitter.send(head, self._contract, wattseal.settle_call([words[place] for place in taken]))
            outcome = Sent(sent.transaction.hash)
        except Reverted as error:
            outcome = _refusal(claims[taken[0]], error.reason) if len(taken) == 1 else SubmissionError(f"{error}; call again")
        except GatewayError as error:
            outcome = error
        for place in taken:
            steps[place] = outcome
        return steps

    def _refusals(self, sender: bytes, words: list[wattseal.Argument]) -> list[str]:
        """Return for each claim the code with which every server says that the contract refuses it, "" where one does not.

        A hint, as an estimate of gas is: what is sent all the same changes nothing.
        """
        call = {"from": to_hex(sender), "to": to_hex(self._contract), "data": to_hex(wattseal.call_data("settle_many", words))}

        def ask(rpc: Rpc) -> list[str]:
            return wattseal.refusals(data(rpc.call("eth_call", call, "latest"), "answer to settle_many"), len(words))

        try:
            answers = [answer for _, answer in self._chain.upstreams.each(ask)]
        except RpcError as error:
            if error.rpc_code is None:
                raise
            return [""] * len(words)
        return [codes[0] if all(codes) else "" for codes in zip(*answers, strict=True)]


def _sessions(waiting: list[Signed]) -> dict[bytes, bytes]:
    """Return each session in transactions that are in no block, with the transaction's hash."""
    sessions: dict[bytes, bytes] = {}
    for signed in waiting:
        transaction = signed.transaction
        named = [wattseal.claimed_session(key) for key in wattseal.claims_in(transaction.call)]
        sessions |= dict.fromkeys(named or [b""], transaction.hash)  # another call of this key is in nobody's name, but in the way
    return sessions


def _refusal(claim: Claim, code: str) -> GatewayError:
    where = f"session {to_hex(claim.receipt.session)}: the contract refuses the receipt"
    if code in _PASSING_REASONS:
        return SubmissionError(f"{where} for now: {code or 'no reason given'}; call again")
    return Reverted(f"{where}: {code}", code)
