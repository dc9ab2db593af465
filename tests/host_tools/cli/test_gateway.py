"""`wattseal gateway` as its users meet it: a process, and web3.py that knows nothing of it."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from wattseal.demo.lying_upstream import LyingUpstream, lying_upstream
from web3 import HTTPProvider, Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder

from tests.host_tools.gateway.conftest import start_chain

PATIENCE_S = 30


def command(*options: str) -> list[str]:
    return [sys.executable, "-c", "from wattseal.cli.main import app; app()", "gateway", *options]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@contextlib.contextmanager
def gateway(*urls: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    environment = os.environ | {"WATTSEAL_GATEWAY_RPC": " ".join(urls)}
    arguments = command("--chain-id", "31337", "--listen", "127.0.0.1:0", "--trust-rpc")
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield "http://" + json.loads(process.stdout.readline())["listen"], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def anvil() -> Iterator[str]:
    with start_chain("osaka") as url:
        yield url


@pytest.fixture(scope="module")
def liar(anvil: str) -> Iterator[LyingUpstream]:
    with lying_upstream(anvil) as upstream:
        yield upstream


def funded(anvil: str) -> Any:
    account = Account.from_key(secrets.token_bytes(32))
    node = Web3(HTTPProvider(anvil))
    for method, params in (("anvil_setBalance", [account.address, hex(10**20)]), ("evm_mine", [])):
        assert "error" not in node.provider.make_request(method, params)  # type: ignore[arg-type]
    return account


def test_web3_works_unchanged(anvil: str) -> None:
    account = funded(anvil)
    with gateway(anvil) as (url, process):
        web3 = Web3(HTTPProvider(url))
        web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
        assert web3.is_connected()
        assert web3.eth.chain_id == 31337
        assert web3.eth.get_balance(account.address) == 10**20
        # code that logs the topic 1 whenever it is called
        code = "0x60015f5fa1"
        deployed = web3.eth.send_transaction({"from": account.address, "data": "0x64" + code[2:] + "5f526005601bf3"})
        address = web3.eth.wait_for_transaction_receipt(deployed, timeout=PATIENCE_S)["contractAddress"]
        assert web3.eth.get_code(address).to_0x_hex() == code
        called = web3.eth.send_transaction({"from": account.address, "to": address})
        receipt = web3.eth.wait_for_transaction_receipt(called, timeout=PATIENCE_S)
        assert receipt["status"] == 1
        logs = web3.eth.get_logs({"address": address, "fromBlock": 0})
        assert [(log["transactionHash"], log["topics"][0][-1]) for log in logs] == [(called, 1)]
        assert web3.eth.get_transaction_count(account.address) == 2
        block = web3.eth.get_block(receipt["blockNumber"], full_transactions=True)
        assert [transaction["hash"] for transaction in block["transactions"]] == [called]
        assert web3.eth.get_storage_at(address, 0) == bytes(32)
        assert web3.eth.gas_price > 0
        assert web3.eth.syncing is False
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr
        shown = process.stderr.read()
        assert "in use" in shown
        assert "header taken on trust from the RPC" in shown


def test_a_liar_is_named_in_the_log_and_the_next_one_answers(anvil: str, liar: LyingUpstream) -> None:
    account = funded(anvil)
    with gateway(liar.url, anvil) as (url, process):
        liar.lie = lambda method, _params, result: result | {"accountProof": result["accountProof"][:-1]} if method == "eth_getProof" else result
        assert Web3(HTTPProvider(url)).eth.get_balance(account.address) == 10**20
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr
        lines = [json.loads(line) for line in process.stderr.read().splitlines() if line.startswith("{")]
    assert [line["upstream"] for line in lines] == [liar.url.removeprefix("http://")]
    assert "proof ends early" in lines[0]["lie"]


def test_help_has_examples_and_exit_codes() -> None:
    shown = run("--help").stdout
    assert "Examples" in shown
    assert "Exit codes" in shown
    assert "WATTSEAL_GATEWAY_RPC" in shown


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--rpc", "http://127.0.0.1:9", "--trust-rpc"),
        ("--rpc", "x", "--chain-id", "1"),
        ("--rpc", "x", "--chain-id", "0", "--trust-rpc"),
        ("--rpc", "x", "--chain-id", "1", "--trust-rpc", "--listen", "x"),
        ("--rpc", "x", "--chain-id", "1", "--trust-rpc", "--light-client-store", "x"),
        ("--rpc", "x", "--chain-id", "1", "--trust-rpc", "--checkpoint", "0x"),
        ("--rpc", "x", "--chain-id", "1", "--trust-rpc", "--beacon", "http://127.0.0.1:9"),
        ("--rpc", "x", "--chain-id", "1", "--beacon", "http://127.0.0.1:9"),
        ("--rpc", "x", "--chain-id", "1", "--beacon", "http://127.0.0.1:9", "--light-client-store", "x", "--checkpoint", "0x12"),
    ],
)
def test_a_wrong_option_is_wrong_usage(options: tuple[str, ...]) -> None:
    assert run(*options).returncode == 2


def test_no_server_and_another_chain_are_one_clear_line(anvil: str) -> None:
    for options, message in [(("http://127.0.0.1:9", "31337"), "is it running"), ((anvil, "1"), "serves chain 31337, not 1")]:
        ended = run("--trust-rpc", "--rpc", options[0], "--chain-id", options[1], "--listen", "127.0.0.1:0")
        assert ended.returncode == 1
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.stdout == ""


def test_a_light_client_that_cannot_start_is_one_clear_line(tmp_path: Path) -> None:
    store = tmp_path / "store"
    beacon = ("--rpc", "http://127.0.0.1:9", "--beacon", "http://127.0.0.1:9", "--light-client-store", str(store), "--listen", "127.0.0.1:0")
    for chain_id, options, message in [
        ("31337", (), "no sync committee is known for chain 31337; there are mainnet 1"),
        ("1", (), "needs a checkpoint"),
        ("1", ("--checkpoint", "0x" + "ab" * 32), "127.0.0.1:9"),
    ]:
        ended = run(*beacon, "--chain-id", chain_id, *options)
        assert ended.returncode == 1
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not store.exists()


def test_a_port_in_use_is_a_clear_line(anvil: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("--rpc", anvil, "--chain-id", "31337", "--trust-rpc", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("wattseal: cannot listen on")
    assert "--listen" in ended.stderr
