"""Where signed transactions are kept before anybody else sees them, so that no crash makes one forgotten or made twice."""

from dataclasses import dataclass
from typing import Protocol

from wattseal.gateway import transactions
from wattseal.gateway.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Signed:
    """One signed transaction. A nonce may have several, each dearer than the one before; one at most gets into the chain.

    `raw` is its consensus encoding, `signed_at` when it was made, in UTC seconds.
    """

    nonce: int
    raw: bytes
    signed_at: int

    @property
    def transaction(self) -> Transaction:
        """The transaction, decoded."""
        return transactions.decode(self.raw)


class TransactionLog(Protocol):
    """What a `Submitter` needs of the store. Thread-safe; what writes has committed when it returns, and raises StoreError where it could not."""

    def add_transaction(self, sender: bytes, nonce: int, raw: bytes, signed_at: int) -> None:
        """Keep a transaction (consensus encoding; UTC seconds) that is about to be sent. Safe to repeat."""
        ...

    def unfinished_transactions(self, sender: bytes) -> list[tuple[int, bytes, int]]:
        """Return (nonce, raw, signed_at) of an address's transactions whose nonces are not finished, by nonce, then as they were added."""
        ...

    def finish_transactions(self, sender: bytes, below_nonce: int) -> None:
        """Note that all nonces below one are used in final blocks: nothing more becomes of their transactions."""
        ...


class MemoryTransactionLog:
    """A log for what needs not survive: a restart finds the nonce in the chain alone, and replaces what is pending."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._signed: list[tuple[bytes, int, bytes, int]] = []

    def add_transaction(self, sender: bytes, nonce: int, raw: bytes, signed_at: int) -> None:
        """Keep a transaction."""
        if all(known != raw for _, _, known, _ in self._signed):
            self._signed.append((sender, nonce, raw, signed_at))

    def unfinished_transactions(self, sender: bytes) -> list[tuple[int, bytes, int]]:
        """Return those of an address, by nonce."""
        return sorted(((nonce, raw, at) for address, nonce, raw, at in self._signed if address == sender), key=lambda signed: signed[0])

    def finish_transactions(self, sender: bytes, below_nonce: int) -> None:
        """Forget those below a nonce."""
        self._signed = [entry for entry in self._signed if entry[0] != sender or entry[1] >= below_nonce]
