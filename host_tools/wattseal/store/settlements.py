"""Which sessions are to be settled, and what became of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from wattseal.protocol.messages import ReceiptMessage, SessionMessage, Voucher
from wattseal.store.database import from_text
from wattseal.store.receipts import Receipts, receipt_of


@dataclass(frozen=True, slots=True)
class SettlementRecord:
    """What became of settling a session up to a sequence. Amounts in token base units.

    `state` is `sent` (the transaction is durable), `included` (in a signed block) or `settled` (paid for good, whoever sent the transaction);
    or else `nothing_due`, or `failed` (it will not be paid; `code` and `message` say why). A session has one in flight, sent or included.
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
class Unsettled:
    """A session with a receipt to settle: the one in flight, else its newest. Times in UTC seconds, amounts in token base units.

    `paid` is what is settled of the session, `since` when that was, or when the voucher was accepted. `leased_by` has it for now.
    """

    session: SessionMessage
    message: ReceiptMessage
    received_at: int
    since: int
    paid: int
    in_flight: SettlementRecord | None
    leased_by: str | None


_IN_FLIGHT = "('sent', 'included')"
_RUNNING = "f.id IS NULL AND r.final = 0"
_UNSETTLED = f"""
    SELECT f.*, v.session AS of_session, v.voucher, v.signature AS driver_signature, v.accepted_at, v.leased_by, v.leased_until,
        r.receipt, r.signature, r.ocmf, r.received_at,
        (SELECT s.total_paid FROM settlements s WHERE s.session = v.session AND s.state = 'settled' ORDER BY s.id DESC LIMIT 1) AS paid_before,
        (SELECT max(s.recorded_at) FROM settlements s WHERE s.session = v.session AND s.state NOT IN {_IN_FLIGHT}) AS settled_at
    FROM vouchers v
    LEFT JOIN settlements f ON f.session = v.session AND f.state IN {_IN_FLIGHT}
    JOIN receipts r ON r.session = v.session
        AND r.sequence = coalesce(f.sequence, (SELECT max(l.sequence) FROM receipts l WHERE l.session = v.session))
    WHERE v.done = 0
        AND (f.id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM settlements s WHERE s.session = v.session AND s.sequence >= r.sequence))
        {{}}
    ORDER BY r.received_at, v.number"""  # noqa: S608 - two words of our own


class Settlements(Receipts):
    """Outcomes of settlements, and what is still to settle."""

    def unsettled(self, running: bool = True) -> list[Unsettled]:
        """Return every session with a receipt to settle or a settlement in flight, whoever works on it; the longest waiting first.

        Without `running` only those of which the newest receipt is final, or something is in flight.
        """
        now = self._now()
        return [_unsettled(row, now) for row in self._rows(_UNSETTLED.format("" if running else f"AND NOT ({_RUNNING})"))]

    def lease(self, sessions: Sequence[bytes], worker: str, for_s: int) -> set[bytes]:
        """Return those of the sessions that no other worker has, and have none get them for a time, which starts anew for the worker's own.

        `worker` is a name that no other one has. The workers' clocks must agree to much less than `for_s` seconds.
        """
        if not sessions:
            return set()
        now = self._now()
        table, values = self._adapter.pairs([(session, 0) for session in sessions])
        sql = f"""WITH wanted (session, zero) AS ({table})
                  SELECT v.session FROM vouchers v JOIN wanted w ON w.session = v.session
                  WHERE v.leased_until <= ? OR v.leased_by = ? ORDER BY v.number {self._adapter.skip_locked}"""  # noqa: S608 - no values in it
        with self.transaction():
            leased = {row["session"] for row in self._rows(sql, *values, now, worker)}
            if leased:
                leases = [(worker, now + for_s, session) for session in leased]
                self._execute_many("UPDATE vouchers SET leased_by = ?, leased_until = ? WHERE session = ?", leases)
        return leased

    def add_settlement(self, record: SettlementRecord) -> None:
        """Keep where a settlement stands, in place of the session's one in flight; after the outcome of a final receipt the session is done."""
        values = asdict(record) | {
            "paid": None if record.paid is None else str(record.paid),
            "total_paid": None if record.total_paid is None else str(record.total_paid),
            "recorded_at": self._now(),
            "proof_verified": int(record.proof_verified),
        }
        with self.transaction():
            self._execute(f"DELETE FROM settlements WHERE session = ? AND state IN {_IN_FLIGHT}", record.session)  # noqa: S608 - two words
            self._execute(
                """INSERT INTO settlements (session, sequence, state, tx_hash, block_number, block_hash, gas_used, paid, total_paid,
                   proof_verified, code, message, recorded_at)
                   VALUES (:session, :sequence, :state, :tx_hash, :block_number, :block_hash, :gas_used, :paid, :total_paid,
                   :proof_verified, :code, :message, :recorded_at)""",
                **values,
            )
            self._execute(
                """UPDATE vouchers SET done = 1 WHERE session = :session AND :state NOT IN ('sent', 'included')
                   AND EXISTS (SELECT 1 FROM receipts WHERE session = :session AND sequence = :sequence AND final = 1)""",
                **values,
            )

    def settlements(self, session: bytes) -> list[SettlementRecord]:
        """Return the outcomes of a session's settlements, oldest first."""
        return [settlement_of(row) for row in self._rows("SELECT * FROM settlements WHERE session = ? ORDER BY id", session)]

    def settled_sessions(self, plug: bytes, limit: int) -> list[bytes]:
        """Return a plug's newest sessions of which nothing more can be claimed."""
        sql = """SELECT v.session FROM vouchers v WHERE v.plug = ? AND v.done = 1 AND EXISTS (
                     SELECT 1 FROM settlements s JOIN receipts r ON r.session = s.session AND r.sequence = s.sequence
                     WHERE s.session = v.session AND s.state <> 'failed' AND r.final = 1
                 ) ORDER BY v.number DESC LIMIT ?"""
        return [row["session"] for row in self._rows(sql, plug, limit)]


def settlement_of(row: dict[str, Any]) -> SettlementRecord:
    """Read a row of settlements."""
    values = {field.name: row[field.name] for field in fields(SettlementRecord)}
    amounts = {name: None if row[name] is None else int(row[name]) for name in ("paid", "total_paid")}
    return SettlementRecord(**values | amounts | {"proof_verified": bool(row["proof_verified"])})


def _unsettled(row: dict[str, Any], now: int) -> Unsettled:
    return Unsettled(
        session=SessionMessage(row["of_session"], from_text(Voucher, row["voucher"]), row["driver_signature"]),
        message=receipt_of(row),
        received_at=row["received_at"],
        since=row["accepted_at"] if row["settled_at"] is None else row["settled_at"],
        paid=int(row["paid_before"] or 0),
        in_flight=None if row["id"] is None else settlement_of(row),
        leased_by=row["leased_by"] if row["leased_until"] > now else None,
    )
