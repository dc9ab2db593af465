"""The database below every part of the store: connection, transactions, errors, format.

Write-ahead log and synchronous=FULL: what is committed survives a crash and a power cut (https://www.sqlite.org/pragma.html). To be used
from one thread. Structs are kept as their JSON objects, since their integers may be wider than SQLite's signed 64 bits.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from wattseal.errors import Malformed, StoreError
from wattseal.protocol.messages import Wire
from wattseal.store.migrations import MIGRATIONS

_W = TypeVar("_W", bound=Wire)


class Database:
    """An open database. Every method that writes has committed when it returns, and raises StoreError where it could not."""

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        """Open or make the file. Raises StoreError. `clock` gives UTC seconds, for `received_at` and the like."""
        self._clock = clock
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000"):
                self._db.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the store {path}: {error}; check that its folder exists and can be written") from error
        self._migrate()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one transaction; an exception undoes it. Inside another one, it is part of that."""
        if self._db.in_transaction:
            yield
            return
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._execute("ROLLBACK")

    def _migrate(self) -> None:
        row = self._row("PRAGMA user_version")
        version = 0 if row is None else int(row["user_version"])
        if version > len(MIGRATIONS):
            raise StoreError(f"{self._path} has format {version}; this version knows up to {len(MIGRATIONS)}: update wattseal")
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            with self.transaction():
                for statement in statements:
                    self._execute(statement)
                self._execute(f"PRAGMA user_version = {number}")

    def _now(self) -> int:
        return int(self._clock())

    def _execute(self, sql: str, *positional: Any, **named: Any) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, named or positional)
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} cannot be used: {error}; check the disk") from error

    def _rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        cursor = self._execute(sql, *parameters)
        names = [column[0] for column in cursor.description]
        try:
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} cannot be read: {error}; check the disk") from error

    def _row(self, sql: str, *parameters: Any) -> dict[str, Any] | None:
        rows = self._rows(sql, *parameters)
        return rows[0] if rows else None


def to_text(struct: Wire) -> str:
    """Return a struct as it is kept."""
    return json.dumps(struct.to_wire(), separators=(",", ":"))


def from_text(cls: type[_W], text: str) -> _W:
    """Read a struct back. Raises StoreError where it is damaged."""
    try:
        return cls.from_wire(json.loads(text))
    except (ValueError, Malformed) as error:
        raise StoreError(f"a stored {cls.__name__} is damaged: {error}; restore the store from a copy") from error
