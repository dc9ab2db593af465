"""Vouchers that plugs accepted."""

from typing import Any

from wattseal.errors import TooMany
from wattseal.protocol.messages import SessionMessage, Voucher, to_hex
from wattseal.store.database import from_text, to_text
from wattseal.store.plugs import Plugs

MAX_OPEN_SESSIONS = 64  # of one plug, which itself keeps 32 until they are settled


class Vouchers(Plugs):
    """Vouchers. What is stored is never changed."""

    def add_voucher(self, message: SessionMessage) -> None:
        """Keep an accepted voucher; the first signature stands. Raises TooMany.

        A plug signs receipts, not vouchers: of those without a receipt, which anybody can bring, a plug's oldest makes room for the newest.
        """
        plug = message.voucher.plug
        with self.transaction():
            if self.voucher(message.session) is not None:
                return
            self._admit(plug)
            sql = """SELECT v.session, EXISTS (SELECT 1 FROM receipts r WHERE r.session = v.session) AS signed
                     FROM vouchers v WHERE v.plug = ? AND v.done = 0 ORDER BY v.number"""
            rows = self._rows(sql, plug)
            if sum(row["signed"] for row in rows) >= MAX_OPEN_SESSIONS:
                raise TooMany(f"plug {to_hex(plug)} has {MAX_OPEN_SESSIONS} sessions that are not settled; settle some first")
            unsigned = [row["session"] for row in rows if not row["signed"]]
            for session in unsigned[: max(0, len(unsigned) + 1 - MAX_OPEN_SESSIONS)]:
                self._execute("DELETE FROM vouchers WHERE session = ?", session)
            self._execute(
                "INSERT INTO vouchers (session, plug, voucher, signature, accepted_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                message.session,
                plug,
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
        row = self._row("SELECT session, voucher, signature FROM vouchers WHERE plug = ? ORDER BY number DESC LIMIT 1", plug)
        if row is None or self._row("SELECT 1 AS done FROM receipts WHERE session = ? AND final = 1 LIMIT 1", row["session"]):
            return None
        return session_of(row)


def session_of(row: dict[str, Any]) -> SessionMessage:
    """Read a row's `session`, `voucher` and `signature`."""
    return SessionMessage(row["session"], from_text(Voucher, row["voucher"]), row["signature"])
