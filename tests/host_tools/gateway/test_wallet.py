import dataclasses

import pytest
from wattseal.errors import ProofError, Reverted, SubmissionError
from wattseal.gateway.contract import STATUS_OPEN
from wattseal.gateway.types import SessionState
from wattseal.gateway.wallet import Wallet
from wattseal.protocol import signatures

from tests.host_tools.gateway.conftest import trusting


def test_signature_is_the_drivers(charge):
    signature = charge.wallet.sign(charge.voucher)
    assert signatures.recover(charge.session, signature) == charge.voucher.driver


def test_open_is_proven_and_safe_to_repeat(charge):
    before = charge.wallet.chain.headers.latest().number
    assert charge.wallet.open(charge.voucher) == SessionState(STATUS_OPEN, 0)
    assert charge.wallet.open(charge.voucher) == SessionState(STATUS_OPEN, 0)
    assert charge.wallet.chain.headers.latest().number == before + 1


def test_open_for_another_driver(charge, funded_key):
    other = Wallet(trusting(charge.url), charge.contract, funded_key())
    with pytest.raises(Reverted, match="bad_signature"):
        other.open(charge.voucher)


def test_open_too_late(charge):
    charge.pass_time(3700)
    with pytest.raises(Reverted, match="too_late"):
        charge.wallet.open(charge.voucher)


def test_open_of_a_closed_session(charge):
    charge.open()
    charge.gateway().settle(*charge.receipt(0, final=True))
    with pytest.raises(SubmissionError, match="is closed"):
        charge.wallet.open(charge.voucher)


def test_lock_that_is_not_there(charge, monkeypatch):
    """The transaction succeeds, but not in opening this session."""
    wallet = charge.wallet
    other = dataclasses.replace(charge.voucher, nonce=charge.voucher.nonce ^ 1)
    submit = wallet.submit
    monkeypatch.setattr("wattseal.gateway.wallet.call_data", lambda *_: b"")
    monkeypatch.setattr(wallet, "submit", lambda _, value: submit(_open_call(wallet, other), value))
    with pytest.raises(ProofError, match="was to open it"):
        wallet.open(charge.voucher)


def _open_call(wallet, voucher):
    from wattseal.gateway.contract import call_data

    return call_data("open", voucher, wallet.sign(voucher))
