import copy
import secrets

import pytest
from eth_account import Account
from wattseal.errors import ProofError, RpcError
from wattseal.gateway import proofs
from wattseal.gateway.contract import session_slot
from wattseal.gateway.header import TrustedRpcHeaders
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.types import Header
from wattseal.protocol import signatures


class Answers:
    """An RPC that answers everything with the same."""

    def __init__(self, answer):
        self.answer = answer

    def call(self, *_):
        return copy.deepcopy(self.answer)


def unhex(text):
    return bytes.fromhex(text[2:])


def mainnet_header(mainnet):
    execution = mainnet["header"]["execution"]
    return Header(20360596, b"", 0, unhex(execution["state_root"]), unhex(execution["receipts_root"]), 0)


def test_mainnet_account_and_storage(mainnet):
    answer, header = mainnet["proof"], mainnet_header(mainnet)
    address = unhex(answer["address"])
    account = proofs.account(Answers(answer), header, address)
    assert account == proofs.Account(int(answer["nonce"], 16), 0, unhex(answer["storageHash"]), unhex(answer["codeHash"]))
    slot = int(answer["storageProof"][0]["key"], 16)
    assert proofs.storage(Answers(answer), header, address, [slot]) == [0]
    with pytest.raises(ProofError):
        proofs.storage(Answers(answer), header, address, [slot + 1])


def places(value, path=()):
    """The paths of all values in an answer."""
    if isinstance(value, dict | list):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from places(member, (*path, key))


@pytest.mark.parametrize("nonsense", [None, 5, {}, [], "text", "0x123", "0x" + "c1" * 400])
def test_nonsense_anywhere_in_a_proof(mainnet, nonsense):
    answer, header = mainnet["proof"], mainnet_header(mainnet)
    address, slot = unhex(answer["address"]), int(answer["storageProof"][0]["key"], 16)
    with pytest.raises(ProofError):
        proofs.storage(Answers(nonsense), header, address, [slot])
    for path in places(answer):
        if path[0] in ("accountProof", "storageProof") and path[-1] != "key":
            wrong = copy.deepcopy(answer)
            parent = wrong
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = nonsense
            with pytest.raises(ProofError):
                proofs.storage(Answers(wrong), header, address, [slot])


@pytest.fixture(scope="module")
def busy_block(anvil, contract, funded_key):
    """An RPC and the header of a block with plain, reverted, old-style and logging transactions."""
    rpc = Rpc(anvil)
    key = funded_key()
    sender, receiver = (to_hex(signatures.address(funded_key())) for _ in range(2))
    rpc.call("anvil_impersonateAccount", sender)
    rpc.call("evm_setAutomine", False)
    try:
        # init code that logs one topic and four bytes, and leaves no code
        logging = "0x7f" + "ab" * 32 + "6004600a" + "a1" + "00"
        plain = {"from": sender, "to": receiver, "value": "0x1", "gas": "0x5208"}
        rpc.call("eth_sendTransaction", plain)
        for nonce, kind in enumerate(({}, {"accessList": ()})):
            old = {"chainId": 31337, "nonce": nonce, "to": unhex(receiver), "value": 1, "gas": 30000, "gasPrice": 10**10, **kind}
            rpc.call("eth_sendRawTransaction", to_hex(bytes(Account.from_key(key).sign_transaction(old).raw_transaction)))
        rpc.call("eth_sendTransaction", {"from": sender, "to": to_hex(contract), "data": "0x00000000", "gas": "0x20000"})
        for _ in range(150):  # indexes beyond 127 have keys of another length
            rpc.call("eth_sendTransaction", {"from": sender, "data": logging, "gas": "0x20000"})
        rpc.call("evm_mine")
    finally:
        rpc.call("evm_setAutomine", True)
    return rpc, TrustedRpcHeaders(rpc, 31337).latest()


def test_receipts_of_a_busy_block(busy_block):
    rpc, header = busy_block
    receipts = proofs.block_receipts(rpc, header)
    answers = rpc.call("eth_getBlockReceipts", to_hex(header.number))
    assert {answer["type"] for answer in answers} == {"0x0", "0x1", "0x2"}
    assert len(receipts) == 154
    assert [receipt.gas_used for receipt in receipts] == [int(answer["gasUsed"], 16) for answer in answers]
    assert [receipt.tx_hash for receipt in receipts] == [unhex(answer["transactionHash"]) for answer in answers]
    assert sum(not receipt.succeeded for receipt in receipts) == 1
    assert receipts[-1].logs[0].topics == (b"\xab" * 32,)


def test_block_without_transactions(anvil):
    rpc = Rpc(anvil)
    rpc.call("evm_mine")
    assert proofs.block_receipts(rpc, TrustedRpcHeaders(rpc, 31337).latest()) == []


def lies(answers):
    """Each way to change one thing in the receipts of a block that matters."""
    wrong = {
        "status": "0x0",
        "cumulativeGasUsed": "0x1",
        "type": "0x3",
        "logsBloom": "0x" + "00" * 255 + "01",
        "logs": [],
    }
    for name, value in wrong.items():
        yield [*answers[:-1], answers[-1] | {name: value}]
    log = answers[-1]["logs"][0]
    for name, value in {"address": "0x" + "11" * 20, "topics": [], "data": log["data"] + "00"}.items():
        yield [*answers[:-1], answers[-1] | {"logs": [log | {name: value}]}]
    yield answers[:-1]
    yield answers[::-1]
    yield [*answers, answers[-1]]
    yield []


def test_receipts_that_lie(busy_block):
    rpc, header = busy_block
    answers = rpc.call("eth_getBlockReceipts", to_hex(header.number))
    for lie in lies(answers):
        assert lie != answers
        with pytest.raises(ProofError):
            proofs.block_receipts(Answers(lie), header)


@pytest.mark.parametrize("nonsense", [None, 5, {}, "text", "0x123", [None], [{}], [[]]])
def test_nonsense_anywhere_in_receipts(busy_block, nonsense):
    rpc, header = busy_block
    answer = rpc.call("eth_getBlockReceipts", to_hex(header.number))[-1]
    with pytest.raises(ProofError if nonsense is not None else RpcError):  # null says that the server does not know the block
        proofs.block_receipts(Answers(nonsense), header)
    for name in ("status", "cumulativeGasUsed", "type", "logsBloom", "logs", "transactionHash"):
        with pytest.raises(ProofError):
            proofs.block_receipts(Answers([answer | {name: nonsense}]), header)
    for name in ("address", "topics", "data"):
        with pytest.raises(ProofError):
            proofs.block_receipts(Answers([answer | {"logs": [answer["logs"][0] | {name: nonsense}]}]), header)


def test_accounts_and_slots_that_are_not_there(anvil, contract):
    rpc = Rpc(anvil)
    header = TrustedRpcHeaders(rpc, 31337).latest()
    nobody = secrets.token_bytes(20)
    assert proofs.account(rpc, header, nobody) is None
    assert proofs.storage(rpc, header, nobody, [0]) == [0]
    assert proofs.storage(rpc, header, contract, [session_slot(secrets.token_bytes(32)), 0]) == [0, 0]
