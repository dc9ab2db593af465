"""The contract's hashes and signature check against the vectors of tests/vectors/typed_data.json."""

import json
from pathlib import Path

import boa
import pytest

COIN = "0x" + "00" * 20  # the token of the native coin
CASES = json.loads((Path(__file__).resolve().parents[1] / "vectors/typed_data.json").read_text())
CONTRACT_TYPES = ("Voucher", "Receipt")


def of_contract(case):
    return pytest.param(case, id=case["name"].replace(" ", "-"))


@pytest.fixture
def deploy(source, internals_source):
    """Return a function that deploys at the case's address on the case's chain."""

    def deploy(case, what=internals_source):
        boa.env.evm.patch.chain_id = case["chain_id"]
        return what.deploy(override_address=case["contract"])

    return deploy


@pytest.mark.parametrize("case", [of_contract(case) for case in CASES])
def test_domain_separator_digest_and_signature(deploy, case):
    contract = deploy(case)
    assert "0x" + contract.domain_separator().hex() == case["domain_separator"]
    digest = contract.digest(bytes.fromhex(case["struct_hash"][2:]))
    assert "0x" + digest.hex() == case["digest"]
    assert contract.is_signed_by(case["signer"], digest, bytes.fromhex(case["signature"][2:]))


@pytest.mark.parametrize("case", [of_contract(case) for case in CASES if case["type"] in CONTRACT_TYPES])
def test_struct_hash(deploy, case):
    contract = deploy(case)
    hash_struct = {"Voucher": contract.hash_voucher, "Receipt": contract.hash_receipt}[case["type"]]
    values = [bytes.fromhex(value[2:]) if isinstance(value, str) and len(value) == 66 else value for value in case["values"].values()]
    assert "0x" + hash_struct(tuple(values)).hex() == case["struct_hash"]


@pytest.mark.parametrize("case", [of_contract(case) for case in CASES if case["type"] == "Voucher"])
def test_the_session_is_the_vouchers_digest(deploy, source, case):
    contract = deploy(case, source)
    assert "0x" + contract.DOMAIN_SEPARATOR().hex() == case["domain_separator"]
    assert "0x" + contract.session_of(tuple(case["values"].values())).hex() == case["digest"]


def test_after_a_chain_split_open_sessions_can_be_settled(wattseal, opened, make_receipt, settle, actors, sign):
    """The new side has another chain id; a lock made before would be lost if the domain followed it."""
    receipt = make_receipt(opened)
    signature = sign(actors.plug, "Receipt", receipt)
    boa.env.evm.patch.chain_id += 1
    settle(opened, receipt, signature)
    assert wattseal.balance_of(opened["host"], COIN) > 0
