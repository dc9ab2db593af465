"""Everything the relay keeps, in one SQLite file, and every SQL statement there is.

Write-ahead log and synchronous=FULL: what is committed survives a crash and a power cut (https://www.sqlite.org/pragma.html). To be used
from one thread. Structs are kept as their JSON objects, since their integers may be wider than SQLite's signed 64 bits.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from wattseal.errors import ConfigError, Malformed, StoreError
from wattseal.protocol.messages import Enrolment, Receipt, ReceiptMessage, RetiredMessage, SessionMessage, Status, Voucher, Wire

MAX_QUARANTINE_ROWS = 10_000
MAX_STATUS_ROWS = 50_000  # of one plug: a month at one a minute

_W = TypeVar("_W", bound=Wire)

# Each entry takes a file from one user_version to the next. Entries that were released never change.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE owner (chain_id TEXT NOT NULL, contract BLOB NOT NULL) STRICT",
        """CREATE TABLE vouchers (
            session BLOB PRIMARY KEY, plug BLOB NOT NULL, voucher TEXT NOT NULL, signature BLOB NOT NULL, accepted_at INTEGER NOT NULL,
            done INTEGER NOT NULL DEFAULT 0  -- nothing is left to settle
        ) STRICT""",
        "CREATE INDEX vouchers_by_plug ON vouchers (plug)",
        "CREATE INDEX vouchers_not_done ON vouchers (session) WHERE done = 0",
        """CREATE TABLE receipts (
            plug BLOB NOT NULL, session BLOB NOT NULL REFERENCES vouchers (session), sequence INTEGER NOT NULL, final INTEGER NOT NULL,
            receipt TEXT NOT NULL, signature BLOB NOT NULL, ocmf TEXT NOT NULL, received_at INTEGER NOT NULL,
            PRIMARY KEY (plug, session, sequence)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX receipts_by_session ON receipts (session, sequence)",
        """CREATE TABLE settlements (
            id INTEGER PRIMARY KEY, session BLOB NOT NULL REFERENCES vouchers (session), sequence INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('settled', 'nothing_due', 'failed')),
            tx_hash BLOB, block_number INTEGER, block_hash BLOB, gas_used INTEGER, paid TEXT, total_paid TEXT,
            proof_verified INTEGER NOT NULL, code TEXT, message TEXT, recorded_at INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX settlements_by_session ON settlements (session)",
        """CREATE TABLE quarantine (
            id INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, peer TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
            raw BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE statuses (
            id INTEGER PRIMARY KEY, plug BLOB NOT NULL, received_at INTEGER NOT NULL, state TEXT NOT NULL, session BLOB, at INTEGER NOT NULL,
            voltage_mv INTEGER NOT NULL, current_ma INTEGER NOT NULL, power_mw INTEGER NOT NULL, register_mwh INTEGER NOT NULL,
            contactor INTEGER NOT NULL, frequency_mhz INTEGER, contact_mc INTEGER, plug_mc INTEGER, guard TEXT NOT NULL,
            waits_for TEXT, trip TEXT, trip_detail TEXT, weld TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX statuses_by_plug ON statuses (plug, id)",
    ),
    (
        "CREATE TABLE enrolments (plug BLOB PRIMARY KEY, enrolment TEXT NOT NULL, received_at INTEGER NOT NULL) STRICT",
        """CREATE TABLE retirements (
            plug BLOB PRIMARY KEY, successor BLOB NOT NULL, retirement TEXT NOT NULL, received_at INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX retirements_by_successor ON retirements (successor)",
    ),
)


class Added(StrEnum):
    """What became of a receipt: `stored` is the session's newest, `superseded` is kept beside a newer one."""

    STORED = "stored"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class SettlementRecord:
    """What became of settling a session up to a sequence. Amounts in token base units.

    `state` is `settled` (paid, whoever sent the transaction), `nothing_due` or `failed` (it will not be paid; `code` and `message` say why).
    """

    session: bytes
    sequence: int
    state: str
    tx_hash: bytes | None = None
    block_number: int | None = None
    block_hash: bytes | None = None
    gas_used: int | None = None
    paid: int | None = None
    total_paid: int | None = None
    proof_verified: bool = False
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that was refused, as it came."""

    id: int
    received_at: int
    peer: str
    code: str
    message: str
    raw: bytes


class Store:
    """The relay's database. Every method that writes has committed when it returns, and raises StoreError where it could not."""

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

    def bind(self, chain_id: int, contract: bytes) -> None:
        """Make the file belong to one chain and contract (20 bytes) for good. Raises ConfigError if it belongs to another."""
        with self.transaction():
            row = self._row("SELECT chain_id, contract FROM owner")
            if row is None:
                self._execute("INSERT INTO owner (chain_id, contract) VALUES (?, ?)", str(chain_id), contract)
            elif (int(row["chain_id"]), row["contract"]) != (chain_id, contract):
                raise ConfigError(
                    f"{self._path} belongs to chain {row['chain_id']} and contract 0x{row['contract'].hex()}, "
                    f"not to {chain_id} and 0x{contract.hex()}: give another --store"
                )

    # -- vouchers ---------------------------------------------------------------------------------------------------------------------

    def add_voucher(self, message: SessionMessage) -> None:
        """Keep an accepted voucher; the first signature stands."""
        self._execute(
            "INSERT INTO vouchers (session, plug, voucher, signature, accepted_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            message.session,
            message.voucher.plug,
            _text(message.voucher),
            message.signature,
            self._now(),
        )

    def voucher(self, session: bytes) -> SessionMessage | None:
        """Return the voucher of a session."""
        row = self._row("SELECT session, voucher, signature FROM vouchers WHERE session = ?", session)
        return None if row is None else _session(row)

    def unfinished(self, plug: bytes) -> SessionMessage | None:
        """Return a plug's newest voucher, if no final receipt came for it yet."""
        row = self._row("SELECT session, voucher, signature FROM vouchers WHERE plug = ? ORDER BY rowid DESC LIMIT 1", plug)
        if row is None or self._row("SELECT 1 FROM receipts WHERE session = ? AND final LIMIT 1", row["session"]):
            return None
        return _session(row)

    # -- receipts ---------------------------------------------------------------------------------------------------------------------

    def add_receipt(self, plug: bytes, message: ReceiptMessage) -> Added:
        """Keep a verified receipt of a plug and a known session. Safe to repeat; what is stored is never changed."""
        receipt = message.receipt
        with self.transaction():
            stored = self.receipt(receipt.session, receipt.sequence)
            if stored is not None:
                return Added.DUPLICATE if stored == message else Added.CONFLICT
            self._execute(
                """INSERT INTO receipts (plug, session, sequence, final, receipt, signature, ocmf, received_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                plug,
                receipt.session,
                receipt.sequence,
                receipt.final,
                _text(receipt),
                message.signature,
                message.ocmf,
                self._now(),
            )
            return Added.STORED if self.is_newest(receipt) else Added.SUPERSEDED

    def is_newest(self, receipt: Receipt) -> bool:
        """Return whether no receipt of the session with a higher sequence is stored."""
        return self._row("SELECT 1 FROM receipts WHERE session = ? AND sequence > ? LIMIT 1", receipt.session, receipt.sequence) is None

    def receipt(self, session: bytes, sequence: int) -> ReceiptMessage | None:
        """Return one receipt."""
        row = self._row("SELECT receipt, signature, ocmf FROM receipts WHERE session = ? AND sequence = ?", session, sequence)
        return None if row is None else _receipt(row)

    def neighbours(self, session: bytes, sequence: int) -> list[Receipt]:
        """Return the receipts with the next lower and the next higher sequence, where there are such."""
        lower = "SELECT receipt FROM receipts WHERE session = ? AND sequence < ? ORDER BY sequence DESC LIMIT 1"
        higher = "SELECT receipt FROM receipts WHERE session = ? AND sequence > ? ORDER BY sequence LIMIT 1"
        rows = self._rows(lower, session, sequence) + self._rows(higher, session, sequence)
        return [_stored(Receipt, row["receipt"]) for row in rows]

    def newest_receipt(self, session: bytes) -> ReceiptMessage | None:
        """Return a session's receipt with the highest sequence."""
        row = self._row("SELECT receipt, signature, ocmf FROM receipts WHERE session = ? ORDER BY sequence DESC LIMIT 1", session)
        return None if row is None else _receipt(row)

    def receipts(self, session: bytes, after: int = -1, limit: int = 1000) -> list[ReceiptMessage]:
        """Return a session's receipts with a sequence above `after`, in order."""
        sql = "SELECT receipt, signature, ocmf FROM receipts WHERE session = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return [_receipt(row) for row in self._rows(sql, session, after, limit)]

    def count_receipts(self, session: bytes) -> int:
        """Return how many receipts of a session are stored."""
        row = self._row("SELECT count(*) AS receipts FROM receipts WHERE session = ?", session)
        return 0 if row is None else int(row["receipts"])

    # -- settlements ------------------------------------------------------------------------------------------------------------------

    def due(self, received_before: int) -> list[tuple[SessionMessage, ReceiptMessage]]:
        """Return voucher and newest receipt of each session to settle: not yet settled, and final or older than a time (UTC seconds)."""
        rows = self._rows(
            """SELECT v.session, v.voucher, v.signature AS driver_signature, r.receipt, r.signature, r.ocmf
               FROM vouchers v JOIN receipts r ON r.session = v.session
               WHERE v.done = 0 AND (r.final OR r.received_at < ?)
               AND r.sequence = (SELECT max(sequence) FROM receipts WHERE session = v.session)
               AND NOT EXISTS (SELECT 1 FROM settlements s WHERE s.session = v.session AND s.sequence >= r.sequence)
               ORDER BY r.received_at, v.rowid""",
            received_before,
        )
        return [(SessionMessage(row["session"], _stored(Voucher, row["voucher"]), row["driver_signature"]), _receipt(row)) for row in rows]

    def add_settlement(self, record: SettlementRecord) -> None:
        """Keep the outcome of a settlement; after that of a final receipt the session is done."""
        values = asdict(record) | {
            "paid": None if record.paid is None else str(record.paid),
            "total_paid": None if record.total_paid is None else str(record.total_paid),
            "recorded_at": self._now(),
        }
        with self.transaction():
            self._execute(
                """INSERT INTO settlements (session, sequence, state, tx_hash, block_number, block_hash, gas_used, paid, total_paid,
                   proof_verified, code, message, recorded_at)
                   VALUES (:session, :sequence, :state, :tx_hash, :block_number, :block_hash, :gas_used, :paid, :total_paid,
                   :proof_verified, :code, :message, :recorded_at)""",
                **values,
            )
            self._execute(
                """UPDATE vouchers SET done = 1 WHERE session = :session
                   AND EXISTS (SELECT 1 FROM receipts WHERE session = :session AND sequence = :sequence AND final)""",
                **values,
            )

    def settlements(self, session: bytes) -> list[SettlementRecord]:
        """Return the outcomes of a session's settlements, oldest first."""
        return [_settlement(row) for row in self._rows("SELECT * FROM settlements WHERE session = ? ORDER BY id", session)]

    def settled_sessions(self, plug: bytes, limit: int) -> list[bytes]:
        """Return a plug's newest sessions of which nothing more can be claimed."""
        sql = """SELECT v.session FROM vouchers v WHERE v.plug = ? AND v.done = 1
                 AND EXISTS (SELECT 1 FROM settlements s WHERE s.session = v.session AND s.state <> 'failed') ORDER BY v.rowid DESC LIMIT ?"""
        return [row["session"] for row in self._rows(sql, plug, limit)]

    # -- keys -------------------------------------------------------------------------------------------------------------------------

    def put_enrolment(self, message: Enrolment) -> None:
        """Keep a plug's enrolment in place of the one before."""
        sql = "INSERT OR REPLACE INTO enrolments (plug, enrolment, received_at) VALUES (?, ?, ?)"
        self._execute(sql, message.plug, _text(message), self._now())

    def enrolment(self, plug: bytes) -> Enrolment | None:
        """Return a plug's newest enrolment."""
        row = self._row("SELECT enrolment FROM enrolments WHERE plug = ?", plug)
        return None if row is None else _stored(Enrolment, row["enrolment"])

    def put_retirement(self, message: RetiredMessage) -> None:
        """Keep how a plug's key was given up, in place of what is known of that."""
        sql = "INSERT OR REPLACE INTO retirements (plug, successor, retirement, received_at) VALUES (?, ?, ?, ?)"
        self._execute(sql, message.plug, message.successor, _text(message), self._now())

    def retirement(self, plug: bytes) -> RetiredMessage | None:
        """Return how a plug's key was given up, or None while it is not."""
        row = self._row("SELECT retirement FROM retirements WHERE plug = ?", plug)
        return None if row is None else _stored(RetiredMessage, row["retirement"])

    def identities(self, plug: bytes) -> list[bytes]:
        """Return a plug's address and those of the keys that it has taken over from."""
        sql = """WITH RECURSIVE chain (plug) AS (
                     SELECT ? UNION SELECT retirements.plug FROM retirements JOIN chain ON retirements.successor = chain.plug
                 ) SELECT plug FROM chain"""
        return [row["plug"] for row in self._rows(sql, plug)]

    # -- quarantine -------------------------------------------------------------------------------------------------------------------

    def add_quarantined(self, peer: str, code: str, message: str, raw: bytes) -> None:
        """Keep what was refused, and why; beyond MAX_QUARANTINE_ROWS the oldest goes."""
        with self.transaction():
            sql = "INSERT INTO quarantine (received_at, peer, code, message, raw) VALUES (?, ?, ?, ?, ?)"
            newest = self._execute(sql, self._now(), peer, code, message, raw).lastrowid or 0
            self._execute("DELETE FROM quarantine WHERE id <= ?", newest - MAX_QUARANTINE_ROWS)

    def quarantined(self, limit: int = 100) -> list[Quarantined]:
        """Return what was refused, newest first."""
        return [Quarantined(**row) for row in self._rows("SELECT * FROM quarantine ORDER BY id DESC LIMIT ?", limit)]

    # -- statuses ---------------------------------------------------------------------------------------------------------------------

    def add_status(self, plug: bytes, status: Status) -> None:
        """Keep what a plug reports of itself; beyond MAX_STATUS_ROWS of a plug its oldest goes."""
        values = {field.name: getattr(status, field.name) for field in fields(status)}
        columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self.transaction():
            self._execute(
                f"INSERT INTO statuses (plug, received_at, {columns}) VALUES (:plug, :received_at, {places})",  # noqa: S608 - the names are ours
                plug=plug,
                received_at=self._now(),
                **values,
            )
            self._execute(
                """DELETE FROM statuses WHERE plug = :plug
                   AND id <= (SELECT id FROM statuses WHERE plug = :plug ORDER BY id DESC LIMIT 1 OFFSET :rows)""",
                plug=plug,
                rows=MAX_STATUS_ROWS,
            )

    def statuses(self, plug: bytes, limit: int = MAX_STATUS_ROWS) -> list[Status]:
        """Return a plug's newest statuses, oldest first."""
        rows = self._rows("SELECT * FROM statuses WHERE plug = ? ORDER BY id DESC LIMIT ?", plug, limit)
        return [Status(**{field.name: row[field.name] for field in fields(Status)}) for row in reversed(rows)]

    def plugs(self) -> list[bytes]:
        """Return the address of every plug that sent a status or had a session."""
        return [row["plug"] for row in self._rows("SELECT plug FROM statuses UNION SELECT plug FROM vouchers ORDER BY plug")]

    def knows(self, plug: bytes) -> bool:
        """Return whether a plug ever sent a status or had a session."""
        sql = "SELECT 1 FROM statuses WHERE plug = ?1 UNION ALL SELECT 1 FROM vouchers WHERE plug = ?1 LIMIT 1"
        return self._row(sql, plug) is not None

    # -- below ------------------------------------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        row = self._row("PRAGMA user_version")
        version = 0 if row is None else int(row["user_version"])
        if version > len(_MIGRATIONS):
            raise StoreError(f"{self._path} has format {version}; this version knows up to {len(_MIGRATIONS)}: update wattseal")
        for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
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


def _text(struct: Wire) -> str:
    return json.dumps(struct.to_wire(), separators=(",", ":"))


def _stored(cls: type[_W], text: str) -> _W:
    try:
        return cls.from_wire(json.loads(text))
    except (ValueError, Malformed) as error:
        raise StoreError(f"a stored {cls.__name__} is damaged: {error}; restore the store from a copy") from error


def _session(row: dict[str, Any]) -> SessionMessage:
    return SessionMessage(row["session"], _stored(Voucher, row["voucher"]), row["signature"])


def _receipt(row: dict[str, Any]) -> ReceiptMessage:
    return ReceiptMessage(_stored(Receipt, row["receipt"]), row["signature"], row["ocmf"])


def _settlement(row: dict[str, Any]) -> SettlementRecord:
    values = {field.name: row[field.name] for field in fields(SettlementRecord)}
    amounts = {name: None if row[name] is None else int(row[name]) for name in ("paid", "total_paid")}
    return SettlementRecord(**values | amounts | {"proof_verified": bool(row["proof_verified"])})
