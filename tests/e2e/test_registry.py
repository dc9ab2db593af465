"""What the firmware says of its host and of its next key, as the registry on the chain takes it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import ROOT
from wattseal.demo.replay import Replay, wait_for
from web3 import Web3
from web3.contract import Contract

from tests.e2e.test_keys import enrolled, rekey

ARRIVAL = 1_551_450_000
ZERO = "0x" + "00" * 20


@pytest.fixture(params=["desk_16a", "socket_16a_se"])
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def replay(board: str, tmp_path: Path) -> Iterator[Replay]:
    with Replay(tmp_path, ARRIVAL, board=board, port="x64") as running:
        yield running


def deploy_registry(replay: Replay) -> Contract:
    """Deploy a registry for the escrow that the plug signs for."""
    web3 = Web3(Web3.HTTPProvider(replay.chain.url))
    web3.eth.default_account = web3.eth.accounts[0]
    file = json.loads((ROOT / "host_tools/wattseal/gateway/registry_contract.json").read_text())
    factory = web3.eth.contract(abi=file["abi"], bytecode=file["bytecode"])
    deployed = web3.eth.wait_for_transaction_receipt(factory.constructor(replay.contract).transact())
    return web3.eth.contract(address=deployed["contractAddress"], abi=file["abi"])


def submit(registry: Contract, function: str, statement: dict[str, Any], *fields: str) -> None:
    """Submit a statement as the relay shows it: by a stranger, since anyone may."""
    values = tuple(Web3.to_checksum_address(statement[key]) if key != "epoch" else statement[key] for key in fields)
    registry.functions[function](values, bytes.fromhex(statement["signature"][2:])).transact()


def test_the_registry_takes_a_plugs_enrolment_and_its_retirement(replay: Replay, board: str, tmp_path: Path) -> None:
    old = Web3.to_checksum_address(replay.connected()["plug"])
    registry = deploy_registry(replay)
    submit(registry, "enrol", enrolled(replay, old.lower()), "plug", "host", "epoch")
    assert bytes.fromhex(registry.functions.host_of(old).call()[2:]) == replay.host

    replay.plug.kill()
    done = rekey(tmp_path, "5a" * 32, board)
    assert done.returncode == 0, done.stderr
    replay.plug = replay.start_plug()
    page = wait_for("the successor", lambda: (replay.plug.run(0.5), replay.page())[1])
    new = Web3.to_checksum_address(page["plug"])
    answer = enrolled(replay, page["plug"], 3)
    submit(registry, "retire", answer["retirements"][0], "plug", "successor", "epoch")
    assert (registry.functions.host_of(old).call(), registry.functions.successor_of(old).call()) == (ZERO, new)
    submit(registry, "enrol", answer, "plug", "host", "epoch")
    assert bytes.fromhex(registry.functions.host_of(new).call()[2:]) == replay.host
