"""Which sessions are to be settled, and what became of it."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from wattseal.protocol.messages import ReceiptMessage, SessionMessage, Voucher
from wattseal.store.database import from_text
from wattseal.store.receipts import Receipts, receipt_of


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


_CLAIMS = """SELECT v.session, v.voucher, v.signature AS driver_signature, r.receipt, r.signature, r.ocmf
             FROM vouchers v JOIN receipts r ON r.session = v.session"""
_DUE = """v.done = 0 AND (r.final = 1 OR r.received_at < :before)
          AND r.sequence = (SELECT max(l.sequence) FROM receipts l WHERE l.session = v.session)
          AND NOT EXISTS (SELECT 1 FROM settlements s WHERE s.session = v.session AND s.sequence >= r.sequence)"""


class Settlements(Receipts):
    """Outcomes of settlements, and what is still due."""

    def due(self, received_before: int) -> list[tuple[SessionMessage, ReceiptMessage]]:
        """Return voucher and newest receipt of each session to settle: not yet settled, and final or older than a time (UTC seconds)."""
        return [_claim(row) for row in self._rows(f"{_CLAIMS} WHERE {_DUE} ORDER BY r.received_at, v.number", before=received_before)]

    def lease_due(self, received_before: int, limit: int, worker: str, for_s: int) -> list[tuple[SessionMessage, ReceiptMessage]]:
        """Return what is due as `due` does, at most `limit`, and have no other worker get it for a time, or until it is let go.

        `worker` is a name that no other one has. It gets its own again before the time is up, which starts anew. The workers' clocks
        must agree to much less than `for_s` seconds.
        """
        now = self._now()
        mine = "(v.leased_until <= :now OR v.leased_by = :worker)"
        sql = f"{_CLAIMS} WHERE {_DUE} AND {mine} ORDER BY r.received_at, v.number LIMIT :most {self._adapter.skip_locked}"
        with self.transaction():
            rows = self._rows(sql, before=received_before, now=now, worker=worker, most=limit)
            leases = [(worker, now + for_s, row["session"]) for row in rows]
            if leases:
                self._execute_many("UPDATE vouchers SET leased_by = ?, leased_until = ? WHERE session = ?", leases)
        return [_claim(row) for row in rows]

    def let_go(self, session: bytes, worker: str) -> None:
        """End a worker's lease of a session, if it still has it."""
        self._execute("UPDATE vouchers SET leased_by = NULL, leased_until = 0 WHERE session = ? AND leased_by = ?", session, worker)

    def add_settlement(self, record: SettlementRecord) -> None:
        """Keep the outcome of a settlement; after that of a final receipt the session is done."""
        values = asdict(record) | {
            "paid": None if record.paid is None else str(record.paid),
            "total_paid": None if record.total_paid is None else str(record.total_paid),
            "recorded_at": self._now(),
            "proof_verified": int(record.proof_verified),
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
                   AND EXISTS (SELECT 1 FROM receipts WHERE session = :session AND sequence = :sequence AND final = 1)""",
                **values,
            )

    def settlements(self, session: bytes) -> list[SettlementRecord]:
        """Return the outcomes of a session's settlements, oldest first."""
        return [_settlement(row) for row in self._rows("SELECT * FROM settlements WHERE session = ? ORDER BY id", session)]

    def settled_sessions(self, plug: bytes, limit: int) -> list[bytes]:
        """Return a plug's newest sessions of which nothing more can be claimed."""
        sql = """SELECT v.session FROM vouchers v WHERE v.plug = ? AND v.done = 1
                 AND EXISTS (SELECT 1 FROM settlements s WHERE s.session = v.session AND s.state <> 'failed') ORDER BY v.number DESC LIMIT ?"""
        return [row["session"] for row in self._rows(sql, plug, limit)]


def _settlement(row: dict[str, Any]) -> SettlementRecord:
    values = {field.name: row[field.name] for field in fields(SettlementRecord)}
    amounts = {name: None if row[name] is None else int(row[name]) for name in ("paid", "total_paid")}
    return SettlementRecord(**values | amounts | {"proof_verified": bool(row["proof_verified"])})


def _claim(row: dict[str, Any]) -> tuple[SessionMessage, ReceiptMessage]:
    return SessionMessage(row["session"], from_text(Voucher, row["voucher"]), row["driver_signature"]), receipt_of(row)
