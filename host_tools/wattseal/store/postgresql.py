"""The store in a PostgreSQL database, by URL. psycopg 3 is imported here only: it is an extra."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from wattseal.errors import ConfigError, StoreError
from wattseal.store.adapter import Rows
from wattseal.store.migrations import Step

try:
    import psycopg
except ImportError as missing:  # pragma: no cover - the tests have it
    raise ConfigError("a store on PostgreSQL needs psycopg: pip install 'wattseal[postgresql]'") from missing

_MIGRATING = 0x57617474  # the key of an advisory lock; ours alone in a database that is ours
# A server that has gone is noticed after seconds, and a statement that hangs does not hang the relay. Nothing is acknowledged before it is on disk.
_CONNECT = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
_OPTIONS = "-c synchronous_commit=on -c statement_timeout=30s -c idle_in_transaction_session_timeout=10min"

_NO_URL = "the store's URL cannot be read; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_PLACE = re.compile(r"\?|:([a-z_]+)")
_FETCHED = 500


@cache
def _translated(sql: str) -> str:
    return _PLACE.sub(lambda match: f"%({match[1]})s" if match[1] else "%s", sql)


class Postgresql:
    """A PostgreSQL database, as `Adapter` says."""

    skip_locked = "FOR UPDATE OF v SKIP LOCKED"

    def __init__(self, url: str) -> None:
        """Read the URL. Raises ConfigError, which does not show it, where it is none."""
        try:
            parts = urlsplit(url)
            place = f"{parts.hostname or 'local'}:{parts.port or 5432}"
        except ValueError:
            raise ConfigError(_NO_URL) from None
        if parts.netloc.count("@") > 1:  # libpq would take the rest of the password for the host's name
            raise ConfigError(f"{_NO_URL}, with @ in a password as %40")
        user = f"{parts.username}@" if parts.username else ""
        self.name = f"postgresql://{user}{place}{parts.path}"
        self.writing: AbstractContextManager[Any] = nullcontext()
        self._url = url
        self._secrets = [text for text in (parts.password, unquote(parts.password or ""), parts.query) if text]

    def connect(self) -> "psycopg.Connection[Any]":
        """Connect to the server."""
        try:
            return psycopg.connect(self._url, autocommit=True, application_name="wattseal", options=_OPTIONS, **_CONNECT)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise self._failed("cannot be opened", error, "check that the server runs and lets this user in") from None

    def is_broken(self, connection: "psycopg.Connection[Any]") -> bool:
        """Whether the server closed it, or it is in the middle of something."""
        return bool(connection.closed) or connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE

    def run(self, connection: "psycopg.Connection[Any]", sql: str, values: Any = ()) -> int:
        """Execute a statement."""
        with self._errors():
            return connection.execute(_translated(sql), values or None).rowcount

    def run_many(self, connection: "psycopg.Connection[Any]", sql: str, rows: Sequence[Any]) -> int:
        """Execute a statement once for each row, without waiting for the server in between."""
        with self._errors(), connection.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)
            return cursor.rowcount

    def rows(self, connection: "psycopg.Connection[Any]", sql: str, values: Any = ()) -> Rows:
        """Execute a query."""
        with self._errors():
            cursor = connection.execute(_translated(sql), values or None, binary=True)
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def stream(self, connection: "psycopg.Connection[Any]", sql: str, values: Any) -> Iterator[tuple[list[str], Any]]:
        """Execute a query; the server keeps its rows until they are fetched."""
        with self._errors(), connection.cursor(name="stream") as cursor:
            cursor.execute(_translated(sql), values or None, binary=True)
            names = [column.name for column in cursor.description or ()]
            while rows := cursor.fetchmany(_FETCHED):
                for row in rows:
                    yield names, row

    def pairs(self, keys: Sequence[tuple[bytes, int]]) -> tuple[str, Sequence[Any]]:
        """Two arrays, so that the text is the same for any number of pairs, and is prepared once."""
        return "SELECT * FROM unnest(CAST(? AS bytea[]), CAST(? AS bigint[]))", ([key for key, _ in keys], [number for _, number in keys])

    def begin(self, connection: "psycopg.Connection[Any]") -> None:
        """Start a transaction."""
        self.run(connection, "BEGIN")

    def begin_reading(self, connection: "psycopg.Connection[Any]") -> None:
        """Start a transaction that sees one snapshot."""
        self.run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.run(connection, "SET LOCAL statement_timeout = 0")  # years may have to be sorted

    def commit(self, connection: "psycopg.Connection[Any]") -> None:
        """Commit; PostgreSQL undoes a transaction in which a statement failed, and does not call that an error."""
        with self._errors():
            done = connection.execute("COMMIT").statusmessage
        if done != "COMMIT":
            raise StoreError(f"the store {self.name} undid a transaction in which a statement had failed")

    def migrate(self, connection: "psycopg.Connection[Any]", steps: Sequence[Step]) -> None:
        """Take the steps that the database has not taken, all in one transaction; other processes wait for it."""
        self.begin(connection)
        self.run(connection, "SET LOCAL statement_timeout = 0")
        self.run(connection, "SELECT pg_advisory_xact_lock(?)", (_MIGRATING,))
        self.run(connection, "CREATE TABLE IF NOT EXISTS store_format (format INTEGER NOT NULL)")
        version = self.rows(connection, "SELECT coalesce(max(format), 0) FROM store_format")[1][0][0]
        if version > len(steps):
            raise StoreError(f"{self.name} has format {version}; this version knows up to {len(steps)}: update wattseal")
        for number, step in enumerate(steps[version:], version + 1):
            for statement in step.postgresql:
                self.run(connection, statement)
            self.run(connection, "INSERT INTO store_format (format) VALUES (?)", (number,))
        self.commit(connection)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._failed("cannot be used", error, "what was under way counts as not done; the next try has a new connection") from None

    def _failed(self, what: str, error: psycopg.Error, then: str) -> StoreError:
        said = " ".join(str(error).split())
        for secret in self._secrets:  # libpq repeats parts of a URL that it cannot read
            said = said.replace(secret, "...")
        return StoreError(f"the store {self.name} {what}: {said}; {then}")
