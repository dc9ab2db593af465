"""When a session is settled, and what becomes of it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from wattseal.errors import GatewayError, StoreError
from wattseal.gateway.contract import STATUS_CLOSED, STATUS_OPEN
from wattseal.protocol.messages import ReceiptMessage, Voucher, due, to_hex
from wattseal.protocol.typed_data import START_WINDOW_S
from wattseal.relay.chain import ChainThreads, Gateway
from wattseal.relay.links import Timings
from wattseal.store import SettlementRecord, Store

_LONGEST_PAUSE = 60  # polls between two tries at one session

_log = logging.getLogger(__name__)


class Settler:
    """Has receipts paid. Nothing here is needed after a crash but the store: what was not settled is found there."""

    def __init__(
        self, store: Store, gateway: Gateway, chain: ChainThreads, timings: Timings, settled: Callable[[Voucher, bytes], Awaitable[None]]
    ) -> None:
        """`settled` is told each session (voucher and id) of which the final receipt is paid."""
        self._store = store
        self._gateway = gateway
        self._chain = chain
        self._timings = timings
        self._settled = settled
        self._due = asyncio.Event()
        self._pauses: dict[bytes, tuple[float, float]] = {}  # session -> (not before, on the monotonic clock; the next pause in seconds)

    def look(self) -> None:
        """Have what is due looked at now, not only at the next poll."""
        self._due.set()

    async def run(self) -> None:
        """Settle every session that is due, for ever: at once when a final receipt comes, else every poll interval."""
        while True:
            self._due.clear()
            try:
                await self.settle_due()
            except StoreError as error:
                _log.error("cannot settle", extra={"code": error.code, "why": str(error)})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timings.poll_s):
                    await self._due.wait()

    async def settle_due(self) -> None:
        """Try once to settle each session that is due and not pausing after a failure."""
        sessions = self._store.due(received_before=int(time.time() - self._timings.interim_s))
        self._pauses = {voucher.session: self._pauses[voucher.session] for voucher, _ in sessions if voucher.session in self._pauses}
        for voucher, receipt in sessions:
            if self._pauses.get(voucher.session, (0.0, 0.0))[0] <= time.monotonic():
                await self._settle(voucher.voucher, receipt)

    async def _settle(self, voucher: Voucher, message: ReceiptMessage) -> None:
        receipt = message.receipt
        session = receipt.session
        try:
            record = await self._settlement(voucher, message)
        except GatewayError as error:
            _log.warning("not settled", extra={"session": to_hex(session), "code": error.code, "why": str(error), "retry": error.retry})
            if error.retry:
                self._pause(session)
                return
            record = SettlementRecord(session, receipt.sequence, "failed", code=error.code, message=str(error))
        if record is None:
            return
        self._store.add_settlement(record)
        _log.info("settlement %s", record.state, extra={"session": to_hex(session), "sequence": receipt.sequence, "paid": record.paid})
        if not receipt.final or record.state == "failed":
            return
        await self._settled(voucher, session)

    async def _settlement(self, voucher: Voucher, message: ReceiptMessage) -> SettlementRecord | None:
        """Settle a receipt; None while the chain is behind it, or the lock may still be opened."""
        receipt = message.receipt
        head = await self._chain.ask(self._gateway.head_timestamp)
        if head < receipt.asOf:
            return None
        amount = due(voucher, receipt)
        if amount == 0 or not receipt.final:
            state = await self._chain.ask(self._gateway.session_state, receipt.session)
            if state.status == STATUS_OPEN and not receipt.final and amount <= state.paid:
                return SettlementRecord(receipt.session, receipt.sequence, "nothing_due", total_paid=state.paid)
            if state.status != STATUS_OPEN and amount == 0:
                over = state.status == STATUS_CLOSED or head > voucher.issuedAt + START_WINDOW_S
                return SettlementRecord(receipt.session, receipt.sequence, "nothing_due") if over else None
        settlement = await self._chain.ask(self._gateway.settle, voucher, receipt, message.signature)
        return SettlementRecord(
            session=receipt.session,
            sequence=receipt.sequence,
            state="settled",
            tx_hash=settlement.tx_hash,
            block_number=settlement.block_number,
            block_hash=settlement.block_hash,
            gas_used=settlement.gas_used,
            paid=settlement.paid,
            total_paid=settlement.total_paid,
            proof_verified=settlement.proof_verified,
        )

    def _pause(self, session: bytes) -> None:
        _, pause_s = self._pauses.get(session, (0.0, self._timings.poll_s))
        self._pauses[session] = time.monotonic() + pause_s, min(2 * pause_s, _LONGEST_PAUSE * self._timings.poll_s)
