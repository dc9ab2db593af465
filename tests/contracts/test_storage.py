"""Where the gateway's storage proofs look: the slots that the committed contract file names."""

import json
from pathlib import Path

import boa
import pytest
from eth_utils import keccak

CONTRACT_FILE = Path(__file__).resolve().parents[2] / "host_tools/wattseal/gateway/wattseal_contract.json"
OPEN = 1


@pytest.fixture
def storage(wattseal):
    """Return a function that reads the word of a mapping's 32-byte keys."""
    slots = json.loads(CONTRACT_FILE.read_text())["storage_slots"]

    def storage(mapping, *keys):
        slot = slots[mapping].to_bytes(32, "big")
        for key in keys:
            slot = keccak(slot + key)
        return boa.env.get_storage(wattseal.address, int.from_bytes(slot, "big"))

    return storage


def test_a_sessions_slot_is_status_and_paid(storage, opened, make_receipt, settle, due_of):
    receipt = make_receipt(opened)
    assert storage("sessions", receipt["session"]) == OPEN << 248
    settle(opened, receipt)
    assert storage("sessions", receipt["session"]) == OPEN << 248 | due_of(opened, receipt)


def test_an_owners_slot_is_the_balance(storage, opened, make_receipt, settle, due_of):
    settle(opened, make_receipt(opened))
    host, token = (bytes.fromhex(opened[party][2:]).rjust(32, b"\x00") for party in ("host", "token"))
    assert storage("balance_of", host, token) == due_of(opened, make_receipt(opened))
