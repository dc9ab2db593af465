"""The one way to send transactions of a key, and to learn with proof what became of them.

A transaction is in the log before anybody else sees it. What it does, it does once: its nonce is the chain's own, proven, and whatever
else is signed for that nonce (dearer, after a crash, after a reorganisation) can only take its place.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from eth_account import Account

from wattseal.errors import GatewayError, ProofError, Reverted, RpcError, SubmissionError
from wattseal.gateway import contract
from wattseal.gateway.blocks import next_base_fee
from wattseal.gateway.chain import Chain
from wattseal.gateway.executed import Executed
from wattseal.gateway.mempool import Limits, TooCheap, broadcast, dearer, estimate_gas, suggested_fees
from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.transaction_log import MemoryTransactionLog, Signed, TransactionLog
from wattseal.gateway.transactions import Transaction
from wattseal.gateway.types import Header
from wattseal.protocol import signatures

# What counts as final where nothing says what is: two epochs.
FINAL_DEPTH_BLOCKS = 64

# Of what was signed longer ago only the nonce has to be known to let go of it.
RECENT_S = 86_400

FIRST_POLL_S = 0.05
LONGEST_POLL_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A transaction in a block, of which everything is proven; `index` is its place there."""

    executed: Executed
    index: int

    @property
    def header(self) -> Header:
        """The block's header."""
        return self.executed.block.header

    @property
    def receipts(self) -> list[TransactionReceipt]:
        """The receipts of the whole block."""
        return self.executed.receipts

    @property
    def receipt(self) -> TransactionReceipt:
        """The transaction's own receipt."""
        return self.executed.receipts[self.index]

    @property
    def transaction(self) -> Transaction:
        """The transaction itself."""
        return self.executed.block.transactions[self.index]


class Submitter:
    """Sends transactions of one key; several may wait for finality, one at a time for a block. Thread-safe.

    A key belongs to one submitter. If it is used elsewhere all the same, that is noticed by its nonce, and nothing is done twice.
    """

    def __init__(
        self,
        chain: Chain,
        key: bytes,
        log: TransactionLog | None = None,
        limits: Limits | None = None,
        timeout_s: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`key` is the 32-byte secret; `timeout_s` is how long `submit` waits for a block. Without `log` nothing is kept over a restart."""
        self._chain = chain
        self._key = key
        self._log = MemoryTransactionLog() if log is None else log
        self._limits = limits or Limits()
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.RLock()
        self.address = signatures.address(key)
        self._advanced_at = float("-inf")  # on the monotonic clock
        self._nonces: dict[bytes, int] = {}  # by hash of the newest header, the only entry
        self._sent_at: dict[bytes, float] = {}  # by transaction hash, on the monotonic clock
        self._waits_since: dict[int, float] = {}  # nonces that were in a block and are not any more, in UTC seconds
        self._refused: set[int] = set()  # nonces of which no server took the newest transaction
        self._looked: dict[int, tuple[bytes, Inclusion | None]] = {}  # what was found for a nonce at a head
        self._checkpoint: tuple[Header, int] | None = None  # a head and the nonce there, to become final

    # -- asked by who settles many at a time ------------------------------------------------------------------------------------------

    def is_idle(self) -> bool:
        """Return whether nothing that was sent can still change. Raises StoreError."""
        return not self._log.unfinished_transactions(self.address)

    def advance(self, head: Header) -> None:
        """Send again what is in no block at `head`, dearer where it is stuck; let go of what is final. Raises RpcError, ProofError, StoreError."""
        with self._lock:
            unfinished = self._unfinished()
            if not unfinished:
                return
            nonce = self._nonce(head)
            self._advanced_at = time.monotonic()
            for number, attempts in _by_nonce(unfinished).items():
                if number >= nonce and number not in self._refused:  # what no server takes gets no dearer by waiting
                    self._push(head, attempts)
            if unfinished[0].nonce < nonce:
                self._finish(head, nonce)

    def waiting(self, head: Header) -> list[Signed]:
        """Return the newest transaction of each nonce that is not used at `head`, but for those that no server takes. Raises as `advance`."""
        with self._lock:
            attempts = _by_nonce(self._unfinished())
            nonce = self._nonce(head) if attempts else 0
            return [signed[-1] for number, signed in attempts.items() if number >= nonce and number not in self._refused]

    def still_waiting(self) -> list[Signed]:
        """Return what was in no block a moment ago, if no server shows it in one now; nothing where it is time to look at all again.

        Raises RpcError, ProofError, StoreError.
        """
        with self._lock:
            if time.monotonic() - self._advanced_at >= self._limits.resend_s:
                return []
            nonce = max(self._nonces.values(), default=0)
            attempts = {number: signed for number, signed in _by_nonce(self._unfinished()).items() if number >= nonce and number not in self._refused}
            if any(self._chain.find_transaction(one.transaction.hash) for one in attempts.get(nonce, [])):
                return []
            return [signed[-1] for signed in attempts.values()]

    def included(self, head: Header) -> list[Inclusion]:
        """Return what is in a block at `head` and not long final, oldest first. Raises RpcError, ProofError, StoreError."""
        with self._lock:
            attempts = _by_nonce(self._unfinished())
            nonce = self._nonce(head) if attempts else 0
            found = [self._look_if_recent(head, signed) for number, signed in attempts.items() if number < nonce]
            return [inclusion for inclusion in found if inclusion is not None]

    def send(self, head: Header, to: bytes | None, call: bytes, value: int = 0) -> Signed:
        """Make a transaction durable, then send it (`to` None creates a contract; `value` in wei); wait for nothing.

        Raises Reverted when every server says that the contract refuses it, SubmissionError when it was not taken or an earlier one
        waits for a block, RpcError, ProofError, StoreError. What was made durable is sent again by `advance`.
        """
        with self._lock:
            if self.waiting(head):
                raise SubmissionError("an earlier transaction of this key is in no block yet; call again")
            nonce = self._nonce(head)
            gas = estimate_gas(self._chain, self.address, to, call, value)
            fee, tip = suggested_fees(self._chain, head, self._limits)
            self._advanced_at = time.monotonic()
            for refused in self._unfinished():  # as it is where it still offers enough, else the log would grow with every try
                kept = refused.transaction
                enough = kept.number("gas") >= gas and 2 * kept.number("maxFeePerGas") >= fee
                if refused.nonce == nonce and enough and _does(kept, to, call, value):
                    with suppress(TooCheap):
                        self._broadcast(refused)
                        return refused
            return self._sign_and_send(nonce, gas, to, call, value, fee, tip)

    # -- asked by who does one thing --------------------------------------------------------------------------------------------------

    def submit(self, to: bytes | None, call: bytes, value: int = 0) -> Inclusion:
        """Send a transaction and wait until it is in a block. One that a crash left waiting with the same call is joined.

        Raises as `send`; also Reverted when it failed in its block, and SubmissionError when it is in no block in time or when the key's
        nonce was used by something else: look at the chain, then call again.
        """
        deadline = time.monotonic() + self._timeout_s
        pause_s = FIRST_POLL_S
        sent: Signed | None = None
        while True:
            with self._lock:
                if not self.still_waiting():
                    head = self._chain.headers.latest()
                    self.advance(head)
                    if sent is None:
                        waiting = self.waiting(head)
                        sent = next((signed for signed in waiting if _does(signed.transaction, to, call, value)), None)
                        if sent is None and not waiting:
                            sent = self.send(head, to, call, value)
                    elif sent.nonce < self._nonce(head):
                        return self._outcome(head, sent, to, call, value)
            if time.monotonic() > deadline:
                what = "an earlier transaction" if sent is None else f"transaction {to_hex(sent.transaction.hash)}"
                raise SubmissionError(f"{what} of {to_hex(self.address)} is in no block after {self._timeout_s:.0f} s; call again")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_POLL_S)

    def _outcome(self, head: Header, sent: Signed, to: bytes | None, call: bytes, value: int) -> Inclusion:
        attempts = _by_nonce(self._unfinished()).get(sent.nonce, [sent])
        inclusion = self._look(head, attempts)
        if inclusion is None or not _does(inclusion.transaction, to, call, value):
            raise SubmissionError(f"nonce {sent.nonce} of {to_hex(self.address)} was used by another transaction; is its key used elsewhere?")
        if not inclusion.receipt.succeeded:
            raise Reverted(f"transaction {to_hex(inclusion.transaction.hash)} was reverted in block {inclusion.header.number}")
        return inclusion

    # -- what became of it ------------------------------------------------------------------------------------------------------------

    def _unfinished(self) -> list[Signed]:
        return [Signed(*entry) for entry in self._log.unfinished_transactions(self.address)]

    def _nonce(self, head: Header) -> int:
        """Return the nonce after `head`'s block: the number of the key's transactions up to it."""
        if head.hash not in self._nonces:
            account = self._chain.account(head, self.address)
            self._nonces = {head.hash: 0 if account is None else account.nonce}
        return self._nonces[head.hash]

    def _look(self, head: Header, attempts: list[Signed]) -> Inclusion | None:
        """Return where one of the transactions of a used nonce is; None where it is none of them that used it."""
        nonce = attempts[0].nonce
        looked_at, inclusion = self._looked.get(nonce, (b"", None))
        if looked_at == head.hash:
            return inclusion
        if inclusion is None or self._chain.headers.by_number(inclusion.header.number).hash != inclusion.header.hash:
            inclusion = self._find(attempts)
            if inclusion is None:
                _log.warning("a nonce was used by another transaction", extra={"address": to_hex(self.address), "nonce": nonce})
        self._looked[nonce] = head.hash, inclusion
        return inclusion

    def _look_if_recent(self, head: Header, attempts: list[Signed]) -> Inclusion | None:
        """Do what `_look` does, but be content with nothing of days ago: after a long outage its block may be too old to be proven."""
        try:
            return self._look(head, attempts)
        except RpcError:
            if 0 <= self._clock() - attempts[-1].signed_at < RECENT_S:
                raise
            return None

    def _find(self, attempts: list[Signed]) -> Inclusion | None:
        for signed in reversed(attempts):
            found = self._chain.find_transaction(signed.transaction.hash)
            if found is not None:
                block, index = found
                return Inclusion(self._chain.executed(block.header), index)
        return None

    def _finish(self, head: Header, nonce: int) -> None:
        """Let go of the nonces before a checkpoint that has become final; where there is none, the head becomes one."""
        final = self._chain.finalized().number if self._chain.finalized is not None else head.number - FINAL_DEPTH_BLOCKS
        if self._checkpoint is not None:
            header, below = self._checkpoint
            if header.number > final:
                return
            if self._chain.headers.by_number(header.number).hash == header.hash:
                self._log.finish_transactions(self.address, below)
                self._looked = {number: looked for number, looked in self._looked.items() if number >= below}
                self._waits_since = {number: since for number, since in self._waits_since.items() if number >= below}
                self._sent_at.clear()  # what still waits is sent once more
        self._checkpoint = head, nonce

    # -- sending ----------------------------------------------------------------------------------------------------------------------

    def _push(self, head: Header, attempts: list[Signed]) -> None:
        """Send the newest transaction of an unused nonce again, or a dearer one in its place."""
        newest = attempts[-1]
        transaction = newest.transaction
        if self._looked.pop(newest.nonce, (b"", None))[1] is not None:
            self._waits_since[newest.nonce] = self._clock()
            self._sent_at.pop(transaction.hash, None)
            _log.warning("a transaction is in no block any more", extra={"transaction": to_hex(transaction.hash), "nonce": newest.nonce})
        waits = not 0 <= self._clock() - self._waits_since.get(newest.nonce, newest.signed_at) < self._limits.stuck_s
        stuck = waits and transaction.hash in self._sent_at  # what no server has had yet waits for nobody
        try:
            if not stuck and time.monotonic() - self._sent_at.get(transaction.hash, float("-inf")) >= self._limits.resend_s:
                with suppress(TooCheap):
                    self._broadcast(newest)
                    return
                stuck = True
            if stuck:
                self._replace(head, newest.nonce, transaction)
        except GatewayError as error:
            _log.warning("a transaction is not sent", extra={"transaction": to_hex(transaction.hash), "code": error.code, "why": str(error)})

    def _replace(self, head: Header, nonce: int, stuck: Transaction) -> None:
        """Send the same call again for at least an eighth more of both fees; where that is above the ceilings, only send it again.

        A tip goes above its own where the base fee, which is proven, has outgrown the fee: no server can bring that about by keeping a transaction.
        """
        fee, tip = dearer(stuck.number("maxFeePerGas")), dearer(stuck.number("maxPriorityFeePerGas"))
        base_fee = next_base_fee(self._chain.known.full(head.hash))
        fee = max(fee, min(2 * base_fee + tip, self._limits.max_fee_wei))
        self._waits_since[nonce] = self._clock()
        outgrown = stuck.number("maxFeePerGas") < base_fee + stuck.number("maxPriorityFeePerGas")
        if fee > self._limits.max_fee_wei or (tip > self._limits.max_tip_wei and not outgrown):
            self._sent_at.pop(stuck.hash, None)
            return
        self._sign_and_send(nonce, stuck.number("gas"), stuck.to, stuck.call, stuck.number("value"), fee, tip)

    def _sign_and_send(self, nonce: int, gas: int, to: bytes | None, call: bytes, value: int, fee: int, tip: int) -> Signed:
        while True:
            transaction = {"type": 2, "chainId": self._chain.chain_id, "nonce": nonce, "gas": gas, "to": to or b"", "value": value}
            transaction |= {"data": call, "maxFeePerGas": fee, "maxPriorityFeePerGas": min(tip, fee)}
            raw = bytes(Account.from_key(self._key).sign_transaction(transaction).raw_transaction)
            signed = Signed(nonce, raw, int(self._clock()))
            self._log.add_transaction(self.address, nonce, raw, signed.signed_at)
            try:
                self._broadcast(signed)
            except TooCheap as error:
                fee, tip = dearer(fee), dearer(tip)
                if fee > self._limits.max_fee_wei or tip > self._limits.max_tip_wei:
                    most = f"{self._limits.max_fee_wei} wei, {self._limits.max_tip_wei} of it as a tip"
                    raise SubmissionError(f"the servers want more for gas than {most}: {error}; wait") from error
            else:
                return signed

    def _broadcast(self, signed: Signed) -> None:
        """Hand a transaction to the servers, and note whether any took it. Raises as `broadcast`."""
        transaction = signed.transaction
        try:
            broadcast(self._chain, transaction)
        except SubmissionError:
            self._refused.add(signed.nonce)
            raise
        self._refused.discard(signed.nonce)
        self._sent_at[transaction.hash] = time.monotonic()


def deploy(chain: Chain, key: bytes) -> bytes:
    """Deploy Wattseal.vy, paid by `key`. Returns the contract's address (20 bytes), whose code is proven to be there. Raises GatewayError."""
    inclusion = Submitter(chain, key).submit(None, contract.BYTECODE)
    address = inclusion.transaction.created()
    if address is None or not chain.has_code(inclusion.header, address):
        raise ProofError(f"no contract at {to_hex(address or b'')} after its deployment in block {inclusion.header.number}")
    return address


def _by_nonce(unfinished: list[Signed]) -> dict[int, list[Signed]]:
    attempts: dict[int, list[Signed]] = {}
    for signed in unfinished:
        attempts.setdefault(signed.nonce, []).append(signed)
    return attempts


def _does(transaction: Transaction, to: bytes | None, call: bytes, value: int) -> bool:
    return (transaction.to, transaction.call, transaction.number("value")) == (to, call, value)
