"""What may be forgotten of sessions that are settled. What is not settled is never forgotten."""

from wattseal.store.settlements import Settlements

# Every table with rows of a session, in the order in which they go; the voucher goes last.
TABLES_OF_A_SESSION = ("settlements", "receipts")

_SETTLED_BEFORE = """v.done = 1 AND v.accepted_at < :before
    AND NOT EXISTS (SELECT 1 FROM settlements s WHERE s.session = v.session AND s.recorded_at >= :before)"""


class Retention(Settlements):
    """Forgets in steps of bounded size, so that nobody else waits for long."""

    def forget_interim(self, settled_before: int, limit: int = 100) -> int:
        """Delete the receipts that no settlement names of sessions settled before a time (UTC seconds); return how many sessions that were.

        Voucher, settlements and the receipts that were settled, thus the final one, stay.
        """
        with self.transaction():
            sessions = self._sessions(f"v.trimmed = 0 AND {_SETTLED_BEFORE}", settled_before, limit)
            for session in sessions:
                self._execute(
                    """DELETE FROM receipts WHERE session = :session
                       AND sequence NOT IN (SELECT s.sequence FROM settlements s WHERE s.session = :session)""",
                    session=session,
                )
                self._execute("UPDATE vouchers SET trimmed = 1 WHERE session = ?", session)
        return len(sessions)

    def forget_sessions(self, settled_before: int, limit: int = 100) -> int:
        """Delete all there is of sessions settled before a time (UTC seconds); return how many. `forget_interim` must have seen them."""
        with self.transaction():
            sessions = self._sessions(f"v.trimmed = 1 AND {_SETTLED_BEFORE}", settled_before, limit)
            for session in sessions:
                for table in (*TABLES_OF_A_SESSION, "vouchers"):
                    self._execute(f"DELETE FROM {table} WHERE session = ?", session)  # noqa: S608 - the names are ours
        return len(sessions)

    def _sessions(self, which: str, before: int, limit: int) -> list[bytes]:
        sql = f"SELECT v.session FROM vouchers v WHERE {which} ORDER BY v.accepted_at LIMIT :most"  # noqa: S608 - ours
        return [row["session"] for row in self._rows(sql, before=before, most=limit)]
