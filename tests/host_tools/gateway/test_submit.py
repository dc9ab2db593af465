import pytest
from wattseal.errors import ProofError, SubmissionError
from wattseal.gateway import submit
from wattseal.gateway.rpc import Rpc, quantity
from wattseal.gateway.submit import Submitter, deploy

from tests.host_tools.gateway.conftest import trusting


@pytest.fixture
def submitter(anvil, funded_key):
    return Submitter(trusting(anvil), funded_key())


def answering(submitter, monkeypatch, **answers):
    """Have the submitter's RPC give other answers to some methods."""
    rpc = submitter._chain.upstreams.all[0].rpc
    call = rpc.call
    monkeypatch.setattr(rpc, "call", lambda method, *p: answers[method] if method in answers else call(method, *p))


def test_transfer(submitter, anvil):
    inclusion = submitter.submit(b"\x11" * 20, b"", value=5)
    assert inclusion.receipt.succeeded
    assert inclusion.receipt.gas_used == 21000
    assert quantity(Rpc(anvil).call("eth_getBalance", "0x" + "11" * 20, "latest"), "balance") == 5


def test_fees_have_a_ceiling(submitter, monkeypatch):
    monkeypatch.setattr(submit, "MAX_FEE_PER_GAS_WEI", 10)
    with pytest.raises(SubmissionError, match="wait until it is cheaper") as caught:
        submitter.submit(b"\x11" * 20, b"")
    assert caught.value.retry


def test_tip_has_a_ceiling(submitter, anvil, monkeypatch):
    answering(submitter, monkeypatch, eth_maxPriorityFeePerGas=hex(10**18))
    inclusion = submitter.submit(b"\x11" * 20, b"")
    paid = Rpc(anvil).call("eth_getTransactionReceipt", "0x" + inclusion.receipt.tx_hash.hex())["effectiveGasPrice"]
    assert int(paid, 16) <= inclusion.header.base_fee_per_gas + submit.MAX_PRIORITY_FEE_PER_GAS_WEI


def test_gas_has_a_ceiling(submitter, monkeypatch):
    answering(submitter, monkeypatch, eth_estimateGas=hex(10**9))
    with pytest.raises(SubmissionError, match="ask another RPC"):
        submitter.submit(b"\x11" * 20, b"")


def test_time_limit(submitter, manual_mining, monkeypatch):
    monkeypatch.setattr(submitter, "_timeout_s", 0.1)
    with pytest.raises(SubmissionError, match="in no block after") as caught:
        submitter.submit(b"\x11" * 20, b"")
    assert caught.value.retry


def test_deploy_proves_the_code(anvil, funded_key, monkeypatch):
    monkeypatch.setattr(submit.contract, "BYTECODE", bytes.fromhex("00"))  # creates an account without code
    with pytest.raises(ProofError, match="no contract at"):
        deploy(trusting(anvil), funded_key())
