"""Vouchers that plugs accepted, and the receipts under them."""

from enum import StrEnum
from typing import Any

from wattseal.protocol.messages import Receipt, ReceiptMessage, SessionMessage, Voucher
from wattseal.store.database import Database, from_text, to_text


class Added(StrEnum):
    """What became of a receipt: `stored` is the session's newest, `superseded` is kept beside a newer one."""

    STORED = "stored"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Receipts(Database):
    """Vouchers and receipts. What is stored is never changed."""

    def add_voucher(self, message: SessionMessage) -> None:
        """Keep an accepted voucher; the first signature stands."""
        self._execute(
            "INSERT INTO vouchers (session, plug, voucher, signature, accepted_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            message.session,
            message.voucher.plug,
            to_text(message.voucher),
            message.signature,
            self._now(),
        )

    def voucher(self, session: bytes) -> SessionMessage | None:
        """Return the voucher of a session."""
        row = self._row("SELECT session, voucher, signature FROM vouchers WHERE session = ?", session)
        return None if row is None else session_of(row)

    def unfinished(self, plug: bytes) -> SessionMessage | None:
        """Return a plug's newest voucher, if no final receipt came for it yet."""
        row = self._row("SELECT session, voucher, signature FROM vouchers WHERE plug = ? ORDER BY rowid DESC LIMIT 1", plug)
        if row is None or self._row("SELECT 1 FROM receipts WHERE session = ? AND final LIMIT 1", row["session"]):
            return None
        return session_of(row)

    def add_receipt(self, plug: bytes, message: ReceiptMessage) -> Added:
        """Keep a verified receipt of a plug and a known session. Safe to repeat; what is stored is never changed."""
        receipt = message.receipt
        with self.transaction():
            stored = self.receipt(receipt.session, receipt.sequence)
            if stored is not None:
                return Added.DUPLICATE if stored == message else Added.CONFLICT
            self._execute(
                """INSERT INTO receipts (plug, session, sequence, final, receipt, signature, ocmf, received_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                plug,
                receipt.session,
                receipt.sequence,
                receipt.final,
                to_text(receipt),
                message.signature,
                message.ocmf,
                self._now(),
            )
            return Added.STORED if self.is_newest(receipt) else Added.SUPERSEDED

    def is_newest(self, receipt: Receipt) -> bool:
        """Return whether no receipt of the session with a higher sequence is stored."""
        return self._row("SELECT 1 FROM receipts WHERE session = ? AND sequence > ? LIMIT 1", receipt.session, receipt.sequence) is None

    def receipt(self, session: bytes, sequence: int) -> ReceiptMessage | None:
        """Return one receipt."""
        row = self._row("SELECT receipt, signature, ocmf FROM receipts WHERE session = ? AND sequence = ?", session, sequence)
        return None if row is None else receipt_of(row)

    def neighbours(self, session: bytes, sequence: int) -> list[Receipt]:
        """Return the receipts with the next lower and the next higher sequence, where there are such."""
        lower = "SELECT receipt FROM receipts WHERE session = ? AND sequence < ? ORDER BY sequence DESC LIMIT 1"
        higher = "SELECT receipt FROM receipts WHERE session = ? AND sequence > ? ORDER BY sequence LIMIT 1"
        rows = self._rows(lower, session, sequence) + self._rows(higher, session, sequence)
        return [from_text(Receipt, row["receipt"]) for row in rows]

    def newest_receipt(self, session: bytes) -> ReceiptMessage | None:
        """Return a session's receipt with the highest sequence."""
        row = self._row("SELECT receipt, signature, ocmf FROM receipts WHERE session = ? ORDER BY sequence DESC LIMIT 1", session)
        return None if row is None else receipt_of(row)

    def receipts(self, session: bytes, after: int = -1, limit: int = 1000) -> list[ReceiptMessage]:
        """Return a session's receipts with a sequence above `after`, in order."""
        sql = "SELECT receipt, signature, ocmf FROM receipts WHERE session = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return [receipt_of(row) for row in self._rows(sql, session, after, limit)]

    def count_receipts(self, session: bytes) -> int:
        """Return how many receipts of a session are stored."""
        row = self._row("SELECT count(*) AS receipts FROM receipts WHERE session = ?", session)
        return 0 if row is None else int(row["receipts"])


def session_of(row: dict[str, Any]) -> SessionMessage:
    """Read a row's `session`, `voucher` and `signature`."""
    return SessionMessage(row["session"], from_text(Voucher, row["voucher"]), row["signature"])


def receipt_of(row: dict[str, Any]) -> ReceiptMessage:
    """Read a row's `receipt`, `signature` and `ocmf`."""
    return ReceiptMessage(from_text(Receipt, row["receipt"]), row["signature"], row["ocmf"])
