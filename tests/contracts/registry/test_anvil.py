"""On a chain with the rules of Osaka and over JSON-RPC: the real precompile, and the list of plugs from eth_getLogs."""

import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from wattseal.demo.processes import CHAIN_ID, Chain
from web3 import Web3

from tests.contracts import p256
from tests.contracts.registry import discovery

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "host_tools/wattseal/gateway"
LISTING = (2300, "0x" + "00" * 20, 3 * 10**14, 0, True, b"\x4d" * 32, "ipfs://bafkreigh2akiscaildc")


@pytest.fixture(scope="module")
def web3(tmp_path_factory):
    with Chain(tmp_path_factory.mktemp("anvil"), 1_772_374_800) as chain:
        yield Web3(Web3.HTTPProvider(chain.url))


@pytest.fixture(scope="module")
def host(web3):
    return web3.eth.accounts[0]


@pytest.fixture(scope="module")
def registry(web3, host):
    """Return the registry, beside an escrow."""
    address = None
    for name in ("wattseal", "registry"):
        file = json.loads((FOLDER / f"{name}_contract.json").read_text())
        factory = web3.eth.contract(abi=file["abi"], bytecode=file["bytecode"])
        arguments = [address] if address else []
        address = web3.eth.wait_for_transaction_receipt(factory.constructor(*arguments).transact({"from": host}))["contractAddress"]
    return web3.eth.contract(address=address, abi=file["abi"])


@pytest.fixture(scope="module")
def sign(registry, definition):
    def sign(plug, type_name, values):
        domain = definition["domain"] | {"chainId": CHAIN_ID, "verifyingContract": registry.functions.ESCROW().call()}
        fields = [{"type": kind, "name": field} for kind, field in definition["types"][type_name]]
        message = encode_typed_data(domain, {type_name: fields}, values)
        if isinstance(plug, p256.P256Account):
            return plug.sign_digest(keccak(b"\x19\x01" + message.header + message.body))
        signature = plug.sign_message(message).signature
        return signature[:64] + bytes([signature[64] - 27])

    return sign


def test_plugs_of_both_curves_are_listed_from_logs(web3, registry, host, sign):
    assert registry.functions.HAS_P256().call()
    plugs = [Account.from_key(b"\x03" * 32), p256.P256Account(5), p256.P256Account(6)]
    for plug in plugs:
        values = {"plug": plug.address, "host": host, "epoch": 1}
        registry.functions.enrol(tuple(values.values()), sign(plug, "Enrol", values)).transact({"from": web3.eth.accounts[1]})
    for plug in plugs[1:]:
        registry.functions.announce(plug.address, LISTING).transact({"from": host})
    values = {"plug": plugs[2].address, "successor": plugs[0].address, "epoch": 2}
    registry.functions.retire(tuple(values.values()), sign(plugs[2], "Retire", values)).transact({"from": web3.eth.accounts[1]})

    logs = web3.eth.get_logs({"address": registry.address, "fromBlock": 0})
    found = discovery.plugs(registry.abi, [([bytes(topic) for topic in log["topics"]], bytes(log["data"])) for log in logs])
    assert found.keys() == {plugs[0].address, plugs[1].address}
    assert found[plugs[0].address] == (host, None)
    assert found[plugs[1].address] == (host, LISTING)


def test_a_changed_p256_signature_is_refused(registry, host, sign):
    plug = p256.P256Account(7)
    values = {"plug": plug.address, "host": host, "epoch": 1}
    signature = bytearray(sign(plug, "Enrol", values))
    registry.functions.enrol(tuple(values.values()), bytes(signature)).call()
    signature[0] ^= 1
    with pytest.raises(Exception, match="bad_signature"):
        registry.functions.enrol(tuple(values.values()), bytes(signature)).call()
