"""The store in an SQLite file.

Write-ahead log and synchronous=FULL: what is committed survives a crash and a power cut (https://www.sqlite.org/pragma.html).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from wattseal.errors import StoreError
from wattseal.store.adapter import Rows
from wattseal.store.migrations import Step

_FETCHED = 500


class Sqlite:
    """An SQLite file, as `Adapter` says."""

    skip_locked = ""

    def __init__(self, path: Path) -> None:
        """Name the file; `connect` opens or makes it."""
        self.name = str(path)
        # One writer at a time; waiting for each other by SQLite's own busy handler would cost tens of milliseconds.
        self.writing: AbstractContextManager[Any] = threading.RLock()

    def connect(self) -> sqlite3.Connection:
        """Open the file, or make it."""
        try:
            connection = sqlite3.connect(self.name, isolation_level=None, check_same_thread=False, cached_statements=512)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000", "wal_autocheckpoint = 4000"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the store {self.name}: {error}; check that its folder exists and can be written") from error
        return connection

    def is_broken(self, connection: sqlite3.Connection) -> bool:
        """Whether a transaction could not be ended."""
        return connection.in_transaction

    def run(self, connection: sqlite3.Connection, sql: str, values: Any = ()) -> int:
        """Execute a statement."""
        with self._errors():
            return connection.execute(sql, values).rowcount

    def run_many(self, connection: sqlite3.Connection, sql: str, rows: Sequence[Any]) -> int:
        """Execute a statement once for each row."""
        with self._errors():
            return connection.executemany(sql, rows).rowcount

    def rows(self, connection: sqlite3.Connection, sql: str, values: Any = ()) -> Rows:
        """Execute a query."""
        with self._errors():
            cursor = connection.execute(sql, values)
            return [column[0] for column in cursor.description], cursor.fetchall()

    def stream(self, connection: sqlite3.Connection, sql: str, values: Any) -> Iterator[tuple[list[str], Any]]:
        """Execute a query; SQLite makes its rows as they are fetched."""
        with self._errors():
            cursor = connection.execute(sql, values)
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(_FETCHED):
                for row in rows:
                    yield names, row

    def pairs(self, keys: Sequence[tuple[bytes, int]]) -> tuple[str, Sequence[Any]]:
        """A list of values."""
        return f"VALUES {', '.join(['(?, ?)'] * len(keys))}", [value for key in keys for value in key]

    def begin(self, connection: sqlite3.Connection) -> None:
        """Start a transaction that writes."""
        self.run(connection, "BEGIN IMMEDIATE")

    def begin_reading(self, connection: sqlite3.Connection) -> None:
        """Start a transaction; its first query fixes what it sees."""
        self.run(connection, "BEGIN")

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit."""
        self.run(connection, "COMMIT")

    def migrate(self, connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
        """Take the steps that the file has not taken, each in a transaction with the check of what refers to what."""
        self.run(connection, "PRAGMA foreign_keys = OFF")
        for number, step in enumerate(steps, 1):
            self.begin(connection)
            try:
                version = self.rows(connection, "PRAGMA user_version")[1][0][0]
                if version > len(steps):
                    raise StoreError(f"{self.name} has format {version}; this version knows up to {len(steps)}: update wattseal")
                if version == number - 1:
                    for statement in step.sqlite:
                        self.run(connection, statement)
                    if self.rows(connection, "PRAGMA foreign_key_check")[1]:
                        raise StoreError(f"{self.name} holds rows without what they refer to; restore the store from a copy")
                    self.run(connection, f"PRAGMA user_version = {number}")
                self.commit(connection)
            finally:
                if connection.in_transaction:
                    connection.rollback()
        self.run(connection, "PRAGMA foreign_keys = ON")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise StoreError(f"the store {self.name} cannot be used: {error}; check the disk") from error
