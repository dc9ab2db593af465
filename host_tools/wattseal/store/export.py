"""Receipts with all that belongs to them, for others to keep and to check."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from wattseal.protocol.messages import ReceiptMessage, SessionMessage
from wattseal.store.receipts import receipt_of
from wattseal.store.settlements import SettlementRecord, Settlements, settlement_of
from wattseal.store.vouchers import session_of

_LATE_S = 86_400  # a relay's clock may be that much behind the chain's

_SETTLEMENT = ", ".join(f"s.{field.name} AS settlement_{field.name}" for field in fields(SettlementRecord))
_EXPORTED = f"""SELECT v.session, v.voucher, v.signature AS driver_signature, r.receipt, r.signature, r.ocmf, r.received_at, {_SETTLEMENT}
                FROM vouchers v JOIN receipts r ON r.session = v.session
                LEFT JOIN settlements s ON s.id = (SELECT max(l.id) FROM settlements l WHERE l.session = r.session AND l.sequence = r.sequence)"""  # noqa: S608 - ours
_NEWEST = "r.sequence = (SELECT max(l.sequence) FROM receipts l WHERE l.session = v.session)"


@dataclass(frozen=True, slots=True)
class Exported:
    """A receipt under its voucher, and the outcome of settling it, None where there is none. `received_at` is UTC seconds."""

    session: SessionMessage
    receipt: ReceiptMessage
    received_at: int
    settlement: SettlementRecord | None


class Export(Settlements):
    """Reads long results without having them in memory, and without keeping others from writing."""

    def export(self, since: int = 0, until: int = 1 << 63, plug: bytes | None = None, interim: bool = False) -> Iterator[Exported]:
        """Give the newest receipt of each session, or with `interim` all, whose `asOf` (UTC seconds) is from `since` to before `until`.

        In the order in which the vouchers came, of one moment of the store. Raises StoreError.
        """
        which = f"r.received_at >= :since {'' if interim else f'AND {_NEWEST}'} {'' if plug is None else 'AND v.plug = :plug'}"
        sql = f"{_EXPORTED} WHERE {which} ORDER BY v.number, r.sequence"
        for row in self._stream(sql, since=since - _LATE_S, plug=plug):
            receipt = receipt_of(row)
            if since <= receipt.receipt.asOf < until:
                settlement = {name.removeprefix("settlement_"): value for name, value in row.items() if name.startswith("settlement_")}
                yield Exported(
                    session_of(row | {"signature": row["driver_signature"]}),
                    receipt,
                    row["received_at"],
                    None if settlement["state"] is None else settlement_of(settlement),
                )
