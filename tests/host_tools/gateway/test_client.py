import copy
import dataclasses
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from wattseal.errors import ConfigError, GatewayError, ProofError, Reverted, RpcError, SettlementRefused, SubmissionError
from wattseal.gateway import settlements, submit
from wattseal.gateway.client import Gateway
from wattseal.gateway.contract import STATUS_CLOSED, STATUS_NONE, STATUS_OPEN, balance_slot, call_data, claim, event_topic, session_slot
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.types import SessionState
from wattseal.gateway.wallet import Wallet
from wattseal.protocol.messages import due

from tests.host_tools.gateway.conftest import trusting

COIN = bytes(20)


def dues(arguments):
    return due(arguments[0], arguments[1])


@pytest.fixture
def open_charge(charge):
    """A session whose cap is locked, after a little more than an hour."""
    charge.open()
    charge.pass_time(3700)
    return charge


def watched(gateway, monkeypatch, change=None):
    """Record the methods a gateway calls; `change(method, answer)` may alter an answer in place or replace it."""
    methods = []
    rpc = gateway.chain.upstreams.all[0].rpc
    call = rpc.call

    def watch(method, *params):
        methods.append(method)
        answer = copy.deepcopy(call(method, *params))
        return (change(method, answer) if change else None) or answer

    monkeypatch.setattr(rpc, "call", watch)
    return methods


# -- the honest path ------------------------------------------------------------------------------------------------------------------


def test_final_receipt_is_paid_and_proven(open_charge):
    gateway = open_charge.gateway()
    arguments = open_charge.receipt(2000, final=True)
    settlement = gateway.settle(*arguments)
    assert settlement.paid == settlement.total_paid == dues(arguments) == 2 * 4 * 10**15 + 10**14
    assert settlement.proof_verified
    assert settlement.gas_used > 21000
    assert gateway.balance_of(open_charge.host, COIN) == dues(arguments)
    header = gateway.chain.headers.by_number(settlement.block_number)
    assert settlement.block_hash == header.hash
    assert gateway.session_state(open_charge.session) == SessionState(STATUS_NONE, 0)  # older than the start window: forgotten
    assert gateway.basis == "header taken on trust from the RPC"


def test_interim_receipts_are_paid_by_difference(open_charge):
    gateway = open_charge.gateway()
    assert gateway.session_state(open_charge.session) == SessionState(STATUS_OPEN, 0)
    first, second = open_charge.receipt(500), open_charge.receipt(1500)
    assert gateway.settle(*first).total_paid == dues(first)
    assert gateway.session_state(open_charge.session) == SessionState(STATUS_OPEN, dues(first))
    settlement = gateway.settle(*second)
    assert (settlement.paid, settlement.total_paid) == (dues(second) - dues(first), dues(second))


def test_session_closed_while_its_voucher_is_fresh(charge):
    charge.open()
    arguments = charge.receipt(0, final=True)
    settlement = charge.gateway().settle(*arguments)
    assert (settlement.paid, settlement.total_paid) == (0, 0)
    assert charge.gateway().session_state(charge.session) == SessionState(STATUS_CLOSED, 0)
    assert charge.gateway().settle(*arguments) == settlement


def test_final_receipt_that_pays_nothing_more_still_closes(open_charge):
    gateway = open_charge.gateway()
    gateway.settle(*open_charge.receipt(500))
    settlement = gateway.settle(*open_charge.receipt(500, final=True))
    assert settlement.paid == 0
    assert gateway.session_state(open_charge.session) == SessionState(STATUS_NONE, 0)
    assert gateway.balance_of(open_charge.voucher.driver, COIN) == open_charge.voucher.cap - settlement.total_paid


def test_head_timestamp(charge):
    before = charge.gateway().head_timestamp()
    charge.pass_time(1000)
    assert charge.gateway().head_timestamp() >= before + 1000


def test_withdraw(open_charge):
    settlement = open_charge.gateway().settle(*open_charge.receipt(700, final=True))
    assert open_charge.gateway().withdraw(open_charge.host, COIN) == settlement.paid
    assert open_charge.gateway().balance_of(open_charge.host, COIN) == 0
    with pytest.raises(Reverted, match="no_balance"):
        open_charge.gateway().withdraw(open_charge.host, COIN)


# -- repeated calls -------------------------------------------------------------------------------------------------------------------


def test_second_call_finds_the_settlement(open_charge, monkeypatch):
    arguments = open_charge.receipt(900, final=True)
    first = open_charge.gateway().settle(*arguments)
    gateway = open_charge.gateway()
    methods = watched(gateway, monkeypatch)
    assert gateway.settle(*arguments) == first
    assert "eth_sendRawTransaction" not in methods


def test_earlier_receipt_finds_the_later_settlement(open_charge):
    earlier, later = open_charge.receipt(300), open_charge.receipt(900)
    open_charge.gateway().settle(*open_charge.receipt(100))
    settlement = open_charge.gateway().settle(*later)
    assert open_charge.gateway().settle(*earlier) == settlement
    assert open_charge.gateway().settle(*later) == settlement


def test_settlement_is_found_across_log_windows(open_charge, monkeypatch):
    first, second = open_charge.receipt(100), open_charge.receipt(200)
    open_charge.gateway().settle(*first)
    settlement = open_charge.gateway().settle(*second)
    open_charge.rpc.call("anvil_mine", "0x7")
    monkeypatch.setattr(settlements, "FIRST_LOG_WINDOW_BLOCKS", 2)
    monkeypatch.setattr(settlements, "MAX_LOG_BLOCKS", 3)
    assert open_charge.gateway().settle(*second) == settlement
    assert settlement.paid == dues(second) - dues(first)


def test_crash_after_sending(open_charge, monkeypatch):
    arguments = open_charge.receipt(900, final=True)
    sent_before = open_charge.transactions()

    def crash(method, answer):
        if method == "eth_sendRawTransaction":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        gateway = open_charge.gateway()
        watched(gateway, patch, crash)
        with pytest.raises(KeyboardInterrupt):
            gateway.settle(*arguments)
    open_charge.let_mine()
    settlement = open_charge.gateway().settle(*arguments)
    assert settlement.total_paid == dues(arguments)
    assert settlement.proof_verified
    assert open_charge.transactions() == sent_before + 1


def in_thread(call):
    """Start `call`; returns a function that waits for its result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return lambda: future.result(30)


@pytest.mark.parametrize("pending", ["settle", "withdraw"])
def test_crash_while_a_transaction_is_pending(open_charge, manual_mining, monkeypatch, pending):
    """The pending transaction, the same or another one, is joined or replaced, so that only one can ever count."""
    arguments = open_charge.receipt(900, final=True)
    sent_before = open_charge.transactions()

    def crash(method, answer):
        if method == "eth_sendRawTransaction":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        gateway = open_charge.gateway()
        watched(gateway, patch, crash)
        call = call_data("settle", claim(*arguments))
        if pending == "withdraw":
            call = call_data("withdraw", open_charge.host, COIN)
            patch.setattr(submit, "estimate_gas", lambda *_: 300_000)  # there is nothing to withdraw yet
        with pytest.raises(KeyboardInterrupt):
            gateway.submit(call)

    settled = settle_until_sent(open_charge, arguments, monkeypatch)
    manual_mining.call("evm_mine")
    assert settled().total_paid == dues(arguments)
    assert open_charge.transactions() == sent_before + 1


def test_two_threads_settle_once(open_charge):
    gateway = open_charge.gateway()
    arguments = open_charge.receipt(900, final=True)
    sent_before = open_charge.transactions()
    results = [in_thread(lambda: gateway.settle(*arguments)) for _ in range(4)]
    assert len({result() for result in results}) == 1
    assert open_charge.transactions() == sent_before + 1


def test_somebody_else_settles_first(open_charge, monkeypatch):
    arguments = open_charge.receipt(900, final=True)
    gateway, rival = open_charge.gateway(), Gateway(trusting(open_charge.url), open_charge.contract, open_charge.wallet._key)
    settled = []

    def overtake(method, answer):
        if method == "eth_getProof" and not settled:
            settled.append(rival.settle(*arguments))

    watched(gateway, monkeypatch, overtake)
    with pytest.raises(SubmissionError, match="not_open") as caught:
        gateway.settle(*arguments)
    assert caught.value.retry
    assert gateway.settle(*arguments) == settled[0]


def send(key, charge, call, nonce, fees):
    """Send a call to the contract with these fees (maximum, tip) and do not wait."""
    submitter = Gateway(trusting(charge.url), charge.contract, key)._submitter
    submitter._sign_and_send(nonce, 300_000, charge.contract, call, 0, *fees)


def settle_until_sent(charge, arguments, monkeypatch):
    """Start a settlement; returns, once its transaction waits for a block, a function that gives its result."""
    gateway, waiting = charge.gateway(), threading.Event()
    send = gateway.chain.send

    def send_and_tell(transaction):
        send(transaction)
        waiting.set()

    monkeypatch.setattr(gateway.chain, "send", send_and_tell)
    settled = in_thread(lambda: gateway.settle(*arguments))
    assert waiting.wait(30)
    return settled


def test_two_settlements_and_a_withdrawal_in_one_block(open_charge, manual_mining, monkeypatch):
    """The slot after the block is the later one's, and the host's balance is gone: both follow from the block's events."""
    first, second = open_charge.receipt(300), open_charge.receipt(900, final=True)
    settled = settle_until_sent(open_charge, first, monkeypatch)
    later_in_block = (2 * open_charge.wallet.chain.headers.latest().base_fee_per_gas + 1, 1)
    send(open_charge.wallet._key, open_charge, call_data("settle", claim(*second)), 1, later_in_block)
    send(open_charge.wallet._key, open_charge, call_data("withdraw", open_charge.host, COIN), 2, later_in_block)
    manual_mining.call("evm_mine")
    assert settled().total_paid == dues(first)
    assert open_charge.gateway().balance_of(open_charge.host, COIN) == 0
    again = open_charge.gateway().settle(*second)
    assert again.block_number == settled().block_number
    assert (again.paid, again.total_paid) == (dues(second) - dues(first), dues(second))


def test_second_settlement_of_a_block(open_charge, manual_mining, monkeypatch):
    first, second = open_charge.receipt(300), open_charge.receipt(900)
    settled = settle_until_sent(open_charge, second, monkeypatch)
    send(open_charge.wallet._key, open_charge, call_data("settle", claim(*first)), 1, (10**11, 10**10))
    manual_mining.call("evm_mine")
    assert (settled().paid, settled().total_paid) == (dues(second) - dues(first), dues(second))


def test_overtaken_in_the_same_block(open_charge, manual_mining, monkeypatch):
    arguments = open_charge.receipt(900, final=True)
    settled = settle_until_sent(open_charge, arguments, monkeypatch)
    send(open_charge.wallet._key, open_charge, call_data("settle", claim(*arguments)), 1, (10**11, 10**10))
    manual_mining.call("evm_mine")
    assert settled().total_paid == dues(arguments)
    assert open_charge.gateway().settle(*arguments) == settled()
    assert open_charge.transactions() == 1  # which was reverted


# -- what is not paid -----------------------------------------------------------------------------------------------------------------


def test_nothing_due_yet(open_charge):
    with pytest.raises(SettlementRefused, match="nothing is due yet") as caught:
        open_charge.gateway().settle(*open_charge.receipt(0))
    assert not caught.value.retry


def test_not_open_yet(charge):
    with pytest.raises(SubmissionError, match="lock is not on chain yet") as caught:
        charge.gateway().settle(*charge.receipt(0, final=True))
    assert caught.value.retry


def test_released_by_the_host(charge):
    charge.open()
    charge.gateway().submit(call_data("release", charge.voucher))
    with pytest.raises(SettlementRefused, match="is closed with 0 paid"):
        charge.gateway().settle(*charge.receipt(900, final=True))


def test_released_by_the_host_and_forgotten(open_charge):
    """The slot is empty, which alone proves nothing; the event does."""
    open_charge.gateway().settle(*open_charge.receipt(100))
    open_charge.gateway().submit(call_data("release", open_charge.voucher))
    assert open_charge.gateway().session_state(open_charge.session) == SessionState(STATUS_NONE, 0)
    with pytest.raises(SettlementRefused, match=f"is closed with {dues(open_charge.receipt(100))} paid"):
        open_charge.gateway().settle(*open_charge.receipt(900, final=True))
    assert open_charge.gateway().settle(*open_charge.receipt(100)).total_paid == dues(open_charge.receipt(100))


def test_wrong_signature(open_charge):
    voucher, receipt, signature = open_charge.receipt(900)
    with pytest.raises(Reverted, match="bad_signature") as caught:
        open_charge.gateway().settle(voucher, dataclasses.replace(receipt, energyWh=901), signature)
    assert caught.value.reason == "bad_signature"
    assert not caught.value.retry


def test_receipt_from_the_chains_future(charge):
    charge.open()
    with pytest.raises(SubmissionError, match="too_early"):
        charge.gateway().settle(*charge.receipt(900))


def test_receipt_of_another_voucher(open_charge):
    voucher, receipt, signature = open_charge.receipt(900)
    with pytest.raises(SettlementRefused, match="not of this voucher"):
        open_charge.gateway().settle(dataclasses.replace(voucher, pricePerKwh=1), receipt, signature)


def test_no_key(open_charge):
    reader = Gateway(trusting(open_charge.url), open_charge.contract)
    assert reader.session_state(open_charge.session) == SessionState(STATUS_OPEN, 0)
    with pytest.raises(ConfigError, match="no key"):
        reader.settle(*open_charge.receipt(900))


def test_no_contract_there(open_charge):
    with pytest.raises(ProofError, match="no contract"):
        Gateway(trusting(open_charge.url), secrets.token_bytes(20)).session_state(open_charge.session)


def test_no_money_for_gas(open_charge):
    poor = Gateway(trusting(open_charge.url), open_charge.contract, secrets.token_bytes(32))
    with pytest.raises(SubmissionError):
        poor.settle(*open_charge.receipt(900))


# -- an RPC that lies -----------------------------------------------------------------------------------------------------------------


def flip(text):
    """Change the last hex digit."""
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def lie_about_block(name):
    def lie(method, answer):
        if method == "eth_getBlockByNumber":
            answer[name] = flip(answer[name])

    return lie


def lie_about_receipts(change):
    def lie(method, answer):
        if method == "eth_getBlockReceipts":
            change(answer[0])

    return lie


def lie_about_proof(change):
    def lie(method, answer):
        if method == "eth_getProof" and answer["storageProof"]:
            change(answer)

    return lie


def change_log(name, value=None):
    def change(receipt):
        receipt["logs"][0][name] = value or flip(receipt["logs"][0][name])

    return change


def change_topic(receipt):
    receipt["logs"][0]["topics"][1] = flip(receipt["logs"][0]["topics"][1])


def change_value(proof):
    proof["storageProof"][0]["value"] = flip(proof["storageProof"][0]["value"])


def change_node(proof):
    proof["storageProof"][0]["proof"][-1] = flip(proof["storageProof"][0]["proof"][-1])


LIES = {
    "header hash": lie_about_block("hash"),
    "state root": lie_about_block("stateRoot"),
    "receipts root": lie_about_block("receiptsRoot"),
    "block number": lie_about_block("number"),
    "time": lie_about_block("timestamp"),
    "receipt status": lie_about_receipts(lambda receipt: receipt.update(status="0x0")),
    "gas": lie_about_receipts(lambda receipt: receipt.update(cumulativeGasUsed="0x7")),
    "bloom": lie_about_receipts(lambda receipt: receipt.update(logsBloom=flip(receipt["logsBloom"]))),
    "no log": lie_about_receipts(lambda receipt: receipt.update(logs=[])),
    "log data": lie_about_receipts(change_log("data")),
    "log address": lie_about_receipts(change_log("address")),
    "log topic": lie_about_receipts(change_topic),
    "storage value": lie_about_proof(change_value),
    "storage node": lie_about_proof(change_node),
    "missing storage node": lie_about_proof(lambda proof: proof["storageProof"][0]["proof"].pop()),
    "one storage node too many": lie_about_proof(lambda proof: proof["storageProof"][0]["proof"].append("0x80")),
    "account node": lie_about_proof(lambda proof: proof["accountProof"].append(flip(proof["accountProof"].pop()))),
    "no storage proof": lie_about_proof(lambda proof: proof["storageProof"].clear()),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("when", ["before sending", "after sending"])
def test_lie(open_charge, monkeypatch, name, when):
    lie, arguments = LIES[name], open_charge.receipt(900)
    sent = []

    def change(method, answer):
        if method == "eth_sendRawTransaction":
            sent.append(method)
        if sent or when == "before sending":
            lie(method, answer)

    gateway = open_charge.gateway()
    watched(gateway, monkeypatch, change)
    with pytest.raises(ProofError) as caught:
        gateway.settle(*arguments)
    assert caught.value.retry
    open_charge.let_mine()
    honest = open_charge.gateway().settle(*arguments)
    assert honest.total_paid == dues(arguments)
    assert open_charge.transactions() == 1


@pytest.mark.parametrize("name", LIES)
def test_another_upstream_is_asked_where_one_lies(open_charge, monkeypatch, name):
    gateway = Gateway(trusting(open_charge.url, open_charge.url), open_charge.contract, open_charge.host_key)
    watched(gateway, monkeypatch, LIES[name])
    arguments = open_charge.receipt(900)
    assert gateway.settle(*arguments).total_paid == dues(arguments)
    assert [upstream.lie is None for upstream in gateway.chain.upstreams.all] == [False, True]


def test_receipt_of_another_transaction(open_charge, monkeypatch):
    """The RPC says that our transaction is in a block where it is not."""
    arguments, gateway = open_charge.receipt(900), open_charge.gateway()
    gateway.settle(*open_charge.receipt(100))
    earlier = gateway.chain.headers.latest()

    def change(method, answer):
        if method == "eth_getTransactionReceipt" and answer:
            answer |= {"blockNumber": hex(earlier.number), "blockHash": to_hex(earlier.hash)}

    watched(gateway, monkeypatch, change)
    with pytest.raises(ProofError, match=r"caught lying: transaction 0x\w+ is not in block"):
        gateway.settle(*arguments)


def test_a_settlement_cannot_be_hidden(open_charge, monkeypatch):
    """Nobody is asked for logs: they come from the receipts of the blocks whose bloom does not rule them out."""
    arguments = open_charge.receipt(900)
    settlement = open_charge.gateway().settle(*arguments)
    gateway = open_charge.gateway()
    methods = watched(gateway, monkeypatch, lambda method, answer: answer.clear() if method == "eth_getLogs" else None)
    assert gateway.settle(*arguments) == settlement
    assert "eth_getLogs" not in methods


def test_the_hash_of_a_settlement_is_proven(open_charge, monkeypatch):
    arguments, gateway = open_charge.receipt(900), open_charge.gateway()
    watched(gateway, monkeypatch, lie_about_receipts(lambda receipt: receipt.update(transactionHash="0x" + "11" * 32)))
    settlement = gateway.settle(*arguments)
    assert open_charge.rpc.call("eth_getTransactionByHash", to_hex(settlement.tx_hash))["blockHash"] == to_hex(settlement.block_hash)


def test_old_state_shown_as_new(open_charge, monkeypatch):
    """A proof for an older block does not pass for the newest one."""
    gateway = open_charge.gateway()
    old = gateway.chain.headers.latest().number
    open_charge.gateway().settle(*open_charge.receipt(900))
    rpc = gateway.chain.upstreams.all[0].rpc
    call = rpc.call
    monkeypatch.setattr(rpc, "call", lambda method, *p: call(method, *p[:2], hex(old)) if method == "eth_getProof" else call(method, *p))
    with pytest.raises(ProofError):
        gateway.session_state(open_charge.session)


@pytest.mark.parametrize("fault", [RpcError("no answer"), RpcError("server error", -32000)])
@pytest.mark.parametrize(
    "method",
    ["eth_getProof", "eth_estimateGas", "eth_getBlockByHash", "eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getBlockReceipts"],
)
def test_rpc_fails_anywhere(open_charge, monkeypatch, method, fault):
    arguments, gateway = open_charge.receipt(900), open_charge.gateway()

    def fail(called, _):
        if called == method:
            raise fault

    with monkeypatch.context() as patch:
        watched(gateway, patch, fail)
        with pytest.raises(GatewayError) as caught:
            gateway.settle(*arguments)
    assert caught.value.retry
    open_charge.let_mine()
    assert open_charge.gateway().settle(*arguments).total_paid == dues(arguments)
    assert open_charge.transactions() == 1


# -- a contract that is not Wattseal's ------------------------------------------------------------------------------------------------


def push(word):
    return b"\x7f" + (word.to_bytes(32) if isinstance(word, int) else word.rjust(32, b"\0"))


def store(slot, word):
    return push(word) + push(slot) + b"\x55"


def log_settled(charge, paid):
    words = push(1) + bytes.fromhex("600052") + push(paid) + bytes.fromhex("602052")
    return (
        words + push(charge.host) + push(charge.session) + push(event_topic("Settled")) + bytes.fromhex("60606000a3")
    )  # the third word, whether it is closed, stays 0


@pytest.mark.parametrize(
    ("logs", "stores", "pays", "message"),
    [
        (False, True, True, "events show settlements up to 0"),
        (True, False, True, "its events say"),
        (True, True, False, "is proven to be 0, less than"),
        (True, True, True, None),
    ],
)
def test_contract_that_does_not_do_what_it_says(charge, logs, stores, pays, message):
    charge.contract = secrets.token_bytes(20)
    charge.wallet = Wallet(trusting(charge.url), charge.contract, secrets.token_bytes(32))
    charge.with_voucher(nonce=1)
    arguments = charge.receipt(900)
    amount = dues(arguments)
    code = log_settled(charge, amount) if logs else b""
    code += store(session_slot(charge.session), 1 << 248 | amount) if stores else b""
    code += store(balance_slot(charge.host, COIN), amount) if pays else b""
    charge.rpc.call("anvil_setCode", to_hex(charge.contract), to_hex(code))
    charge.rpc.call("anvil_setStorageAt", to_hex(charge.contract), to_hex(session_slot(charge.session).to_bytes(32)), to_hex((1 << 248).to_bytes(32)))
    charge.rpc.call("evm_mine")
    if message is None:
        assert charge.gateway().settle(*arguments).total_paid == amount
    else:
        with pytest.raises(ProofError, match=message):
            charge.gateway().settle(*arguments)
