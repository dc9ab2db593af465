"""What the two databases do differently."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from wattseal.store.migrations import Step

Rows = tuple[list[str], list[Any]]  # names of the columns, and a sequence of values per row


class Adapter(Protocol):
    """One database. Statements are written for SQLite, with `?` and `:name`; the adapter makes them the database's own.

    What may fail raises StoreError.
    """

    name: str  # for messages: never holds a password
    writing: AbstractContextManager[Any]  # held by whoever writes
    skip_locked: str  # at the end of a query of vouchers `v`: lock its rows, and pass over those that another worker has

    def connect(self) -> Any:
        """Return a new connection that commits each statement by itself."""
        ...

    def is_broken(self, connection: Any) -> bool:
        """Return whether a connection that nobody uses is of no more use."""
        ...

    def run(self, connection: Any, sql: str, values: Any) -> int:
        """Execute a statement; return how many rows it changed."""
        ...

    def run_many(self, connection: Any, sql: str, rows: Sequence[Any]) -> int:
        """Execute a statement once for each row; return how many rows that changed in all."""
        ...

    def rows(self, connection: Any, sql: str, values: Any) -> Rows:
        """Execute a query."""
        ...

    def stream(self, connection: Any, sql: str, values: Any) -> Iterator[tuple[list[str], Any]]:
        """Execute a query inside a transaction; give the columns' names with each row, without having all in memory."""
        ...

    def pairs(self, keys: Sequence[tuple[bytes, int]]) -> tuple[str, Sequence[Any]]:
        """Return a query, and its values, that gives bytes and integers as the rows of a table."""
        ...

    def begin(self, connection: Any) -> None:
        """Start a transaction that may write."""
        ...

    def begin_reading(self, connection: Any) -> None:
        """Start a transaction that sees one state of the database."""
        ...

    def commit(self, connection: Any) -> None:
        """Make durable what the transaction did."""
        ...

    def migrate(self, connection: Any, steps: Sequence[Step]) -> None:
        """Bring the tables to the newest format, one process at a time."""
        ...
