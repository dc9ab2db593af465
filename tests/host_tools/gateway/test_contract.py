import dataclasses
import json
from importlib.resources import files

import pytest
from wattseal.errors import BadSignature
from wattseal.gateway import contract
from wattseal.gateway.proofs import Log, TransactionReceipt
from wattseal.gateway.types import SessionState
from web3 import Web3

ABI = json.loads((files("wattseal.gateway") / "wattseal_contract.json").read_text())["abi"]


@pytest.fixture(scope="module")
def reference():
    return Web3().eth.contract(abi=ABI)


def test_calls_are_encoded_as_web3_does(charge, reference):
    voucher, receipt, signature = charge.receipt(1234, final=True)
    values = dataclasses.astuple(voucher)
    assert Web3.to_hex(contract.call_data("open", voucher, signature)) == reference.encode_abi("open", [values, signature])
    for plug_signature, driver_signature in ((signature, b""), (bytes(range(128)), signature)):
        claim = contract.claim(voucher, receipt, plug_signature, driver_signature)
        words = [[int.from_bytes(part[at : at + 32], "big") for at in range(0, 128, 32)] for part in (plug_signature, driver_signature)]
        fields = tuple(value if isinstance(value, int) else int.from_bytes(value, "big") for value in values)
        rest = tuple(value for value in dataclasses.astuple(receipt)[1:-1])
        expected = (fields, (receipt.session, *rest, receipt.evidence), words[0], words[1][:3])
        assert Web3.to_hex(contract.call_data("settle", claim)) == reference.encode_abi("settle", [expected])
        assert Web3.to_hex(contract.call_data("settle_many", [claim, claim])) == reference.encode_abi("settle_many", [[expected, expected]])
    with pytest.raises(BadSignature, match="64"):
        contract.claim(voucher, receipt, bytes(64))
    owner = Web3.to_checksum_address(voucher.host)
    assert Web3.to_hex(contract.call_data("withdraw", voucher.host, bytes(20))) == reference.encode_abi("withdraw", [owner, "0x" + "00" * 20])


@pytest.mark.parametrize("name", ["Opened", "Settled", "Closed", "Deposited", "ExitRequested", "Exited", "Withdrawn"])
def test_event_topics_are_those_of_web3(reference, name):
    assert contract.event_topic(name) == Web3.to_bytes(hexstr=reference.events[name]().topic)


def test_session_state():
    assert contract.session_state(0) == SessionState(contract.STATUS_NONE, 0)
    assert contract.session_state(1 << 248 | 5) == SessionState(contract.STATUS_OPEN, 5)
    assert contract.session_state((2 << 248) + 2**248 - 1) == SessionState(contract.STATUS_CLOSED, 2**248 - 1)


def test_only_the_contracts_own_events_count():
    ours, other = b"\x01" * 20, b"\x02" * 20
    settled = (contract.event_topic("Settled"), b"s" * 32, b"h" * 32)
    data = (7).to_bytes(32) + (9).to_bytes(32) + (1).to_bytes(32)
    logs = (Log(other, settled, data), Log(ours, (), data), Log(ours, (b"x" * 32,), data), Log(ours, settled, data))
    found = list(contract.events(TransactionReceipt(b"", True, 0, logs, 0, bytes(256)), ours))
    assert found == [contract.Event("Settled", (b"s" * 32, b"h" * 32), (7, 9, 1))]
    assert found[0].total_paid == 9
    assert found[0].closed
