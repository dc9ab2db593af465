"""Wattseal.open: who may lock what, and when."""

import boa
import pytest
from eth.exceptions import Revert

ZERO_ADDRESS = "0x" + "00" * 20
OPEN = 1
START_WINDOW_S = 3600
MAX_SESSION_S = 10 * 86_400


def test_the_driver_opens_without_a_signature(wattseal, actors, voucher):
    session = wattseal.session_of(tuple(voucher.values()))
    wattseal.open(tuple(voucher.values()), b"", value=voucher["cap"], sender=actors.driver.address)
    (event,) = wattseal.get_logs()
    assert wattseal.state_of(session) == (OPEN, 0)
    assert boa.env.get_balance(wattseal.address) == voucher["cap"]
    assert (event.session, event.driver, event.host) == (session, actors.driver.address, voucher["host"])
    assert (event.token, event.cap) == (ZERO_ADDRESS, voucher["cap"])


def test_anyone_opens_with_the_drivers_signature(wattseal, actors, sign, voucher):
    wattseal.open(tuple(voucher.values()), sign(actors.driver, "Voucher", voucher), value=voucher["cap"], sender=actors.relay)
    assert wattseal.state_of(wattseal.session_of(tuple(voucher.values()))) == (OPEN, 0)


def test_a_wallet_contract_opens_as_the_driver(wattseal, actors, make_voucher, wallet):
    voucher = make_voucher(driver=wallet.address)
    data = wattseal.open.prepare_calldata(tuple(voucher.values()), b"")
    wallet.run(wattseal.address, data, value=voucher["cap"], sender=actors.relay)
    assert wattseal.state_of(wattseal.session_of(tuple(voucher.values()))) == (OPEN, 0)


def test_another_signer_is_refused(wattseal, actors, sign, voucher):
    signature = sign(actors.other_driver, "Voucher", voucher)
    with boa.reverts("bad_signature"):
        wattseal.open(tuple(voucher.values()), signature, value=voucher["cap"], sender=actors.relay)


def test_a_signature_over_other_terms_is_refused(wattseal, actors, sign, make_voucher):
    """The deposit's host cannot be exchanged by whoever sees the transaction first."""
    signature = sign(actors.driver, "Voucher", make_voucher())
    stolen = make_voucher(host=actors.other_host)
    with boa.reverts("bad_signature"):
        wattseal.open(tuple(stolen.values()), signature, value=stolen["cap"], sender=actors.stranger)


@pytest.mark.parametrize("difference", [-1, 1])
def test_any_other_amount_than_the_cap_is_refused(wattseal, actors, voucher, difference):
    with boa.reverts("wrong_value"):
        wattseal.open(tuple(voucher.values()), b"", value=voucher["cap"] + difference, sender=actors.driver.address)


def test_a_session_opens_once(voucher, open_session):
    open_session(voucher)
    with boa.reverts("not_new"):
        open_session(voucher)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"host": ZERO_ADDRESS}, "bad_terms"),
        ({"plug": ZERO_ADDRESS}, "bad_terms"),
        ({"cap": 0}, "bad_terms"),
        ({"funding": 1}, "unsupported_funding"),
        ({"funding": 255}, "unsupported_funding"),
    ],
)
def test_unserved_terms_are_refused(make_voucher, open_session, changes, code):
    with boa.reverts(code):
        open_session(make_voucher(**changes))


def test_a_voucher_without_driver_is_refused(wattseal, actors, make_voucher):
    """The precompile answers zero for a bad signature: that must never be taken for a driver."""
    voucher = make_voucher(driver=ZERO_ADDRESS)
    with boa.reverts("bad_terms"):
        wattseal.open(tuple(voucher.values()), b"\x00" * 65, value=voucher["cap"], sender=actors.relay)


def test_the_longest_session_opens_and_a_longer_one_does_not(make_voucher, open_session):
    issued_at = boa.env.timestamp
    open_session(make_voucher(issuedAt=issued_at, validUntil=issued_at + MAX_SESSION_S))
    with boa.reverts("bad_terms"):
        open_session(make_voucher(issuedAt=issued_at, validUntil=issued_at + MAX_SESSION_S + 1))


@pytest.mark.parametrize("valid_for", [0, -1])
def test_a_voucher_valid_until_no_later_than_its_issue_is_refused(make_voucher, open_session, valid_for):
    issued_at = boa.env.timestamp
    with boa.reverts("bad_terms"):
        open_session(make_voucher(issuedAt=issued_at, validUntil=issued_at + valid_for))


def test_the_start_window_ends(make_voucher, open_session):
    boa.env.timestamp = make_voucher()["issuedAt"] + START_WINDOW_S
    open_session(make_voucher(nonce=1))
    boa.env.timestamp += 1
    with boa.reverts("too_late"):
        open_session(make_voucher(nonce=2))


def test_a_voucher_ends(make_voucher, open_session):
    voucher = make_voucher()
    end = voucher["issuedAt"] + 600
    boa.env.timestamp = end - 1
    open_session(make_voucher(validUntil=end, nonce=1))
    boa.env.timestamp = end
    with boa.reverts("too_late"):
        open_session(make_voucher(validUntil=end, nonce=2))


def test_money_cannot_be_locked_far_ahead_of_time(make_voucher, open_session):
    """Without this bound an issuedAt in the year 10000 keeps the driver's money until then."""
    ahead = boa.env.timestamp + START_WINDOW_S
    open_session(make_voucher(issuedAt=ahead, validUntil=ahead + 60))
    for issued_at in (ahead + 1, 2**64 - 2):
        with boa.reverts("too_early"):
            open_session(make_voucher(issuedAt=issued_at, validUntil=issued_at + 1))


def test_money_sent_without_a_call_is_refused(wattseal, actors):
    with pytest.raises(Revert):
        boa.env.raw_call(wattseal.address, sender=actors.driver.address, value=1)
    assert boa.env.get_balance(wattseal.address) == 0
