"""A session's money with nothing but the chain, on anvil."""

import secrets
from collections.abc import Callable

import pytest
from wattseal.driver import money, visits
from wattseal.driver.folder import DriverFolder
from wattseal.errors import WalletError, WattsealError
from wattseal.gateway.client import Gateway
from wattseal.gateway.contract import STATUS_OPEN
from wattseal.protocol.messages import due
from wattseal.protocol.typed_data import GRACE_S

from tests.host_tools.driver.conftest import CAP, Plug, Street


def say(step: str) -> None:
    pass


def test_a_lock_is_proven_and_safe_to_repeat(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.visit(folder, plug)
    found = money.standing(street.chain(), session)
    assert (found.status, found.paid, found.refundable) == (STATUS_OPEN, 0, 0)
    money.lock(folder, street.chain(), session, folder.key(session.index))
    assert money.standing(street.chain(), session).coins == found.coins


def test_a_lock_without_money_says_what_to_send(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.arrive(folder, plug)
    with pytest.raises(WalletError, match=r"send it 0\.02"):
        money.lock(folder, street.chain(), session, folder.key(session.index))
    street.send(session.voucher.driver, money.to_send(street.chain(), CAP))
    money.lock(folder, street.chain(), session, folder.key(session.index))


def test_no_lock_for_what_the_plug_has_not_accepted(street: Street, folder: DriverFolder, plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "mark_accepted", lambda session: None)
    session = street.arrive(folder, plug)
    with pytest.raises(WalletError, match="has not accepted"):
        money.lock(folder, street.chain(), session, folder.key(session.index))


def test_somebody_else_pays_for_the_lock(street: Street, folder: DriverFolder, plug: Plug, funded_key: Callable[[], bytes]) -> None:
    session = street.arrive(folder, plug)
    money.lock(folder, street.chain(), session, funded_key())
    found = money.standing(street.chain(), session)
    assert (found.status, found.coins) == (STATUS_OPEN, 0)


def test_the_driver_settles_without_host_and_relay_and_is_paid_out(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.visit(folder, plug)
    message = plug.receipt(session, 1500, final=True)
    folder.add_receipts(session, [message])
    street.pass_time(message.receipt.asOf + 60)
    bill = visits.newest(folder, session)
    key = folder.key(session.index)
    done = Gateway(street.chain(), street.contract, key).settle(bill.voucher, bill.receipt, bill.signature)
    assert done.total_paid == due(session.voucher, message.receipt)
    assert money.standing(street.chain(), session).refundable == CAP - done.total_paid
    receiver = secrets.token_bytes(20)
    sent = street.sent
    money.withdraw(street.chain(), street.contract, key, receiver, None, say)
    found = money.standing(street.chain(), session)
    assert found.refundable == 0
    assert money.coins_at(street.chain(), receiver) > sent - done.total_paid - sent // 20
    assert money.coins_at(street.chain(), receiver) + found.coins < sent - done.total_paid


def test_money_comes_out_of_an_address_without_coins_when_another_key_pays(
    street: Street, folder: DriverFolder, plug: Plug, funded_key: Callable[[], bytes]
) -> None:
    payer = funded_key()
    session = street.arrive(folder, plug)
    money.lock(folder, street.chain(), session, payer)
    message = plug.receipt(session, 100, final=True)
    street.pass_time(message.receipt.asOf + 60)
    street.host_settles(plug, session, message, payer)
    receiver = secrets.token_bytes(20)
    with pytest.raises(WalletError, match="--payer"):
        money.withdraw(street.chain(), street.contract, folder.key(session.index), receiver, None, say)
    money.withdraw(street.chain(), street.contract, folder.key(session.index), receiver, payer, say)
    assert money.coins_at(street.chain(), receiver) > (CAP - due(session.voucher, message.receipt)) * 9 // 10


def test_nothing_to_pay_out(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.arrive(folder, plug)
    with pytest.raises(WattsealError, match="nothing to pay out"):
        money.withdraw(street.chain(), street.contract, folder.key(session.index), secrets.token_bytes(20), None, say)


def test_a_refund_comes_only_after_the_hosts_time(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.visit(folder, plug, hours=1)
    key = folder.key(session.index)
    with pytest.raises(WalletError, match="the host can claim until"):
        money.refund(street.chain(), session, key)
    street.pass_time(session.voucher.validUntil + GRACE_S)
    with pytest.raises(WalletError, match="the host can claim until"):
        money.refund(street.chain(), session, key)
    street.pass_time(session.voucher.validUntil + GRACE_S + 1)
    money.refund(street.chain(), session, key)
    assert money.standing(street.chain(), session).refundable == CAP
    with pytest.raises(WalletError, match="holds nothing"):
        money.refund(street.chain(), session, key)


def test_too_late_to_lock(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.arrive(folder, plug)
    street.pass_time(session.voucher.issuedAt + 3601)
    with pytest.raises(WalletError, match="could be opened until"):
        money.lock(folder, street.chain(), session, folder.key(session.index))


def test_money_comes_back_from_an_address_that_had_no_session(street: Street, folder: DriverFolder) -> None:
    index, waiting = folder.reserve()
    street.send(waiting, CAP)
    receiver = secrets.token_bytes(20)
    money.withdraw(street.chain(), street.contract, folder.key(index), receiver, None, say)
    assert money.coins_at(street.chain(), receiver) > CAP * 9 // 10


def test_a_key_belongs_to_its_session_before_the_lock_is_sent(
    street: Street, folder: DriverFolder, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in the middle of sending: whether the lock is on its way, nobody knows."""
    session = street.arrive(folder, plug)
    street.send(session.voucher.driver, money.to_send(street.chain(), CAP))

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Gateway, "submit", crash)
        with pytest.raises(KeyboardInterrupt):
            money.lock(folder, street.chain(), session, folder.key(session.index))
    assert folder.is_locking(session)
    assert folder.unlocked_keys(None) == {}
    money.lock(folder, street.chain(), session, folder.key(session.index))
