"""When a receipt is worth a transaction."""

from typing import Any

import pytest
from wattseal.protocol.messages import due
from wattseal.protocol.typed_data import GRACE_S
from wattseal.relay.settle_policy import SettlePolicy, at_risk
from wattseal.store import Unsettled

from tests.host_tools.conftest import Actors

ACTORS = Actors()
VOUCHER = ACTORS.voucher()
NOW = ACTORS.now + 7200
CHEAP = 10**9


def entry(sequence: int = 5, *, final: bool = False, received_at: int = NOW, since: int = NOW, paid: int = 0, **changes: Any) -> Unsettled:
    session = ACTORS.session(VOUCHER)
    return Unsettled(session, ACTORS.receipt_message(session.session, sequence, final, **changes), received_at, since, paid, None, None)


def chosen(policy: SettlePolicy, *entries: Unsettled, chain_time: int = NOW, base_fee_wei: int = CHEAP) -> list[Unsettled]:
    return policy.choose(entries, NOW, chain_time, base_fee_wei)


def test_a_home_settles_final_receipts_at_once_and_running_sessions_once_a_day() -> None:
    home = SettlePolicy()
    final, running, day_old = entry(final=True), entry(since=NOW - 86_399), entry(since=NOW - 86_400)
    assert chosen(home, final, running, day_old) == [final, day_old]


def test_what_is_paid_is_not_at_risk() -> None:
    worth = due(VOUCHER, entry().message.receipt)
    assert worth > 0
    assert at_risk(entry()) == worth
    assert at_risk(entry(paid=worth - 1)) == 1
    assert at_risk(entry(paid=worth + 1)) == 0
    assert chosen(SettlePolicy(), entry(since=0, paid=worth)) == []


def test_a_running_session_is_paid_for_once_enough_is_at_risk() -> None:
    worth = due(VOUCHER, entry().message.receipt)
    assert chosen(SettlePolicy(interim_risk=worth), entry()) == [entry()]
    assert chosen(SettlePolicy(interim_risk=worth), entry(paid=1)) == []


@pytest.mark.parametrize(("count", "waited_s", "sent"), [(9, 0, 0), (10, 0, 10), (1, 599, 0), (1, 600, 1)])
def test_a_fleet_sends_batches_or_what_has_waited(count: int, waited_s: int, sent: int) -> None:
    entries = [entry(final=True, received_at=NOW - waited_s)] * count
    assert len(chosen(SettlePolicy(batch=10, wait_s=600), *entries)) == sent


def test_above_a_gas_price_only_what_is_urgent_is_sent() -> None:
    policy = SettlePolicy(max_base_fee_wei=CHEAP)
    deadline = VOUCHER.validUntil + GRACE_S
    final = entry(final=True)
    assert chosen(policy, final) == [final]
    assert chosen(policy, final, base_fee_wei=CHEAP + 1) == []
    assert chosen(policy, final, base_fee_wei=CHEAP + 1, chain_time=deadline - policy.urgent_s) == []
    assert chosen(policy, final, base_fee_wei=CHEAP + 1, chain_time=deadline - policy.urgent_s + 1) == [final]


def test_what_is_urgent_waits_for_no_batch() -> None:
    policy = SettlePolicy(batch=100, wait_s=10**9)
    final = entry(final=True)
    assert chosen(policy, final) == []
    assert chosen(policy, final, chain_time=VOUCHER.validUntil + GRACE_S - 1) == [final]
