"""Wattseal.withdraw and Wattseal.withdraw_to: money leaves once, to whom it belongs."""

import boa
import pytest

COIN = "0x" + "00" * 20  # the token of the native coin
ZERO_ADDRESS = "0x" + "00" * 20


@pytest.fixture
def wallet_balance(wattseal, actors, make_voucher, wallet):
    """Give the wallet contract a balance, beside an open session of the driver's whose money could be stolen; return the balance."""
    mine = make_voucher(driver=wallet.address)
    wallet.run(wattseal.address, wattseal.open.prepare_calldata(tuple(mine.values()), b""), value=mine["cap"], sender=actors.relay)
    wattseal.release(tuple(mine.values()), sender=actors.host)
    other = make_voucher()
    wattseal.open(tuple(other.values()), b"", value=other["cap"], sender=actors.driver.address)
    return mine["cap"]


def test_anyone_sends_an_owner_its_balance(wattseal, actors, opened):
    wattseal.release(tuple(opened.values()), sender=actors.host)
    before = boa.env.get_balance(actors.driver.address)
    wattseal.withdraw(actors.driver.address, COIN, sender=actors.stranger)
    (event,) = wattseal.get_logs()
    assert (event.owner, event.receiver, event.amount) == (actors.driver.address, actors.driver.address, opened["cap"])
    assert boa.env.get_balance(actors.driver.address) == before + opened["cap"]
    assert boa.env.get_balance(wattseal.address) == wattseal.balance_of(actors.driver.address, COIN) == 0


def test_an_owner_sends_its_balance_elsewhere(wattseal, actors, opened):
    wattseal.release(tuple(opened.values()), sender=actors.host)
    before = boa.env.get_balance(actors.stranger)
    wattseal.withdraw_to(actors.stranger, COIN, sender=actors.driver.address)
    (event,) = wattseal.get_logs()
    assert (event.owner, event.receiver, event.amount) == (actors.driver.address, actors.stranger, opened["cap"])
    assert boa.env.get_balance(actors.stranger) == before + opened["cap"]
    assert wattseal.balance_of(actors.driver.address, COIN) == 0


def test_no_balance_is_refused(wattseal, actors, opened):
    with boa.reverts("no_balance"):
        wattseal.withdraw(actors.driver.address, COIN)
    with boa.reverts("no_balance"):
        wattseal.withdraw_to(actors.stranger, COIN, sender=actors.stranger)


def test_money_is_not_sent_to_nobody(wattseal, actors, opened):
    wattseal.release(tuple(opened.values()), sender=actors.host)
    with boa.reverts("bad_receiver"):
        wattseal.withdraw_to(ZERO_ADDRESS, COIN, sender=actors.driver.address)


def test_an_owner_that_cannot_receive_keeps_its_balance_and_sends_it_elsewhere(wattseal, actors, wallet, wallet_balance):
    wallet.refuse()
    with boa.reverts("not_received"):
        wattseal.withdraw(wallet.address, COIN)
    assert wattseal.balance_of(wallet.address, COIN) == wallet_balance
    before = boa.env.get_balance(actors.stranger)
    wallet.run(wattseal.address, wattseal.withdraw_to.prepare_calldata(actors.stranger, COIN))
    assert boa.env.get_balance(actors.stranger) == before + wallet_balance


@pytest.mark.parametrize("inner", ["withdraw", "withdraw_to"])
def test_a_receiver_that_calls_again_gets_nothing_more(wattseal, wallet, wallet_balance, inner):
    wallet.reenter(wattseal.address, getattr(wattseal, inner).prepare_calldata(wallet.address, COIN))
    wattseal.withdraw(wallet.address, COIN)
    assert not wallet.reentered()
    assert boa.env.get_balance(wallet.address) == wallet_balance


@pytest.fixture
def driver_balance(wattseal, actors, make_voucher, open_session):
    """Give the driver a balance; return it."""
    voucher = make_voucher(nonce=1)
    open_session(voucher)
    wattseal.release(tuple(voucher.values()), sender=actors.host)
    return voucher["cap"]


def test_an_owner_being_paid_does_not_set_off_another_payment(wattseal, actors, wallet, wallet_balance, driver_balance):
    wallet.reenter(wattseal.address, wattseal.withdraw.prepare_calldata(actors.driver.address, COIN))
    wattseal.withdraw(wallet.address, COIN)
    assert not wallet.reentered()
    assert wattseal.balance_of(actors.driver.address, COIN) == driver_balance


@pytest.mark.parametrize("inner", ["withdraw", "withdraw_to"])
def test_a_receiver_being_paid_does_not_take_its_own_balance(wattseal, actors, wallet, wallet_balance, driver_balance, inner):
    wallet.reenter(wattseal.address, getattr(wattseal, inner).prepare_calldata(wallet.address, COIN))
    wattseal.withdraw_to(wallet.address, COIN, sender=actors.driver.address)
    assert not wallet.reentered()
    assert wattseal.balance_of(wallet.address, COIN) == wallet_balance
    assert boa.env.get_balance(wallet.address) == driver_balance
