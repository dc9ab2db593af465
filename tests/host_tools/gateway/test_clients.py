"""Foundry's cast and web3.py against the verified JSON-RPC over anvil; neither knows anything of it."""

import json
import os
import secrets
import shutil
import subprocess
import threading
import time

import pytest
import uvicorn
from eth_account import Account
from wattseal.gateway.chain import Chain
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.server import make_app
from wattseal.gateway.upstreams import UpstreamHeaders, Upstreams
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3RPCError

from tests.host_tools.gateway.conftest import CHAIN_ID, ROOT

PATIENCE_S = 30
CAST = shutil.which("cast", path=f"{ROOT}/build/bin{os.pathsep}{os.environ.get('PATH', '')}")
TOPIC = "0x" + "ab" * 32
LOGGING = "0x7f" + TOPIC[2:] + "60046000a100"  # init code that logs a topic and leaves no code
NOBODY = "0x" + "99" * 20


@pytest.fixture(scope="module")
def served(start_anvil):
    """The gateway's URL and an RPC of the chain behind it."""
    with start_anvil("osaka") as behind:
        upstreams = Upstreams([behind], CHAIN_ID)
        app = make_app(Chain(upstreams, UpstreamHeaders(upstreams)), loopback_only=True)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", Rpc(behind)
        server.should_exit = True
        thread.join()


@pytest.fixture
def account(served):
    _, rpc = served
    account = Account.from_key(secrets.token_bytes(32))
    rpc.call("anvil_setBalance", account.address, to_hex(10**20))
    rpc.call("evm_mine")
    return account


@pytest.fixture
def cast(served):
    if CAST is None:
        pytest.skip("Foundry's cast is not installed: make setup brings it")

    def run(*arguments, key=None):
        environment = {"ETH_RPC_URL": served[0], "PATH": "", "HOME": "/nonexistent"} | ({} if key is None else {"ETH_PRIVATE_KEY": key})
        done = subprocess.run([CAST, *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()

    return run


def test_cast_reads(cast, served, account):
    _, rpc = served
    assert cast("block-number") == str(int(rpc.call("eth_blockNumber"), 16))
    assert cast("chain-id") == str(CHAIN_ID)
    assert cast("balance", account.address) == str(10**20)
    assert cast("balance", account.address, "--block", "pending", "--ether") == "100.000000000000000000"
    assert cast("nonce", account.address) == "0"
    assert cast("code", account.address) == "0x"
    assert cast("storage", NOBODY, "3") == "0x" + "00" * 32
    assert cast("storage-root", account.address) == "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert int(cast("gas-price")) > int(cast("base-fee"))
    assert json.loads(cast("block", "latest", "--json"))["hash"] == rpc.call("eth_getBlockByNumber", "latest", False)["hash"]
    assert json.loads(cast("proof", account.address, "0x1"))["balance"] == to_hex(10**20)
    assert cast("client").startswith("wattseal/")
    assert "not " not in cast("age")


def test_cast_sends_and_sees_what_came_of_it(cast, account):
    key = account.key.to_0x_hex()
    sent = json.loads(cast("send", "--private-key", key, "--json", NOBODY, "--value", "5"))
    assert (sent["status"], sent["from"], sent["gasUsed"]) == ("0x1", account.address.lower(), "0x5208")
    assert json.loads(cast("receipt", sent["transactionHash"], "--json")) == sent
    assert int(json.loads(cast("tx", sent["transactionHash"], "--json"))["value"], 16) == 5
    logged = json.loads(cast("send", "--private-key", key, "--json", "--create", LOGGING))
    found = json.loads(cast("logs", "--from-block", "1", "--json", TOPIC))
    assert [log["transactionHash"] for log in found] == [logged["transactionHash"]]
    assert found == logged["logs"]
    raw = cast("mktx", "--private-key", key, NOBODY, "--value", "6")
    assert json.loads(cast("publish", raw, "--json"))["status"] == "0x1"
    assert cast("nonce", account.address) == "3"


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        (("call", NOBODY, "x()"), "eth_call"),
        (("access-list", NOBODY), "eth_createAccessList"),
        (("tx-pool", "status"), "txpool_status"),
        (("rpc", "eth_newFilter", "{}"), "eth_newFilter"),
        (("send", "--unlocked", "--from", NOBODY, "--gas-limit", "21000", NOBODY), "eth_sendTransaction"),
    ],
)
def test_what_cast_cannot_have_is_said_by_name(cast, arguments, method):
    assert f"{method} is not served" in cast(*arguments)


def test_web3(served, account):
    url, rpc = served
    eth = Web3(HTTPProvider(url)).eth
    fields = {"to": NOBODY, "value": 1, "nonce": 0, "chainId": eth.chain_id, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": eth.max_priority_fee}
    fields["gas"] = eth.estimate_gas({"from": account.address, "to": NOBODY, "value": 1})
    tx_hash = eth.send_raw_transaction(account.sign_transaction(fields).raw_transaction)
    receipt = eth.wait_for_transaction_receipt(tx_hash, timeout=PATIENCE_S)
    number = receipt["blockNumber"]
    assert list(eth.accounts) == []
    assert eth.block_number == number
    assert eth.get_transaction(tx_hash)["from"] == account.address
    assert eth.get_transaction_by_block(number, 0)["hash"] == tx_hash
    assert eth.get_block_transaction_count(number) == 1
    assert eth.get_block_receipts(number) == [receipt]
    assert eth.get_proof(account.address, [0, 1])["nonce"] == 1
    assert eth.fee_history(2, "latest", [50])["oldestBlock"] == number - 1
    assert eth.get_balance(NOBODY, block_identifier=number) == int(rpc.call("eth_getBalance", NOBODY, to_hex(number)), 16)
    with pytest.raises(Web3RPCError, match="eth_newBlockFilter is not served"):
        eth.filter("latest")
