"""What was refused."""

from dataclasses import dataclass

from wattseal.store.plugs import Plugs

MAX_ROWS_OF_A_PLUG = 100
MAX_ROWS_OF_STRANGERS = 1000  # of all that are not known here together
MAX_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that was refused, as it came; `plug` is None where the speaker is not known here."""

    id: int
    received_at: int
    peer: str
    code: str
    message: str
    raw: bytes
    plug: bytes | None = None


class Quarantine(Plugs):
    """What was refused, and why. A known plug has room of its own, which no other can take; those that are not known share theirs."""

    def add_quarantined(self, peer: str, code: str, message: str, raw: bytes, plug: bytes | None = None) -> None:
        """Keep what was refused of a plug, or before it said who it is. Where its room is full, the oldest in it goes."""
        known = plug if plug is not None and self.knows(plug) else None
        whose, most = ("plug IS NULL", MAX_ROWS_OF_STRANGERS) if known is None else ("plug = :plug", MAX_ROWS_OF_A_PLUG)
        with self.transaction():
            self._execute(
                "INSERT INTO quarantine (received_at, peer, code, message, raw, plug) VALUES (?, ?, ?, ?, ?, ?)",
                *(self._now(), _printable(peer), code, _printable(message), raw, known),
            )
            oldest = "SELECT id FROM quarantine {} ORDER BY id DESC LIMIT 1 OFFSET :most"
            self._execute(f"DELETE FROM quarantine WHERE {whose} AND id <= ({oldest.format(f'WHERE {whose}')})", plug=known, most=most)  # noqa: S608 - ours
            self._execute(f"DELETE FROM quarantine WHERE id <= ({oldest.format('')})", most=MAX_ROWS)  # noqa: S608 - ours

    def quarantined(self, limit: int = 100) -> list[Quarantined]:
        """Return what was refused, newest first."""
        sql = "SELECT id, received_at, peer, code, message, raw, plug FROM quarantine ORDER BY id DESC LIMIT ?"
        return [Quarantined(**row) for row in self._rows(sql, limit)]


def _printable(text: str) -> str:
    """PostgreSQL keeps no NUL in a text."""
    return text.replace("\0", "\\0")
