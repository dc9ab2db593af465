"""Signed transactions, kept before they are sent (`gateway.transaction_log.TransactionLog`)."""

from eth_hash.auto import keccak

from wattseal.store.database import Database


class Transactions(Database):
    """What was signed, by the address that signs and its nonces."""

    def add_transaction(self, sender: bytes, nonce: int, raw: bytes, signed_at: int) -> None:
        """Keep a transaction (its consensus encoding) that is about to be sent. `signed_at` in UTC seconds. Safe to repeat."""
        sql = "INSERT INTO transactions (hash, sender, nonce, raw, signed_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self._execute(sql, keccak(raw), sender, nonce, raw, signed_at)

    def unfinished_transactions(self, sender: bytes) -> list[tuple[int, bytes, int]]:
        """Return (nonce, raw, signed_at) of an address's transactions that are not finished, by nonce, then as they were added."""
        sql = "SELECT nonce, raw, signed_at FROM transactions WHERE sender = ? AND done = 0 ORDER BY nonce, number"
        return [(row["nonce"], row["raw"], row["signed_at"]) for row in self._rows(sql, sender)]

    def finish_transactions(self, sender: bytes, below_nonce: int) -> None:
        """Note that an address's nonces below one are used in final blocks."""
        self._execute("UPDATE transactions SET done = 1 WHERE sender = ? AND nonce < ? AND done = 0", sender, below_nonce)

    def forget_transactions(self, signed_before: int) -> None:
        """Delete the finished transactions that were signed before a time (UTC seconds)."""
        self._execute("DELETE FROM transactions WHERE done = 1 AND signed_at < ?", signed_before)
