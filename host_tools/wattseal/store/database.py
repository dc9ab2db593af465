"""The database below every part of the store: connections, transactions, format.

Safe to use from several threads: each has a connection of its own while it needs one. Structs are kept as their JSON objects, since
their integers may be wider than a database's signed 64 bits.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from wattseal.errors import Malformed, StoreError
from wattseal.protocol.messages import Wire
from wattseal.store.adapter import Adapter
from wattseal.store.migrations import STEPS
from wattseal.store.sqlite import Sqlite

_W = TypeVar("_W", bound=Wire)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Database:
    """An open database. Every method that writes has committed when it returns, and raises StoreError where that is not known.

    After a StoreError the next call uses a new connection: a database server that was restarted is found again.
    """

    def __init__(self, where: Path | str, clock: Callable[[], float] = time.time) -> None:
        """Open or make a file, or connect to `postgresql://...`, and bring the tables to the newest format. Raises StoreError.

        `clock` gives UTC seconds, for `received_at` and the like.
        """
        self._clock = clock
        self._adapter = _adapter(where)
        self._free: list[Any] = []
        self._closed = False
        self._mine = threading.local()
        with self._connection() as connection:
            self._adapter.migrate(connection, STEPS)

    def close(self) -> None:
        """Close every connection."""
        self._closed = True
        self._forget_free()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one transaction; an exception undoes it. Inside another one, it is part of that."""
        if self._held() is not None:
            yield
            return
        with self._adapter.writing, self._connection() as connection:
            self._mine.connection = connection
            try:
                self._adapter.begin(connection)
                yield
                self._adapter.commit(connection)
            except BaseException:
                with suppress(StoreError):
                    self._adapter.run(connection, "ROLLBACK", ())
                self._undone()
                raise
            finally:
                self._mine.connection = None

    def _undone(self) -> None:
        """Forget what was remembered of a transaction: it was undone."""

    def _now(self) -> int:
        return int(self._clock())

    def _execute(self, sql: str, *positional: Any, **named: Any) -> int:
        """Execute a statement that writes; return how many rows it changed."""
        with self._adapter.writing, self._connection() as connection:
            return self._adapter.run(connection, sql, named or positional)

    def _execute_many(self, sql: str, rows: Sequence[Any]) -> int:
        """Execute a statement once for each row, inside a transaction; return how many rows that changed."""
        with self._connection() as connection:
            return self._adapter.run_many(connection, sql, rows)

    def _rows(self, sql: str, *positional: Any, **named: Any) -> list[dict[str, Any]]:
        with self._connection() as connection:
            names, rows = self._adapter.rows(connection, sql, named or positional)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _row(self, sql: str, *positional: Any, **named: Any) -> dict[str, Any] | None:
        rows = self._rows(sql, *positional, **named)
        return rows[0] if rows else None

    def _stream(self, sql: str, **named: Any) -> Iterator[dict[str, Any]]:
        """Give the rows of a query as they were when it began, on a connection of its own and a few at a time."""
        connection = self._adapter.connect()
        try:
            self._adapter.begin_reading(connection)
            for names, row in self._adapter.stream(connection, sql, named):
                yield dict(zip(names, row, strict=True))
        finally:
            connection.close()

    def _held(self) -> Any:
        """The connection of this thread's transaction."""
        return getattr(self._mine, "connection", None)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        held = self._held()
        if held is not None:
            yield held
            return
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._adapter.connect()
        try:
            yield connection
        finally:
            if not self._closed and not self._adapter.is_broken(connection):
                self._free.append(connection)
            else:
                connection.close()
                self._forget_free()  # where one is broken, the others are too

    def _forget_free(self) -> None:
        while self._free:
            with suppress(IndexError):  # another thread took it
                self._free.pop().close()


def is_url(where: Path | str) -> bool:
    """Return whether a place for a store is a server's and not a file's."""
    return str(where).startswith(("postgresql://", "postgres://"))


def _adapter(where: Path | str) -> Adapter:
    if is_url(where):
        from wattseal.store.postgresql import Postgresql

        return Postgresql(str(where))
    return Sqlite(Path(where))


def to_text(struct: Wire) -> str:
    """Return a struct as it is kept."""
    return _ENCODER.encode(struct.to_wire())


def from_text(cls: type[_W], text: str) -> _W:
    """Read a struct back. Raises StoreError where it is damaged."""
    try:
        return cls.from_wire(json.loads(text))
    except (ValueError, Malformed) as error:
        raise StoreError(f"a stored {cls.__name__} is damaged: {error}; restore the store from a copy") from error
