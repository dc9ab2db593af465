"""Wattseal.settle: what a receipt must say, and who gets what."""

import boa
import pytest

COIN = "0x" + "00" * 20  # the token of the native coin
OPEN, CLOSED = 1, 2
FINAL = 1
START_WINDOW_S = 3600
GRACE_S = 14 * 86_400


def balances(wattseal, voucher):
    return wattseal.balance_of(voucher["driver"], COIN), wattseal.balance_of(voucher["host"], COIN)


def test_an_interim_receipt_pays_the_host_and_leaves_the_session_open(wattseal, opened, make_receipt, settle, due_of):
    receipt = make_receipt(opened)
    settle(opened, receipt)
    (event,) = wattseal.get_logs()
    due = due_of(opened, receipt)
    assert due == 2 * 3 * 10**14 + 10**14
    assert wattseal.state_of(receipt["session"]) == (OPEN, due)
    assert balances(wattseal, opened) == (0, due)
    assert (event.session, event.host, event.energyWh, event.paid, event.closed) == (receipt["session"], opened["host"], 2000, due, False)


def test_a_later_receipt_pays_the_difference(wattseal, opened, make_receipt, settle, due_of):
    settle(opened, make_receipt(opened))
    later = make_receipt(opened, asOf=opened["issuedAt"] + 7000, energyWh=3100, sequence=2)
    settle(opened, later)
    assert balances(wattseal, opened) == (0, due_of(opened, later))


def test_a_final_receipt_pays_closes_and_refunds_the_rest(wattseal, opened, make_receipt, settle, due_of):
    receipt = make_receipt(opened, flags=FINAL)
    settle(opened, receipt)
    (event,) = wattseal.get_logs()
    due = due_of(opened, receipt)
    assert balances(wattseal, opened) == (opened["cap"] - due, due)
    assert (event.session, event.paid, event.closed) == (receipt["session"], due, True)


def test_a_final_receipt_of_what_is_paid_already_closes(wattseal, opened, make_receipt, settle, due_of):
    settle(opened, make_receipt(opened))
    settle(opened, make_receipt(opened, flags=FINAL, sequence=2))
    due = due_of(opened, make_receipt(opened))
    assert balances(wattseal, opened) == (opened["cap"] - due, due)


def test_a_session_that_never_started_refunds_all(wattseal, opened, make_receipt, settle):
    issued_at = opened["issuedAt"]
    settle(opened, make_receipt(opened, flags=FINAL, startedAt=issued_at, asOf=issued_at, activeSeconds=0, registerWh=0, energyWh=0))
    assert balances(wattseal, opened) == (opened["cap"], 0)


def test_a_receipt_above_the_cap_pays_the_cap(wattseal, make_voucher, open_session, make_receipt, settle):
    voucher = make_voucher(cap=1000)
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    settle(voucher, make_receipt(voucher))
    assert balances(wattseal, voucher) == (0, 1000)
    settle(voucher, make_receipt(voucher, flags=FINAL))
    assert balances(wattseal, voucher) == (0, 1000)


def test_a_closed_session_within_the_start_window_keeps_its_slot(wattseal, voucher, open_session, make_receipt, settle, due_of):
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + START_WINDOW_S
    receipt = make_receipt(voucher, asOf=boa.env.timestamp, activeSeconds=3000, flags=FINAL)
    settle(voucher, receipt)
    assert wattseal.state_of(receipt["session"]) == (CLOSED, due_of(voucher, receipt))
    with boa.reverts("not_new"):
        open_session(voucher)
    with boa.reverts("not_open"):
        settle(voucher, receipt)


def test_a_closed_session_after_the_start_window_frees_its_slot(wattseal, voucher, open_session, make_receipt, settle):
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + START_WINDOW_S + 1
    receipt = make_receipt(voucher, asOf=boa.env.timestamp, activeSeconds=3000, flags=FINAL)
    settle(voucher, receipt)
    assert wattseal.state_of(receipt["session"]) == (0, 0)
    with boa.reverts("too_late"):
        open_session(voucher)
    with boa.reverts("not_open"):
        settle(voucher, receipt)


def test_a_session_that_is_not_open_is_refused(voucher, make_receipt, settle):
    with boa.reverts("not_open"):
        settle(voucher, make_receipt(voucher))


def test_terms_other_than_the_opened_ones_are_not_open(opened, make_receipt, settle):
    dearer = opened | {"pricePerKwh": opened["pricePerKwh"] + 1}
    with boa.reverts("not_open"):
        settle(dearer, make_receipt(dearer))


def test_a_receipt_of_another_session_is_refused(opened, make_voucher, make_receipt, settle):
    with boa.reverts("wrong_session"):
        settle(opened, make_receipt(make_voucher(nonce=1)))


def test_another_plug_is_refused(actors, opened, make_receipt, settle, sign):
    receipt = make_receipt(opened)
    with boa.reverts("bad_signature"):
        settle(opened, receipt, sign(actors.other_plug, "Receipt", receipt))


def test_a_changed_receipt_is_refused(actors, opened, make_receipt, settle, sign):
    signature = sign(actors.plug, "Receipt", make_receipt(opened))
    with boa.reverts("bad_signature"):
        settle(opened, make_receipt(opened, energyWh=2001), signature)


def test_a_lower_receipt_is_refused_final_or_not(opened, make_receipt, settle):
    settle(opened, make_receipt(opened))
    for flags in (0, FINAL):
        with boa.reverts("lower"):
            settle(opened, make_receipt(opened, energyWh=1999, flags=flags))


def test_a_receipt_twice_is_refused(opened, make_receipt, settle):
    settle(opened, make_receipt(opened))
    with boa.reverts("nothing_due"):
        settle(opened, make_receipt(opened))


def test_an_interim_receipt_of_nothing_is_refused(opened, make_receipt, settle):
    with boa.reverts("nothing_due"):
        settle(opened, make_receipt(opened, energyWh=0, activeSeconds=0))


@pytest.mark.parametrize("bit", range(8, 16))
def test_an_unknown_critical_flag_is_refused(opened, make_receipt, settle, bit):
    with boa.reverts("unknown_flags"):
        settle(opened, make_receipt(opened, flags=FINAL | 1 << bit))


@pytest.mark.parametrize("bit", [*range(1, 8), *range(16, 32)])
def test_every_other_flag_is_only_information(wattseal, opened, make_receipt, settle, bit):
    receipt = make_receipt(opened, flags=1 << bit)
    settle(opened, receipt)
    assert wattseal.state_of(receipt["session"])[0] == OPEN


def test_a_start_outside_the_window_is_refused(opened, make_receipt, settle):
    issued_at = opened["issuedAt"]
    for started_at in (issued_at - 1, issued_at + START_WINDOW_S + 1):
        with boa.reverts("bad_times"):
            settle(opened, make_receipt(opened, startedAt=started_at, activeSeconds=1))


@pytest.mark.parametrize("after", [0, START_WINDOW_S])
def test_a_start_at_the_windows_edges_is_paid(wattseal, opened, make_receipt, settle, after):
    settle(opened, make_receipt(opened, startedAt=opened["issuedAt"] + after, activeSeconds=10))
    assert wattseal.balance_of(opened["host"], COIN) > 0


def test_a_receipt_before_its_start_is_refused(opened, make_receipt, settle):
    started_at = opened["issuedAt"] + 100
    with boa.reverts("bad_times"):
        settle(opened, make_receipt(opened, startedAt=started_at, asOf=started_at - 1, activeSeconds=0))


def test_more_active_seconds_than_passed_are_refused(opened, make_receipt, settle):
    with boa.reverts("bad_times"):
        settle(opened, make_receipt(opened, activeSeconds=3601))


def test_a_receipt_ahead_of_chain_time_waits(wattseal, opened, make_receipt, settle):
    receipt = make_receipt(opened, asOf=boa.env.timestamp + 1)
    with boa.reverts("too_early"):
        settle(opened, receipt)
    boa.env.timestamp += 1
    settle(opened, receipt)
    assert wattseal.balance_of(opened["host"], COIN) > 0


def test_a_receipt_after_the_vouchers_end_is_refused(wattseal, opened, make_receipt, settle):
    boa.env.timestamp = opened["validUntil"] + 100
    with boa.reverts("bad_times"):
        settle(opened, make_receipt(opened, asOf=opened["validUntil"] + 1))
    settle(opened, make_receipt(opened, asOf=opened["validUntil"]))
    assert wattseal.balance_of(opened["host"], COIN) > 0


def test_the_time_for_claims_ends(opened, make_receipt, settle):
    boa.env.timestamp = opened["validUntil"] + GRACE_S + 1
    with boa.reverts("too_late"):
        settle(opened, make_receipt(opened))
