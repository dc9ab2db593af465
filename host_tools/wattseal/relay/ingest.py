"""What plugs say on its way into the store: receipts verified, everything committed in batches, then answered.

While one batch is verified and committed in a thread, what comes meanwhile becomes the next one; so a commit costs a batch one fsync, and
messages of other kinds go on. Receipts are taken in the order in which they came. A bad one fails by itself; a failed commit fails all of
its batch, and nothing of it is acknowledged.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from wattseal.errors import Conflict, ProtocolError, StoreError, TooMany, UnknownSession, WattsealError
from wattseal.protocol.messages import Receipt, ReceiptMessage, Voucher, to_hex
from wattseal.relay.verify import check_belongs, check_neighbours, check_receipt
from wattseal.store import Added, Around, Store

MAX_BATCH = 512
MAX_QUEUED = 4096  # receipts; who brings one more waits
MAX_RECEIPTS_OF_A_SESSION = 50_000  # ten days at 22 kW are 21,000
_MAX_SESSIONS_KEPT = 20_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Arrival:
    """A receipt that `speaker` (20 bytes) brings."""

    speaker: bytes
    message: ReceiptMessage


_Job = _Arrival | Callable[[], object]
_Entry = tuple[_Job, "asyncio.Future[Any]"]


@dataclass(slots=True)
class _Session:
    voucher: Voucher
    receipts: int  # stored


@dataclass(slots=True)
class _Batch:
    """What a batch has accepted so far, beside what is stored."""

    around: dict[tuple[bytes, int], Around]
    accepted: dict[bytes, list[ReceiptMessage]] = field(default_factory=dict)
    rows: list[tuple[bytes, ReceiptMessage]] = field(default_factory=list)

    def same(self, receipt: Receipt) -> ReceiptMessage | None:
        """What is there at a receipt's sequence."""
        found = self.around[receipt.session, receipt.sequence].same
        others = self.accepted.get(receipt.session, ())
        return found or next((one for one in others if one.receipt.sequence == receipt.sequence), None)

    def neighbours(self, receipt: Receipt) -> tuple[Receipt | None, Receipt | None]:
        """The next lower and the next higher receipt."""
        around = self.around[receipt.session, receipt.sequence]
        lower, higher = around.lower, around.higher
        for message in self.accepted.get(receipt.session, ()):
            other = message.receipt
            if other.sequence < receipt.sequence and (lower is None or lower.sequence < other.sequence):
                lower = other
            elif other.sequence > receipt.sequence and (higher is None or other.sequence < higher.sequence):
                higher = other
        return lower, higher

    def add(self, plug: bytes, message: ReceiptMessage) -> None:
        self.accepted.setdefault(message.session, []).append(message)
        self.rows.append((plug, message))


class Ingest:
    """The way of every receipt into the store. To be used from one event loop; the store must serve several threads."""

    def __init__(self, domain: bytes, store: Store) -> None:
        """Take receipts under a domain separator (32 bytes)."""
        self._domain = domain
        self._store = store
        self._thread = ThreadPoolExecutor(1, "ingest")
        self._room = asyncio.Semaphore(MAX_QUEUED)
        self._waiting: deque[_Entry] = deque()
        self._is_busy = False
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()  # of the thread

    @property
    def queued(self) -> int:
        """How many receipts wait for a batch."""
        return len(self._waiting)

    def close(self) -> None:
        """Finish the batch that is under way, and take no other."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def take(self, speaker: bytes, message: ReceiptMessage) -> Added:
        """Return `stored` or `superseded`, as the plug is to be told, once the receipt that `speaker` (20 bytes) brings is committed.

        Waits while too much is queued. A receipt that is stored already is answered like a new one. Raises ProtocolError where it is
        refused (the codes of docs/protocol.md), StoreError where it could not be kept: then it must not be acknowledged.
        """
        added: Added = await self._queue(_Arrival(speaker, message))
        return added

    async def write(self, call: Callable[[], None]) -> None:
        """Have a writing method of the store called, and return once that is committed. Raises what it raises."""
        await self._queue(call)

    async def _queue(self, job: _Job) -> Any:
        async with self._room:
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append((job, answer))
            if not self._is_busy:
                self._start()
            return await answer

    def _start(self) -> None:
        self._is_busy = True
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._store_batch, [job for job, _ in batch])
        work.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(self, batch: Sequence[_Entry], done: "asyncio.Future[list[object]]") -> None:
        self._is_busy = False
        if done.cancelled():  # closed
            return
        for (_, answer), outcome in zip(batch, done.result(), strict=True):
            if answer.done():  # nobody waits any more
                continue
            if isinstance(outcome, WattsealError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
        if self._waiting:
            self._start()

    # -- in the thread ----------------------------------------------------------------------------------------------------------------

    def _store_batch(self, jobs: Sequence[_Job]) -> list[object]:
        """Return what each job is answered with; an error is raised to who waits for it."""
        arrivals = [job for job in jobs if isinstance(job, _Arrival)]
        try:
            checked = [self._check_alone(arrival) for arrival in arrivals]
            with self._store.transaction():
                added = iter(self._add(arrivals, checked))
                return [next(added) if isinstance(job, _Arrival) else _called(job) for job in jobs]
        except StoreError as error:
            self._sessions.clear()  # the store may have been restored, or cleaned by another process
            return [error] * len(jobs)

    def _check_alone(self, arrival: _Arrival) -> bytes | ProtocolError:
        """Check what a receipt says by itself; return its plug, or why it is refused."""
        try:
            voucher = self._session(arrival.message.session).voucher
            plug = arrival.speaker
            if plug != voucher.plug and voucher.plug in self._store.identities(plug):
                plug = voucher.plug
            check_receipt(self._domain, plug, voucher, arrival.message)
        except ProtocolError as error:
            return error
        return plug

    def _add(self, arrivals: Sequence[_Arrival], checked: Sequence[bytes | ProtocolError]) -> list[Added | WattsealError]:
        """Store what is good, in the order in which it came; return what became of each."""
        keys = [
            (arrival.message.session, arrival.message.receipt.sequence)
            for arrival, plug in zip(arrivals, checked, strict=True)
            if not isinstance(plug, ProtocolError)
        ]
        batch = _Batch(self._store.around(keys))
        outcomes: list[Added | WattsealError] = []
        for arrival, plug in zip(arrivals, checked, strict=True):
            try:
                outcomes.append(plug if isinstance(plug, ProtocolError) else self._add_one(batch, plug, arrival.message))
            except ProtocolError as error:
                outcomes.append(error)
        if batch.rows:
            self._store.add_receipts(batch.rows)
        for _, message in batch.rows:
            self._session(message.session).receipts += 1
        return outcomes

    def _add_one(self, batch: _Batch, plug: bytes, message: ReceiptMessage) -> Added:
        receipt = message.receipt
        lower, higher = batch.neighbours(receipt)
        stored = batch.same(receipt)
        if stored is None:
            session = self._session(receipt.session)
            check_neighbours(session.voucher, receipt, lower, higher)
            if session.receipts >= MAX_RECEIPTS_OF_A_SESSION:
                raise TooMany(f"session {to_hex(receipt.session)} has {session.receipts} receipts; more are not kept")
            batch.add(plug, message)
        elif stored != message:
            raise Conflict(f"sequence {receipt.sequence} of session {to_hex(receipt.session)} is stored with other bytes; the stored receipt stands")
        return Added.STORED if higher is None else Added.SUPERSEDED

    def _session(self, session: bytes) -> _Session:
        known = self._sessions.get(session)
        if known is None:
            message = self._store.voucher(session)
            if message is None:
                raise UnknownSession(f"no voucher of session {to_hex(session)} is stored; send the `session` message first")
            check_belongs(self._domain, session, message.voucher)
            known = self._sessions[session] = _Session(message.voucher, self._store.count_receipts(session))
            if len(self._sessions) > _MAX_SESSIONS_KEPT:
                self._sessions.popitem(last=False)
        return known


def _called(call: Callable[[], object]) -> object:
    try:
        return call()
    except ProtocolError as error:  # raised before anything was written
        return error
