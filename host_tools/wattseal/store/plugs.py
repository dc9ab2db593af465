"""Plugs: their enrolments, and the keys that they had before."""

from wattseal.protocol.messages import Enrolment, RetiredMessage
from wattseal.store.database import Database, from_text, to_text


class Plugs(Database):
    """Plugs and their keys."""

    def plugs(self) -> list[bytes]:
        """Return the address of every plug that sent a status or had a session."""
        return [row["plug"] for row in self._rows("SELECT plug FROM statuses UNION SELECT plug FROM vouchers ORDER BY plug")]

    def knows(self, plug: bytes) -> bool:
        """Return whether a plug ever sent a status or had a session."""
        sql = "SELECT 1 FROM statuses WHERE plug = ?1 UNION ALL SELECT 1 FROM vouchers WHERE plug = ?1 LIMIT 1"
        return self._row(sql, plug) is not None

    def put_enrolment(self, message: Enrolment) -> None:
        """Keep a plug's enrolment in place of the one before."""
        sql = "INSERT OR REPLACE INTO enrolments (plug, enrolment, received_at) VALUES (?, ?, ?)"
        self._execute(sql, message.plug, to_text(message), self._now())

    def enrolment(self, plug: bytes) -> Enrolment | None:
        """Return a plug's newest enrolment."""
        row = self._row("SELECT enrolment FROM enrolments WHERE plug = ?", plug)
        return None if row is None else from_text(Enrolment, row["enrolment"])

    def put_retirement(self, message: RetiredMessage) -> None:
        """Keep how a plug's key was given up, in place of what is known of that."""
        sql = "INSERT OR REPLACE INTO retirements (plug, successor, retirement, received_at) VALUES (?, ?, ?, ?)"
        self._execute(sql, message.plug, message.successor, to_text(message), self._now())

    def retirement(self, plug: bytes) -> RetiredMessage | None:
        """Return how a plug's key was given up, or None while it is not."""
        row = self._row("SELECT retirement FROM retirements WHERE plug = ?", plug)
        return None if row is None else from_text(RetiredMessage, row["retirement"])

    def identities(self, plug: bytes) -> list[bytes]:
        """Return a plug's address and those of the keys that it has taken over from."""
        sql = """WITH RECURSIVE chain (plug) AS (
                     SELECT ? UNION SELECT retirements.plug FROM retirements JOIN chain ON retirements.successor = chain.plug
                 ) SELECT plug FROM chain"""
        return [row["plug"] for row in self._rows(sql, plug)]
