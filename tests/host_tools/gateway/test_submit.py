import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from wattseal.errors import ProofError, Reverted, RpcError, SubmissionError
from wattseal.gateway import submit
from wattseal.gateway.mempool import Limits
from wattseal.gateway.rpc import Rpc, quantity, to_hex
from wattseal.gateway.submit import Submitter, deploy
from wattseal.gateway.transaction_log import MemoryTransactionLog
from wattseal.gateway.transactions import decode
from wattseal.protocol import signatures

from tests.host_tools.gateway.conftest import trusting

RECEIVER = b"\x11" * 20
# What the newest block says of tips must not make one test's replacement dearer than another's.
LIMITS = Limits(resend_s=0.0)


class Sender:
    """One key, its log, and the submitters that it has one after the other."""

    def __init__(self, url, key):
        self.url, self.key = url, key
        self.rpc = Rpc(url)
        self.log = MemoryTransactionLog()
        self.now = 1_772_000_000
        self.address = signatures.address(key)
        self.restart()

    def restart(self, limits=LIMITS, chain=None):
        """What is not in the log is gone."""
        self.submitter = Submitter(chain or trusting(self.url), self.key, self.log, limits, timeout_s=20, clock=lambda: self.now)
        self.chain = self.submitter._chain
        return self.submitter

    def head(self):
        return self.chain.headers.latest()

    def send(self, value=1):
        return self.submitter.send(self.head(), RECEIVER, b"", value)

    def advance(self):
        self.submitter.advance(self.head())

    def mine(self, blocks=1):
        for _ in range(blocks):
            self.rpc.call("evm_mine")

    def included(self):
        return [inclusion.transaction.hash for inclusion in self.submitter.included(self.head())]

    def waiting(self):
        return [signed.transaction for signed in self.submitter.waiting(self.head())]

    def pooled(self):
        """The hashes that the node would put in a block."""
        return {bytes.fromhex(entry["hash"][2:]) for entry in self._content().values()}

    def _content(self):
        pool = self.rpc.call("txpool_content")["pending"]
        return next((entries for address, entries in pool.items() if address.lower() == to_hex(self.address)), {})

    def count(self):
        return quantity(self.rpc.call("eth_getTransactionCount", to_hex(self.address), "latest"), "nonce")


@pytest.fixture
def sender(anvil, funded_key):
    return Sender(anvil, funded_key())


@pytest.fixture
def alone(start_anvil):
    """A sender on a chain of its own, whose blocks come only by `mine`: anvil goes on showing blocks that were reverted."""
    with start_anvil("osaka") as url:
        sender = Sender(url, b"\x55" * 32)
        sender.rpc.call("anvil_setBalance", to_hex(sender.address), to_hex(10**20))
        sender.rpc.call("evm_setAutomine", False)
        sender.mine()
        yield sender


@pytest.fixture
def submitter(sender):
    return sender.submitter


def answering(submitter, monkeypatch, **answers):
    """Have the submitter's RPC give other answers to some methods, or raise them."""
    rpc = submitter._chain.upstreams.all[0].rpc
    call = rpc.call

    def answer(method, *params):
        if method not in answers:
            return call(method, *params)
        if isinstance(answers[method], BaseException):
            raise answers[method]
        return answers[method]

    monkeypatch.setattr(rpc, "call", answer)


def test_transfer(submitter, anvil):
    inclusion = submitter.submit(RECEIVER, b"", value=5)
    assert inclusion.receipt.succeeded
    assert inclusion.receipt.gas_used == 21000
    assert inclusion.transaction.sender() == submitter.address
    assert quantity(Rpc(anvil).call("eth_getBalance", to_hex(RECEIVER), "latest"), "balance") >= 5


# -- what it may cost -----------------------------------------------------------------------------------------------------------------


def test_fees_have_a_ceiling(sender):
    with pytest.raises(SubmissionError, match="wait until it is cheaper") as caught:
        sender.restart(Limits(max_fee_wei=10)).submit(RECEIVER, b"")
    assert caught.value.retry
    assert sender.log.unfinished_transactions(sender.address) == []


def test_tip_has_a_ceiling(sender):
    inclusion = sender.restart(Limits(max_tip_wei=7)).submit(RECEIVER, b"")
    assert inclusion.transaction.number("maxPriorityFeePerGas") == 7


def test_gas_has_a_ceiling(submitter, monkeypatch):
    answering(submitter, monkeypatch, eth_estimateGas=hex(10**9))
    with pytest.raises(SubmissionError, match="ask another RPC"):
        submitter.submit(RECEIVER, b"")


def test_no_money_for_gas(anvil):
    with pytest.raises(SubmissionError, match="does not take the transaction"):
        Submitter(trusting(anvil), b"\x77" * 32).submit(RECEIVER, b"", 10**18)


def test_time_limit(sender, manual_mining):
    sender.submitter._timeout_s = 0.1
    with pytest.raises(SubmissionError, match="in no block after") as caught:
        sender.submitter.submit(RECEIVER, b"")
    assert caught.value.retry


def test_deploy_proves_the_code(anvil, funded_key, monkeypatch):
    monkeypatch.setattr(submit.contract, "BYTECODE", bytes.fromhex("00"))  # creates an account without code
    with pytest.raises(ProofError, match="no contract at"):
        deploy(trusting(anvil), funded_key())


def test_a_refusal_is_told_by_its_code(submitter, monkeypatch):
    answering(submitter, monkeypatch, eth_estimateGas=RpcError("execution reverted: too_late", 3))
    with pytest.raises(Reverted) as caught:
        submitter.submit(RECEIVER, b"")
    assert caught.value.reason == "too_late"


def test_one_server_that_says_refused_does_not_decide(sender, monkeypatch):
    chain = trusting(sender.url, sender.url)
    submitter = sender.restart(chain=chain)
    answering(submitter, monkeypatch, eth_estimateGas=RpcError("execution reverted: too_late", 3))
    assert submitter.submit(RECEIVER, b"").receipt.succeeded


# -- a crash at every step ------------------------------------------------------------------------------------------------------------


def test_killed_between_durable_and_broadcast(sender, manual_mining, monkeypatch):
    with monkeypatch.context() as patch:
        answering(sender.submitter, patch, eth_sendRawTransaction=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            sender.send()
    assert sender.pooled() == set()
    sender.restart()
    sender.advance()
    (waiting,) = sender.waiting()
    assert sender.pooled() == {waiting.hash}
    sender.mine()
    assert sender.included() == [waiting.hash]
    assert sender.count() == 1


def test_killed_between_broadcast_and_inclusion(sender, manual_mining):
    sent = sender.send()
    sender.restart()
    sender.advance()
    assert sender.pooled() == {sent.transaction.hash}
    with pytest.raises(SubmissionError, match="in no block yet"):
        sender.send()
    sender.mine()
    assert sender.included() == [sent.transaction.hash]
    assert sender.waiting() == []


def test_killed_after_inclusion(sender):
    sent = sender.send()
    sender.restart()
    sender.advance()
    assert sender.included() == [sent.transaction.hash]
    assert sender.send().nonce == 1


def test_a_waiting_call_is_joined(sender, manual_mining, monkeypatch):
    sent = sender.send(value=3)
    sender.restart()
    seen = threading.Event()
    waiting = sender.submitter.waiting

    def look(head):
        found = waiting(head)
        seen.set()
        return found

    monkeypatch.setattr(sender.submitter, "waiting", look)
    joined = in_thread(lambda: sender.submitter.submit(RECEIVER, b"", 3))
    assert seen.wait(30)
    sender.mine()
    assert joined().transaction.hash == sent.transaction.hash
    assert sender.count() == 1


def test_another_call_waits_for_its_turn(sender):
    """With a block for each transaction: the earlier one is sent first."""
    with pytest.MonkeyPatch.context() as patch:
        answering(sender.submitter, patch, eth_sendRawTransaction=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            sender.send(value=3)
    sender.restart()
    assert sender.submitter.submit(RECEIVER, b"", 4).transaction.number("nonce") == 1
    assert sender.count() == 2


def in_thread(call):
    """Start `call`; returns a function that waits for its result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return lambda: future.result(30)


def until_pooled(sender):
    waits = threading.Event()
    for _ in range(200):
        if sender.pooled():
            return
        waits.wait(0.02)
    raise AssertionError("nothing was sent")


def test_a_lost_log_doubles_nothing(sender, manual_mining):
    """Without a log the nonce is still the chain's: what is pending is outbid, and one of both gets in."""
    sender.send(value=1)
    sender.log = MemoryTransactionLog()
    sender.restart()
    second = sender.send(value=2)
    assert sender.pooled() == {second.transaction.hash}
    sender.mine()
    assert sender.count() == 1


# -- stuck, dropped, overtaken ----------------------------------------------------------------------------------------------------------


def test_a_stuck_transaction_is_made_dearer(sender, manual_mining):
    first = sender.send().transaction
    sender.now += 59
    sender.advance()
    assert sender.pooled() == {first.hash}
    sender.now += 1
    sender.advance()
    (second,) = sender.waiting()
    assert second.hash != first.hash
    assert (second.number("nonce"), second.number("value"), second.to) == (0, 1, RECEIVER)
    for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
        assert second.number(fee) * 8 >= first.number(fee) * 9
    assert sender.pooled() == {second.hash}
    sender.restart()
    sender.now += 30
    sender.advance()  # the time is counted from the newest, over a restart too
    assert [waiting.hash for waiting in sender.waiting()] == [second.hash]
    sender.mine()
    assert sender.included() == [second.hash]


def test_no_dearer_than_the_ceiling(sender, manual_mining):
    first = sender.send().transaction
    sender.restart(Limits(max_fee_wei=first.number("maxFeePerGas") * 9 // 8))
    for _ in range(3):
        sender.now += 60
        sender.advance()
    assert [waiting.hash for waiting in sender.waiting()] == [first.hash]


def test_the_first_may_get_in_after_all(sender, manual_mining):
    first = sender.send().transaction
    sender.now += 60
    sender.advance()
    (second,) = sender.waiting()
    sender.rpc.call("anvil_dropTransaction", to_hex(second.hash))
    sender.rpc.call("eth_sendRawTransaction", to_hex(first.raw))
    sender.mine()
    assert sender.included() == [first.hash]


def test_a_dropped_transaction_is_sent_again(sender, manual_mining):
    sent = sender.send().transaction
    sender.rpc.call("anvil_dropTransaction", to_hex(sent.hash))
    assert sender.pooled() == set()
    sender.advance()
    assert sender.pooled() == {sent.hash}


def test_a_node_that_lost_its_pool(sender, manual_mining):
    sent = sender.send().transaction
    sender.rpc.call("anvil_dropAllTransactions")
    sender.advance()
    sender.mine()
    assert sender.included() == [sent.hash]


def test_the_key_is_used_elsewhere(sender, manual_mining):
    """Somebody else's transaction takes the nonce: the call is made anew, with the next one."""
    sender.send(value=3)
    outbid(sender, value=7)
    sender.mine()
    sender.advance()
    assert sender.included() == []
    assert sender.waiting() == []
    again = sender.send(value=3)
    sender.mine()
    assert again.nonce == 1
    assert sender.included() == [again.transaction.hash]


def test_submit_says_that_the_key_is_used_elsewhere(sender, manual_mining):
    submitted = in_thread(lambda: sender.submitter.submit(RECEIVER, b"", 3))
    until_pooled(sender)
    outbid(sender, value=7)
    sender.mine()
    with pytest.raises(SubmissionError, match="was used by another transaction"):
        submitted()


def outbid(sender, value):
    """Send another transaction of the same key and nonce, as another process would."""
    other = Submitter(trusting(sender.url), sender.key)
    other._sign_and_send(sender.count(), 21_000, RECEIVER, b"", value, 150 * 10**9, 100 * 10**9)


def test_a_refused_transaction_does_not_block_the_key(sender, monkeypatch):
    def refuse(submitter):
        rpc = submitter._chain.upstreams.all[0].rpc
        call = rpc.call

        def answer(method, *params):
            if method == "eth_sendRawTransaction" and decode(bytes.fromhex(params[0][2:])).number("value") == 3:
                raise RpcError("exceeds block gas limit", -32000)
            return call(method, *params)

        monkeypatch.setattr(rpc, "call", answer)

    refuse(sender.submitter)
    with pytest.raises(SubmissionError, match="does not take"):
        sender.send(value=3)
    refuse(sender.restart())
    sender.advance()
    assert sender.waiting() == []
    assert sender.submitter.submit(RECEIVER, b"", 4).transaction.number("nonce") == 0


def test_what_no_server_takes_gets_no_dearer(sender, monkeypatch):
    """The key has no money for days: afterwards the same transaction is sent for what gas costs, and the log has not grown by each try."""
    with monkeypatch.context() as patch:
        answering(sender.submitter, patch, eth_sendRawTransaction=RpcError("insufficient funds for gas * price + value", -32003))
        for _ in range(5):
            with pytest.raises(SubmissionError, match="insufficient funds"):
                sender.send()
            sender.now += 600
            sender.advance()
        answering(sender.restart(), patch, eth_sendRawTransaction=RpcError("insufficient funds for gas * price + value", -32003))
        for _ in range(3):
            sender.now += 600
            sender.advance()
    ((_, raw, _),) = sender.log.unfinished_transactions(sender.address)
    assert sender.send().raw == raw
    sender.chain.upstreams.all[0].rpc.call("evm_mine")  # returns after the block of what was sent
    assert sender.included() == [decode(raw).hash]


def test_no_server_drives_the_tip_above_its_ceiling(sender, manual_mining, monkeypatch):
    """One that wants more and more, or keeps what it was given, gets no more than what an honest block builder does."""
    submitter = sender.restart(Limits(max_tip_wei=2 * 10**9, resend_s=0.0))
    with monkeypatch.context() as patch:
        answering(submitter, patch, eth_sendRawTransaction=RpcError("transaction underpriced", -32000))
        with pytest.raises(SubmissionError, match="2000000000 of it as a tip"):
            sender.send()
    for _ in range(20):
        sender.now += 60
        sender.advance()
    attempts = [decode(raw) for _, raw, _ in sender.log.unfinished_transactions(sender.address)]
    assert max(attempt.number("maxPriorityFeePerGas") for attempt in attempts) <= 2 * 10**9
    assert {attempts[-1].hash} == sender.pooled()


@pytest.mark.parametrize("answer", ["nonce too low", "already known"])
def test_answers_that_are_no_failure(sender, manual_mining, monkeypatch, answer):
    with monkeypatch.context() as patch:
        answering(sender.submitter, patch, eth_sendRawTransaction=RpcError(answer, -32000))
        sent = sender.send()
    assert [waiting.hash for waiting in sender.waiting()] == [sent.transaction.hash]


@pytest.mark.parametrize("answer", ["replacement transaction underpriced", "max fee per gas less than block base fee"])
def test_a_server_that_wants_more(sender, manual_mining, monkeypatch, answer):
    rpc = sender.chain.upstreams.all[0].rpc
    call, refusals = rpc.call, [RpcError(answer, -32000)] * 2

    def refuse_twice(method, *params):
        if method == "eth_sendRawTransaction" and refusals:
            raise refusals.pop()
        return call(method, *params)

    monkeypatch.setattr(rpc, "call", refuse_twice)
    sent = sender.send().transaction
    assert sender.pooled() == {sent.hash}
    assert len(sender.log.unfinished_transactions(sender.address)) == 3


@pytest.mark.parametrize("number", ["0x1", "latest"])
def test_one_server_that_names_a_block_of_nowhere(sender, manual_mining, monkeypatch, number):
    """It says so of every transaction, also of one that is in no block and has to be sent again."""
    submitter = sender.restart(Limits(), trusting(sender.url, sender.url))
    named = hex(sender.head().number) if number == "latest" else number
    answering(submitter, monkeypatch, eth_getTransactionReceipt={"blockNumber": named, "blockHash": to_hex(b"\x66" * 32)})
    first = sender.send().transaction
    sender.rpc.call("anvil_dropTransaction", to_hex(first.hash))
    assert [signed.transaction.hash for signed in submitter.still_waiting()] == [first.hash]
    sender.now += 60
    sender.advance()
    (second,) = sender.pooled()
    assert second != first.hash
    sender.mine()
    assert sender.included() == [second]


def test_no_server_answers(sender, manual_mining, monkeypatch):
    with monkeypatch.context() as patch:
        answering(sender.submitter, patch, eth_sendRawTransaction=RpcError("no answer"))
        with pytest.raises(RpcError):
            sender.send()
    sender.advance()
    assert sender.pooled() == {transaction.hash for transaction in sender.waiting()}
    assert len(sender.pooled()) == 1


# -- reorganisations and finality -----------------------------------------------------------------------------------------------------


def test_a_reorganisation_of_thirty_blocks(alone):
    """What was in a block goes back into the pool as often as it takes, and counts once."""
    sent = []
    snapshot = alone.rpc.call("evm_snapshot")
    for value in (1, 2, 3):
        sent.append(alone.send(value).transaction.hash)
        alone.mine(10)
        alone.advance()
    assert alone.included() == sent
    alone.rpc.call("evm_revert", snapshot)
    assert alone.included() == []
    alone.advance()
    assert alone.pooled() == set(sent)
    alone.mine()
    alone.advance()
    assert alone.included() == sent
    assert alone.count() == 3


def test_let_go_of_once_final(sender, manual_mining):
    final = []
    chain = trusting(sender.url)
    chain.finalized = lambda: chain.headers.by_number(final[0])
    sender.restart(chain=chain)
    sent = sender.send().transaction
    final.append(sender.head().number)
    sender.mine()
    included_at = sender.head().number
    sender.advance()
    assert sender.included() == [sent.hash]
    sender.advance()
    assert sender.included() == [sent.hash]
    sender.mine(3)
    final[0] = included_at
    sender.advance()
    assert sender.log.unfinished_transactions(sender.address) == []
    assert sender.send().nonce == 1


def test_what_a_reorganisation_undid_is_not_let_go_of(alone):
    """It was in a block, and a block of that height is final: but of another branch."""
    final = [0]
    chain = trusting(alone.url)
    chain.finalized = lambda: chain.headers.by_number(final[0])
    alone.restart(chain=chain)
    alone.send()
    alone.mine()
    snapshot = alone.rpc.call("evm_snapshot")
    sent = alone.send()
    alone.mine()
    alone.advance()
    included_at = alone.head().number
    alone.rpc.call("evm_revert", snapshot)
    alone.rpc.call("anvil_dropAllTransactions")
    alone.mine()
    final[0] = included_at
    alone.advance()
    assert [signed.raw for signed in alone.submitter.waiting(alone.head())] == [sent.raw]


def test_a_node_that_restarts(start_anvil, tmp_path):
    """The node forgets its pool and a part of its chain, as after a crash of its own."""
    key = b"\x55" * 32
    with start_anvil("osaka") as url:
        sender = Sender(url, key)
        sender.rpc.call("anvil_setBalance", to_hex(sender.address), to_hex(10**20))
        sender.mine()
        first = sender.send(1).transaction
        sender.rpc.call("evm_setAutomine", False)
        second = sender.send(2).transaction
    with pytest.raises(RpcError):
        sender.advance()
    with start_anvil("osaka") as url:
        sender.url = url
        sender.rpc = Rpc(url)
        sender.rpc.call("anvil_setBalance", to_hex(sender.address), to_hex(10**20))
        sender.mine()
        sender.restart()
        sender.advance()
        sender.mine()
        sender.advance()
        assert set(sender.included()) == {first.hash, second.hash}
        assert sender.count() == 2
