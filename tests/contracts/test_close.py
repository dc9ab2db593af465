"""Wattseal.release and Wattseal.refund, the ways out without a final receipt."""

import boa
import pytest

COIN = "0x" + "00" * 20  # the token of the native coin
CLOSED = 2
START_WINDOW_S = 3600
GRACE_S = 14 * 86_400


def test_the_host_releases_what_is_not_paid(wattseal, opened, make_receipt, settle, due_of):
    receipt = make_receipt(opened)
    settle(opened, receipt)
    wattseal.release(tuple(opened.values()), sender=opened["host"])
    (event,) = wattseal.get_logs()
    due = due_of(opened, receipt)
    assert (event.session, event.driver, event.paid) == (receipt["session"], opened["driver"], due)
    assert wattseal.balance_of(opened["driver"], COIN) == opened["cap"] - due
    assert wattseal.balance_of(opened["host"], COIN) == due


def test_nobody_else_releases(wattseal, actors, opened):
    for caller in (actors.driver.address, actors.plug.address, actors.relay):
        with boa.reverts("not_host"):
            wattseal.release(tuple(opened.values()), sender=caller)


def test_a_released_session_is_not_funded_again(wattseal, voucher, open_session, make_receipt, settle):
    open_session(voucher)
    wattseal.release(tuple(voucher.values()), sender=voucher["host"])
    assert wattseal.state_of(wattseal.session_of(tuple(voucher.values()))) == (CLOSED, 0)
    with boa.reverts("not_new"):
        open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + START_WINDOW_S + 1
    with boa.reverts("too_late"):
        open_session(voucher)


@pytest.mark.parametrize("way", ["release", "refund"])
def test_a_session_closes_once(wattseal, opened, way):
    boa.env.timestamp = opened["validUntil"] + GRACE_S + 1
    close = getattr(wattseal, way)
    close(tuple(opened.values()), sender=opened["host"])
    with boa.reverts("not_open"):
        close(tuple(opened.values()), sender=opened["host"])


@pytest.mark.parametrize("way", ["release", "refund"])
def test_a_session_that_was_never_opened_does_not_close(wattseal, voucher, way):
    boa.env.timestamp = voucher["validUntil"] + GRACE_S + 1
    with boa.reverts("not_open"):
        getattr(wattseal, way)(tuple(voucher.values()), sender=voucher["host"])


def test_anyone_refunds_what_is_not_paid_to_the_driver(wattseal, actors, opened, make_receipt, settle, due_of):
    receipt = make_receipt(opened)
    settle(opened, receipt)
    boa.env.timestamp = opened["validUntil"] + GRACE_S + 1
    wattseal.refund(tuple(opened.values()), sender=actors.stranger)
    assert wattseal.balance_of(opened["driver"], COIN) == opened["cap"] - due_of(opened, receipt)
    assert wattseal.balance_of(actors.stranger, COIN) == 0
    assert wattseal.state_of(receipt["session"]) == (0, 0)


@pytest.mark.parametrize("way", ["release", "refund"])
def test_a_session_paid_in_full_closes_without_a_rest(wattseal, make_voucher, open_session, make_receipt, settle, way):
    voucher = make_voucher(cap=1)
    open_session(voucher)
    boa.env.timestamp = voucher["validUntil"]
    settle(voucher, make_receipt(voucher))
    boa.env.timestamp += GRACE_S + 1
    getattr(wattseal, way)(tuple(voucher.values()), sender=voucher["host"])
    assert wattseal.balance_of(voucher["driver"], COIN) == 0


@pytest.mark.parametrize(("after_deadline", "claimable"), [(-GRACE_S, True), (-1, True), (0, True), (1, False), (2, False), (10**9, False)])
def test_exactly_one_of_settle_and_refund_is_possible(wattseal, actors, opened, make_receipt, settle, after_deadline, claimable):
    boa.env.timestamp = opened["validUntil"] + GRACE_S + after_deadline
    if claimable:
        with boa.reverts("too_early"):
            wattseal.refund(tuple(opened.values()), sender=actors.driver.address)
        settle(opened, make_receipt(opened))
        assert wattseal.balance_of(opened["host"], COIN) > 0
    else:
        with boa.reverts("too_late"):
            settle(opened, make_receipt(opened))
        wattseal.refund(tuple(opened.values()), sender=actors.stranger)
        assert wattseal.balance_of(opened["driver"], COIN) == opened["cap"]
