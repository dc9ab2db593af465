"""Many claims in one transaction: each stands for itself."""

import dataclasses

import pytest
from wattseal.errors import GatewayError, ProofError, Reverted, RpcError, SettlementRefused, SubmissionError
from wattseal.gateway import contract as wattseal
from wattseal.gateway import settlements
from wattseal.gateway.client import Gateway
from wattseal.gateway.contract import balance_slot, call_data
from wattseal.gateway.mempool import Limits
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.settlements import Finality
from wattseal.gateway.types import Claim, Sent, Settlement
from wattseal.protocol.messages import due

from tests.host_tools.gateway.conftest import Charge, trusting

COIN = bytes(20)


@pytest.fixture
def charges(anvil, contract, funded_key):
    """Three sessions at one host, open for an hour."""
    made = [Charge(anvil, contract, funded_key) for _ in range(3)]
    for charge in made:
        charge.host_key, charge.host = made[0].host_key, made[0].host
        charge.with_voucher(host=made[0].host)
        charge.open()
    made[0].pass_time(3700)
    return made


@pytest.fixture
def gateway(charges, contract):
    return Gateway(trusting(charges[0].url), contract, charges[0].host_key, limits=Limits(resend_s=0))


def claims_of(charges, energy_wh=900, final=True):
    return [Claim(*charge.receipt(energy_wh, final=final)) for charge in charges]


def dues(claim):
    return due(claim.voucher, claim.receipt)


def test_a_batch_is_sent_once_and_proven_claim_by_claim(charges, gateway, manual_mining):
    claims = claims_of(charges)
    sent = gateway.settle_many(claims)
    assert len(set(sent)) == 1
    assert all(isinstance(step, Sent) for step in sent)
    assert gateway.settle_many(claims) == sent
    manual_mining.call("evm_mine")
    steps = gateway.settle_many(claims)
    assert [(step.paid, step.total_paid, step.proof_verified, step.tx_hash) for step in steps] == [
        (dues(claim), dues(claim), True, sent[0].tx_hash) for claim in claims
    ]
    assert charges[0].transactions() == 1
    assert gateway.balance_of(charges[0].host, COIN) == sum(map(dues, claims))
    again = Gateway(trusting(charges[0].url), gateway.contract, charges[0].host_key)  # whoever has forgotten it all finds the same
    assert again.settle_many(claims) == steps


def test_later_claims_wait_for_the_transaction_before(charges, gateway, manual_mining):
    first, second, third = claims_of(charges)
    (sent,) = gateway.settle_many([first])
    assert gateway.settle_many([third, first, second]) == [None, sent, None]
    manual_mining.call("evm_mine")
    steps = gateway.settle_many([third, first, second])
    assert isinstance(steps[1], Settlement)
    assert isinstance(steps[0], Sent)
    assert steps[0] == steps[2]


def test_errors_are_each_claims_own(charges, gateway):
    good, forged, foreign = claims_of(charges)
    forged = dataclasses.replace(forged, receipt=dataclasses.replace(forged.receipt, energyWh=901))
    foreign = dataclasses.replace(foreign, voucher=good.voucher)
    steps = gateway.settle_many([forged, good, foreign])
    assert isinstance(steps[0], Reverted)
    assert steps[0].reason == "bad_signature"
    assert isinstance(steps[1], Sent)
    assert isinstance(steps[2], SettlementRefused)


def test_a_withdrawal_and_a_rival_in_the_same_block(charges, gateway, manual_mining):
    """The rival's transaction is before the batch, the withdrawal after it: what the batch paid follows from the events."""
    claims = claims_of(charges)
    gateway.settle_many(claims)
    rival = Gateway(trusting(charges[0].url), gateway.contract, charges[1].wallet._key)._submitter
    early = call_data("settle", wattseal.claim(*charges[1].receipt(100)))
    rival._sign_and_send(1, 300_000, gateway.contract, early, 0, 10**11, 10**10)
    late = call_data("withdraw", charges[0].host, COIN)
    rival._sign_and_send(2, 300_000, gateway.contract, late, 0, 2 * gateway.base_fee_wei() + 1, 1)
    manual_mining.call("evm_mine")
    steps = gateway.settle_many(claims)
    early_due = dues(Claim(*charges[1].receipt(100)))
    assert [step.paid for step in steps] == [dues(claims[0]), dues(claims[1]) - early_due, dues(claims[2])]
    assert gateway.balance_of(charges[0].host, COIN) == 0


def answering_call(gateway, monkeypatch, codes, upstream=0):
    """Have a server say what `settle_many` would return."""
    rpc = gateway.chain.upstreams.all[upstream].rpc
    call = rpc.call
    words = [code.encode().ljust(32, b"\0") for code in codes]
    answer = to_hex((32).to_bytes(32) + len(words).to_bytes(32) + b"".join(words))
    monkeypatch.setattr(rpc, "call", lambda method, *params: answer if method == "eth_call" else call(method, *params))


def test_a_false_hint_costs_once(charges, gateway, manual_mining, monkeypatch):
    """A server says that a forged claim would be paid: it is sent, changes nothing, and is not sent again."""
    good, forged, _ = claims_of(charges)
    forged = dataclasses.replace(forged, receipt=dataclasses.replace(forged.receipt, energyWh=901))
    answering_call(gateway, monkeypatch, ["", ""])
    gateway.settle_many([good, forged])
    manual_mining.call("evm_mine")
    for _ in range(2):
        settled, refused = gateway.settle_many([good, forged])
        assert settled.paid == dues(good)
        assert isinstance(refused, SubmissionError)
        assert "did not settle it" in str(refused)
    manual_mining.call("evm_mine")
    assert charges[0].transactions() == 1


def test_one_server_cannot_refuse_a_claim(charges, monkeypatch, contract):
    url = charges[0].url
    gateway = Gateway(trusting(url, url), contract, charges[0].host_key)
    answering_call(gateway, monkeypatch, ["too_late"] * 3)
    assert all(isinstance(step, Sent) for step in gateway.settle_many(claims_of(charges)))


@pytest.mark.parametrize("answer", ["0x", "0x" + "00" * 32, "0x" + "ff" * 96])
def test_a_hint_that_is_none_refuses_nothing(charges, gateway, monkeypatch, answer):
    rpc = gateway.chain.upstreams.all[0].rpc
    call = rpc.call
    monkeypatch.setattr(rpc, "call", lambda method, *params: answer if method == "eth_call" else call(method, *params))
    assert all(isinstance(step, Sent) for step in gateway.settle_many(claims_of(charges)))


def test_a_host_that_was_not_paid_is_noticed(charges, gateway, monkeypatch):
    """All events and slots are right, but the sum is not on the host's balance."""
    claims = claims_of(charges)
    gateway.settle_many(claims)
    slots = gateway.chain.slots

    def short(header, address, asked):
        values = slots(header, address, asked)
        return [value - (where == balance_slot(charges[0].host, COIN)) for value, where in zip(values, asked, strict=True)]

    monkeypatch.setattr(gateway.chain, "slots", short)
    with pytest.raises(ProofError, match="less than the"):
        until_included(gateway, claims)


def until_included(gateway, claims):
    while any(isinstance(step, Sent) for step in gateway.settle_many(claims)):
        pass


def test_when_a_settlement_counts(charges, gateway, contract):
    (claim, *_) = claims_of(charges)
    assert not gateway.settle(claim.voucher, claim.receipt, claim.plug_signature).final  # nothing says what is final
    optimist = Gateway(trusting(charges[0].url), contract, finality=Finality.OPTIMISTIC)
    assert optimist.settle(claim.voucher, claim.receipt, claim.plug_signature).final
    chain = trusting(charges[0].url)
    final = [0]
    chain.finalized = lambda: chain.headers.by_number(final[0])
    patient = Gateway(chain, contract)
    settlement = patient.settle(claim.voucher, claim.receipt, claim.plug_signature)
    assert not settlement.final
    final[0] = settlement.block_number
    assert patient.settle(claim.voucher, claim.receipt, claim.plug_signature) == dataclasses.replace(settlement, final=True)


def test_a_batch_is_full_at_some_point(charges, gateway, manual_mining, monkeypatch):
    monkeypatch.setattr(settlements, "MAX_CLAIMS", 2)
    claims = claims_of(charges)
    first, second, third = gateway.settle_many(claims)
    assert first == second
    assert third is None
    manual_mining.call("evm_mine")
    first, second, third = gateway.settle_many(claims)
    assert isinstance(first, Settlement)
    assert isinstance(third, Sent)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_claims_are_read_out_of_calls(charge, count):
    claims = [wattseal.claim(*charge.receipt(energy)) for energy in range(count)]
    call = wattseal.settle_call(claims)
    assert wattseal.claims_in(call) == [wattseal.encoded_claim(claim) for claim in claims]
    assert {wattseal.claimed_session(encoded) for encoded in wattseal.claims_in(call)} == {charge.session}
    assert wattseal.claims_in(call + b"\0") == wattseal.claims_in(b"") == wattseal.claims_in(call_data("withdraw", charge.host, COIN)) == []


def test_nothing_is_asked_where_nothing_is_to_do(gateway):
    gateway.chain.upstreams.all[0].rpc = Rpc("http://127.0.0.1:9")
    assert gateway.settle_many([]) == []


def test_steps_are_errors_not_exceptions(charge, contract):
    """A session that is not open is the claim's own problem."""
    gateway = Gateway(trusting(charge.url), contract, charge.host_key)
    (step,) = gateway.settle_many([Claim(*charge.receipt(0, final=True))])
    assert isinstance(step, GatewayError)
    assert step.retry


@pytest.fixture
def long_ago(charges, gateway, manual_mining, monkeypatch):
    """A claim that was paid twelve blocks ago, which nobody remembers, looked for two blocks at first."""
    monkeypatch.setattr(settlements, "FIRST_LOG_WINDOW_BLOCKS", 2)
    (claim, *_) = claims_of(charges)
    gateway.settle_many([claim])
    manual_mining.call("anvil_mine", to_hex(12))
    return claim


def test_a_settlement_is_found_however_old(charges, contract, long_ago, monkeypatch):
    """Headers that are too old to be asked for by number are still reached from one to the one before."""
    chain = trusting(charges[0].url)
    newest, by_number = chain.headers.latest().number, chain.headers.by_number

    def recent(number):
        if number < newest - 5:
            raise RpcError("too old")
        return by_number(number)

    monkeypatch.setattr(chain.headers, "by_number", recent)
    chain.finalized = lambda: by_number(newest - 2)
    (settlement,) = Gateway(chain, contract).settle_many([long_ago])
    assert settlement.total_paid == dues(long_ago)
    assert settlement.final


def test_a_long_search_holds_up_nobody_and_gets_further_each_time(charges, contract, long_ago, monkeypatch):
    """The server answers for a few blocks at a time only."""
    chain = trusting(charges[0].url)
    gateway = Gateway(chain, contract, charges[0].host_key, limits=Limits(resend_s=0))
    asked = []
    logs = chain.logs

    def one_window(wanted, first, newest):
        asked.append(first)
        if len(asked) % 2 == 0:
            raise RpcError("too much")
        return logs(wanted, first, newest)

    monkeypatch.setattr(chain, "logs", one_window)
    other = claims_of(charges)[1]
    sought, sent = gateway.settle_many([long_ago, other])
    assert isinstance(sought, RpcError)
    assert isinstance(sent, Sent)
    for _ in range(20):
        sought, _ = gateway.settle_many([long_ago, other])
        if isinstance(sought, Settlement):
            break
    assert sought.total_paid == dues(long_ago)
    assert asked == sorted(asked, reverse=True)
