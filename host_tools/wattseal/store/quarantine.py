"""What was refused."""

from dataclasses import dataclass

from wattseal.store.database import Database

MAX_QUARANTINE_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that was refused, as it came."""

    id: int
    received_at: int
    peer: str
    code: str
    message: str
    raw: bytes


class Quarantine(Database):
    """What was refused, and why."""

    def add_quarantined(self, peer: str, code: str, message: str, raw: bytes) -> None:
        """Keep what was refused, and why; beyond MAX_QUARANTINE_ROWS the oldest goes."""
        with self.transaction():
            sql = "INSERT INTO quarantine (received_at, peer, code, message, raw) VALUES (?, ?, ?, ?, ?)"
            newest = self._execute(sql, self._now(), peer, code, message, raw).lastrowid or 0
            self._execute("DELETE FROM quarantine WHERE id <= ?", newest - MAX_QUARANTINE_ROWS)

    def quarantined(self, limit: int = 100) -> list[Quarantined]:
        """Return what was refused, newest first."""
        return [Quarantined(**row) for row in self._rows("SELECT * FROM quarantine ORDER BY id DESC LIMIT ?", limit)]
