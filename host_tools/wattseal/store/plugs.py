"""Plugs: which there are, their enrolments, and the keys that they had before."""

import time
from collections.abc import Callable
from pathlib import Path

from wattseal.errors import TooMany
from wattseal.protocol.messages import Enrolment, RetiredMessage, to_hex
from wattseal.store.database import Database, from_text, to_text

MAX_PLUGS = 1000
MAX_PREDECESSORS = 16  # of one key; a key that replaces another is made with a cable and is rare
_MAX_IDENTITIES = 100


class Plugs(Database):
    """Plugs and their keys. Whoever reaches the port can invent plugs, so there is room for so many."""

    def __init__(self, where: Path | str, clock: Callable[[], float] = time.time, max_plugs: int = MAX_PLUGS) -> None:
        """As `Database`; `max_plugs` is for how many plugs anything is kept."""
        super().__init__(where, clock)
        self._max_plugs = max_plugs
        self._admitted: set[bytes] = set()

    def plugs(self) -> list[bytes]:
        """Return the address of every plug that sent a status, had a session or enrolled."""
        return [row["plug"] for row in self._rows("SELECT plug FROM plugs ORDER BY plug")]

    def knows(self, plug: bytes) -> bool:
        """Return whether a plug ever sent a status, had a session or enrolled."""
        if plug not in self._admitted and self._row("SELECT 1 AS known FROM plugs WHERE plug = ?", plug) is not None:
            self._admitted.add(plug)
        return plug in self._admitted

    def _undone(self) -> None:
        self._admitted.clear()

    def _admit(self, plug: bytes) -> None:
        """Make room for a plug, in a transaction. Raises TooMany."""
        if self.knows(plug):
            return
        row = self._row("SELECT count(*) AS plugs FROM plugs")
        if row is not None and row["plugs"] >= self._max_plugs:
            raise TooMany(f"{self._max_plugs} plugs are known here, and 0x{plug.hex()} is none of them: raise --max-plugs if it is yours")
        self._execute("INSERT INTO plugs (plug, first_seen_at) VALUES (?, ?) ON CONFLICT DO NOTHING", plug, self._now())

    def put_enrolment(self, message: Enrolment) -> None:
        """Keep a plug's enrolment in place of the one before. Raises TooMany."""
        sql = """INSERT INTO enrolments (plug, enrolment, received_at) VALUES (?, ?, ?)
                 ON CONFLICT (plug) DO UPDATE SET enrolment = excluded.enrolment, received_at = excluded.received_at"""
        with self.transaction():
            self._admit(message.plug)
            self._execute(sql, message.plug, to_text(message), self._now())

    def enrolment(self, plug: bytes) -> Enrolment | None:
        """Return a plug's newest enrolment."""
        row = self._row("SELECT enrolment FROM enrolments WHERE plug = ?", plug)
        return None if row is None else from_text(Enrolment, row["enrolment"])

    def put_retirement(self, message: RetiredMessage) -> None:
        """Keep how a plug's key was given up, in place of what is known of that. Raises TooMany."""
        sql = """INSERT INTO retirements (plug, successor, retirement, received_at) VALUES (?, ?, ?, ?) ON CONFLICT (plug) DO UPDATE
                 SET successor = excluded.successor, retirement = excluded.retirement, received_at = excluded.received_at"""
        with self.transaction():
            self._admit(message.successor)
            others = self._rows("SELECT plug FROM retirements WHERE successor = ? AND plug <> ?", message.successor, message.plug)
            if len(others) >= MAX_PREDECESSORS:
                raise TooMany(f"plug {to_hex(message.successor)} has taken over from {len(others)} keys; more are not kept")
            self._execute(sql, message.plug, message.successor, to_text(message), self._now())

    def retirement(self, plug: bytes) -> RetiredMessage | None:
        """Return how a plug's key was given up, or None while it is not."""
        row = self._row("SELECT retirement FROM retirements WHERE plug = ?", plug)
        return None if row is None else from_text(RetiredMessage, row["retirement"])

    def identities(self, plug: bytes) -> list[bytes]:
        """Return a plug's address and those of the keys that it has taken over from."""
        sql = """WITH RECURSIVE chain (plug) AS (
                     SELECT :plug UNION SELECT retirements.plug FROM retirements JOIN chain ON retirements.successor = chain.plug
                 ) SELECT plug FROM chain LIMIT :most"""
        return [row["plug"] for row in self._rows(sql, plug=plug, most=_MAX_IDENTITIES)]
