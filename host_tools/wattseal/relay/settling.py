"""When a session is settled, and what becomes of it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from wattseal.errors import GatewayError, StoreError
from wattseal.gateway.contract import MAX_CLAIMS, STATUS_CLOSED, STATUS_OPEN
from wattseal.gateway.types import Claim, Sent, Settlement
from wattseal.protocol.messages import Voucher, due, to_hex
from wattseal.protocol.typed_data import START_WINDOW_S
from wattseal.relay.chain import ChainThreads, Gateway
from wattseal.relay.links import Timings
from wattseal.relay.settle_policy import SettlePolicy, at_risk
from wattseal.store import SettlementRecord, Store, Unsettled

# A worker that has not looked at its sessions for so long is gone, and another takes them over.
LEASE_S = 600
_LONGEST_PAUSE = 60  # polls between two tries at one session

_log = logging.getLogger(__name__)


class Settler:
    """Has receipts paid. Nothing here is needed after a crash but the store: what was not settled is found there.

    Several may share a store, each with a key of its own: a session is leased to one at a time.
    """

    def __init__(
        self,
        store: Store,
        gateway: Gateway,
        chain: ChainThreads,
        timings: Timings,
        policy: SettlePolicy,
        settled: Callable[[Voucher, bytes], Awaitable[None]],
    ) -> None:
        """`settled` is told each session (voucher and id) of which the final receipt is paid for good."""
        self._store = store
        self._gateway = gateway
        self._chain = chain
        self._timings = timings
        self._policy = policy
        self._settled = settled
        self._worker = to_hex(gateway.sender or b"")
        self._due = asyncio.Event()
        self._pauses: dict[bytes, tuple[float, float]] = {}  # session -> (not before, on the monotonic clock; the next pause in seconds)
        self._money_at_risk: Counter[bytes] = Counter()
        self.outcomes: Counter[str] = Counter()  # states that settlements have come to, since the start
        self._leased: dict[bytes, float] = {}  # session -> when to lease it again, on the monotonic clock

    @property
    def money_at_risk(self) -> dict[bytes, int]:
        """What all stored receipts are worth beyond what is settled, by token (20 bytes), in its base units; as of the last look."""
        return dict(self._money_at_risk)

    def look(self) -> None:
        """Have what is due looked at now, not only at the next poll."""
        self._due.set()

    async def run(self) -> None:
        """Settle every session that is due, for ever: at once when a final receipt comes, else every poll interval."""
        pause_s = self._timings.poll_s
        while True:
            self._due.clear()
            try:
                await self.settle_due()
                pause_s = self._timings.poll_s
            except (StoreError, GatewayError) as error:
                _log.error("cannot settle", extra={"code": error.code, "why": str(error), "again_in_s": pause_s})
                pause_s = min(2 * pause_s, _LONGEST_PAUSE * self._timings.poll_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._due.wait()

    async def settle_due(self) -> None:
        """Take each session that is to be settled, and not pausing after a failure, a step further.

        Raises StoreError, and GatewayError where the chain cannot be read.
        """
        unsettled = await self._chain.ask(self._store.unsettled)
        self._money_at_risk = Counter()
        for entry in unsettled:
            self._money_at_risk[entry.session.voucher.token] += at_risk(entry)
        self._pauses = {entry.session.session: self._pauses[entry.session.session] for entry in unsettled if entry.session.session in self._pauses}
        now = time.monotonic()
        free = [entry for entry in unsettled if entry.leased_by in (None, self._worker)]
        awake = [entry for entry in free if self._pauses.get(entry.session.session, (0.0, 0.0))[0] <= now]
        chosen = [entry for entry in awake if entry.in_flight]
        waiting = [entry for entry in awake if not entry.in_flight]
        if waiting:
            chain_time = await self._chain.ask(self._gateway.head_timestamp)
            base_fee_wei = 0 if self._policy.max_base_fee_wei is None else await self._chain.ask(self._gateway.base_fee_wei)
            known = [entry for entry in waiting if entry.message.receipt.asOf <= chain_time]
            chosen += self._policy.choose(known, time.time(), chain_time, base_fee_wei)[:MAX_CLAIMS]  # the rest for the next transaction, or worker
        await self._lease([entry.session.session for entry in chosen])
        await self._step([entry for entry in chosen if entry.session.session in self._leased])

    async def _lease(self, sessions: Sequence[bytes]) -> None:
        now = time.monotonic()
        old = [session for session in sessions if self._leased.get(session, now) <= now]
        self._leased = {session: self._leased[session] for session in sessions if session in self._leased and session not in old}
        self._leased |= dict.fromkeys(await self._chain.ask(self._store.lease, old, self._worker, LEASE_S), now + LEASE_S / 2)

    async def _step(self, entries: Sequence[Unsettled]) -> None:
        claims = []
        for entry in entries:
            if entry.in_flight or due(entry.session.voucher, entry.message.receipt) or not await self._nothing_due(entry):
                claims.append((entry, Claim(entry.session.voucher, entry.message.receipt, entry.message.signature)))
        # also without claims: a transaction that is included, but not final, may have to be sent again
        steps = await self._chain.ask(self._gateway.settle_many, [claim for _, claim in claims])
        for (entry, _), step in zip(claims, steps, strict=True):
            session, sequence = entry.session.session, entry.message.receipt.sequence
            if isinstance(step, GatewayError):
                self._chain.failed(step)
            match step:
                case Sent():
                    await self._record(entry, SettlementRecord(session, sequence, "sent", tx_hash=step.tx_hash))
                case Settlement():
                    await self._record(entry, _record_of(session, sequence, step))
                case GatewayError() if step.retry:
                    _log.warning(
                        "not settled", extra={"session": to_hex(session), "sequence": sequence, "code": step.code, "why": str(step), "retry": True}
                    )
                    self._pause(session)
                case GatewayError():
                    await self._record(entry, SettlementRecord(session, sequence, "failed", code=step.code, message=str(step)))

    async def _nothing_due(self, entry: Unsettled) -> bool:
        """Settle a final receipt over nothing where the lock needs no closing any more; False while it may be open, or may yet be opened."""
        voucher, session = entry.session.voucher, entry.session.session
        state = await self._chain.ask(self._gateway.session_state, session)
        if state.status == STATUS_OPEN:
            return False
        if state.status != STATUS_CLOSED and await self._chain.ask(self._gateway.head_timestamp) <= voucher.issuedAt + START_WINDOW_S:
            self._pause(session)
            return True
        await self._record(entry, SettlementRecord(session, entry.message.receipt.sequence, "nothing_due"))
        return True

    async def _record(self, entry: Unsettled, record: SettlementRecord) -> None:
        """Keep where a settlement stands, and tell the plug when there is nothing left to claim."""
        self._pauses.pop(record.session, None)
        if record == entry.in_flight:
            return
        await self._chain.ask(self._store.add_settlement, record)
        self.outcomes[record.state] += 1
        extra = {"session": to_hex(record.session), "sequence": record.sequence, "paid": record.paid}
        if record.state == "failed":
            _log.warning("settlement failed", extra=extra | {"code": record.code, "why": record.message})
        else:
            _log.info("settlement %s", record.state, extra=extra)
        if entry.message.receipt.final and record.state in ("settled", "nothing_due"):
            await self._settled(entry.session.voucher, record.session)

    def _pause(self, session: bytes) -> None:
        _, pause_s = self._pauses.get(session, (0.0, self._timings.poll_s))
        self._pauses[session] = time.monotonic() + pause_s, min(2 * pause_s, _LONGEST_PAUSE * self._timings.poll_s)


def _record_of(session: bytes, sequence: int, settlement: Settlement) -> SettlementRecord:
    return SettlementRecord(
        session=session,
        sequence=sequence,
        state="settled" if settlement.final else "included",
        tx_hash=settlement.tx_hash,
        block_number=settlement.block_number,
        block_hash=settlement.block_hash,
        gas_used=settlement.gas_used,
        paid=settlement.paid,
        total_paid=settlement.total_paid,
        proof_verified=settlement.proof_verified,
    )
