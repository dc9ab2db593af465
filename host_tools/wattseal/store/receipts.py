"""The receipts under vouchers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wattseal.errors import StoreError
from wattseal.protocol.messages import Receipt, ReceiptMessage
from wattseal.store.database import from_text, to_text
from wattseal.store.vouchers import Vouchers

_KEYS_A_QUERY = 256

Key = tuple[bytes, int]  # session, sequence


class Added(StrEnum):
    """What became of a receipt: `stored` is the session's newest, `superseded` is kept beside a newer one."""

    STORED = "stored"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(slots=True)
class Around:
    """What is stored at a session's sequence, and next to it."""

    same: ReceiptMessage | None = None
    lower: Receipt | None = None
    higher: Receipt | None = None


class Receipts(Vouchers):
    """Receipts. What is stored is never changed."""

    def add_receipt(self, plug: bytes, message: ReceiptMessage) -> Added:
        """Keep a verified receipt of a plug and a known session. Safe to repeat; what is stored is never changed."""
        key = message.receipt.session, message.receipt.sequence
        with self.transaction():
            is_new = self._insert([(plug, message)]) == 1
            around = self.around([key])[key]
        if not is_new:
            return Added.DUPLICATE if around.same == message else Added.CONFLICT
        return Added.STORED if around.higher is None else Added.SUPERSEDED

    def add_receipts(self, receipts: Sequence[tuple[bytes, ReceiptMessage]]) -> None:
        """Keep verified receipts of plugs and known sessions, inside a transaction in which `around` has shown that none of them is stored."""
        if self._insert(receipts) != len(receipts):
            raise StoreError(f"another process has just stored some of the same receipts in {self._adapter.name}; they have to be looked at again")

    def _insert(self, receipts: Sequence[tuple[bytes, ReceiptMessage]]) -> int:
        now = self._now()
        rows = [
            (plug, one.receipt.session, one.receipt.sequence, int(one.receipt.final), to_text(one.receipt), one.signature, one.ocmf, now)
            for plug, one in receipts
        ]
        sql = """INSERT INTO receipts (plug, session, sequence, final, receipt, signature, ocmf, received_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
        return self._execute_many(sql, rows)

    def around(self, keys: Sequence[Key]) -> dict[Key, Around]:
        """Return what is stored at and next to each key."""
        found = {key: Around() for key in keys}
        wanted = list(found)
        for start in range(0, len(wanted), _KEYS_A_QUERY):
            self._look_around(wanted[start : start + _KEYS_A_QUERY], found)
        return found

    def _look_around(self, keys: Sequence[Key], found: dict[Key, Around]) -> None:
        table, values = self._adapter.pairs(keys)
        found_at = "SELECT k.session, k.sequence AS wanted, r.sequence, r.receipt, r.signature, r.ocmf FROM keys k JOIN receipts r"
        sql = f"""WITH wanted (session, sequence) AS ({table}), keys AS (
                      SELECT session, sequence,
                      (SELECT max(l.sequence) FROM receipts l WHERE l.session = w.session AND l.sequence < w.sequence) AS lower,
                      (SELECT min(h.sequence) FROM receipts h WHERE h.session = w.session AND h.sequence > w.sequence) AS higher
                      FROM wanted w
                  )
                  {found_at} ON r.session = k.session AND r.sequence = k.sequence
                  UNION ALL {found_at} ON r.session = k.session AND r.sequence = k.lower
                  UNION ALL {found_at} ON r.session = k.session AND r.sequence = k.higher"""  # noqa: S608 - the table holds places, no values
        for row in self._rows(sql, *values):
            around = found[row["session"], row["wanted"]]
            if row["sequence"] == row["wanted"]:
                around.same = receipt_of(row)
            elif row["sequence"] < row["wanted"]:
                around.lower = from_text(Receipt, row["receipt"])
            else:
                around.higher = from_text(Receipt, row["receipt"])

    def receipt(self, session: bytes, sequence: int) -> ReceiptMessage | None:
        """Return one receipt."""
        row = self._row("SELECT receipt, signature, ocmf FROM receipts WHERE session = ? AND sequence = ?", session, sequence)
        return None if row is None else receipt_of(row)

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


def receipt_of(row: dict[str, Any]) -> ReceiptMessage:
    """Read a row's `receipt`, `signature` and `ocmf`."""
    return ReceiptMessage(from_text(Receipt, row["receipt"]), row["signature"], row["ocmf"])
