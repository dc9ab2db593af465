"""Where the gateway's storage proofs look: the slots that the committed contract file names."""

import boa
import pytest
from eth_utils import keccak

OPEN = 1


@pytest.fixture
def storage(wattseal, storage_slots):
    """Return a function that reads the word of a mapping's 32-byte keys."""

    def storage(mapping, *keys):
        slot = storage_slots[mapping].to_bytes(32, "big")
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
    assert storage("balances", host, token) == due_of(opened, make_receipt(opened))


def test_a_tabs_slot_is_balance_and_exit_time(wattseal, storage, make_voucher, deposit):
    voucher = make_voucher(funding=1)
    deposit(voucher, 5)
    place = [voucher[party] for party in ("driver", "host", "plug", "token")]
    tab = keccak(b"".join(bytes.fromhex(part[2:]).rjust(32, b"\0") for part in place))
    assert storage("tabs", tab) == 5 << 128
    wattseal.request_exit(*place[1:], sender=voucher["driver"])
    assert storage("tabs", tab) == 5 << 128 | boa.env.timestamp + 30 * 86_400
