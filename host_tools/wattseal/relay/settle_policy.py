"""When a receipt is worth a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from wattseal.protocol.messages import due
from wattseal.protocol.typed_data import GRACE_S
from wattseal.store import Unsettled


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """Which receipts are settled when. The defaults are a home's: final receipts at once, and once a day what a running session owes.

    - `batch` claims are worth a transaction; fewer wait until one of them has waited `wait_s`. A fleet's are 100 and some minutes.
    - A session that is not over counts once `interim_risk` is due and not paid (in base units of the voucher's token; None: never by amount), or
      once anything is, and the last settlement or the voucher is `interim_s` old.
    - Above `max_base_fee_wei` for a unit of gas nothing is sent (None: no matter), but for claims of which less than `urgent_s` is left.
    """

    batch: int = 1
    wait_s: int = 0
    interim_risk: int | None = None
    interim_s: int = 86_400
    max_base_fee_wei: int | None = None
    urgent_s: int = 3 * 86_400

    def choose(self, unsettled: Sequence[Unsettled], now: float, chain_time: int, base_fee_wei: int) -> list[Unsettled]:
        """Return what is to be sent now. `now` is this host's time and `chain_time` the chain's, both in UTC seconds."""
        ready = [entry for entry in unsettled if entry.message.receipt.final or self._is_worth_it(entry, now)]
        urgent = [entry for entry in ready if entry.session.voucher.validUntil + GRACE_S - chain_time < self.urgent_s]
        if self.max_base_fee_wei is not None and base_fee_wei > self.max_base_fee_wei:
            return urgent
        waited = any(now - entry.received_at >= self.wait_s for entry in ready)
        return ready if urgent or waited or len(ready) >= self.batch else []

    def _is_worth_it(self, entry: Unsettled, now: float) -> bool:
        risk = at_risk(entry)
        return risk > 0 and (now - entry.since >= self.interim_s or (self.interim_risk is not None and risk >= self.interim_risk))


def at_risk(entry: Unsettled) -> int:
    """Return what a session's receipt is worth beyond what is settled, in base units of its token."""
    return max(0, due(entry.session.voucher, entry.message.receipt) - entry.paid)
