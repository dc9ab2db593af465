"""Tabs: a driver's money for many sessions at one plug of one host, which leaves only after a delay."""

import boa
import pytest

NONE, OPEN, CLOSED = 0, 1, 2
FINAL = 1
COIN = "0x" + "00" * 20
DAY = 86_400
START_WINDOW_S = 3600
MAX_SESSION_S = 10 * DAY
GRACE_S = 14 * DAY
EXIT_DELAY_S = 30 * DAY


@pytest.fixture
def voucher(make_voucher):
    return make_voucher(funding=1)


@pytest.fixture
def filled(voucher, deposit):
    """Return the voucher of a tab that holds twice its cap, two hours after it was issued."""
    deposit(voucher, 2 * voucher["cap"])
    boa.env.timestamp = voucher["issuedAt"] + 7200
    return voucher


def place(voucher):
    """Return what names a driver's own tab."""
    return voucher["host"], voucher["plug"], voucher["token"]


def state(wattseal, voucher):
    return wattseal.state_of(wattseal.session_of(tuple(voucher.values())))


def test_deposits_add_up(wattseal, voucher, deposit, tab_of):
    deposit(voucher, 5)
    (event,) = wattseal.get_logs()
    assert (event.driver, event.host, event.plug, event.token, event.amount) == (voucher["driver"], *place(voucher), 5)
    deposit(voucher, 7)
    assert tab_of(voucher) == (12, 0)
    assert boa.env.get_balance(wattseal.address) == 12


def test_anyone_deposits(wattseal, actors, voucher, token, make_voucher, tab_of):
    wattseal.deposit(voucher["driver"], *place(voucher), 5, value=5, sender=actors.relay)
    in_tokens = make_voucher(token=token.address)
    token.approve(wattseal.address, 6, sender=actors.relay)
    wattseal.deposit(voucher["driver"], *place(in_tokens), 6, sender=actors.relay)
    assert (tab_of(voucher), tab_of(in_tokens)) == ((5, 0), (6, 0))
    assert token.balanceOf(wattseal.address) == 6


@pytest.mark.parametrize("party", [0, 1, 2, "amount"])
def test_a_deposit_for_nobody_or_of_nothing_is_refused(wattseal, voucher, party):
    arguments = [voucher["driver"], *place(voucher), 5]
    arguments[4 if party == "amount" else party] = 0 if party == "amount" else COIN
    with boa.reverts("bad_terms"):
        wattseal.deposit(*arguments, value=arguments[4], sender=voucher["driver"])


@pytest.mark.parametrize("value", [0, 4, 6])
def test_any_other_amount_than_announced_is_refused(wattseal, voucher, value):
    with boa.reverts("wrong_value"):
        wattseal.deposit(voucher["driver"], *place(voucher), 5, value=value, sender=voucher["driver"])


def test_a_tab_holds_what_128_bits_hold(wattseal, token, make_voucher, tab_of):
    voucher = make_voucher(token=token.address)
    token.approve(wattseal.address, 2**130, sender=voucher["driver"])
    wattseal.deposit(voucher["driver"], *place(voucher), 2**128 - 1, sender=voucher["driver"])
    with boa.reverts("tab_full"):
        wattseal.deposit(voucher["driver"], *place(voucher), 1, sender=voucher["driver"])
    wattseal.request_exit(*place(voucher), sender=voucher["driver"])
    assert tab_of(voucher) == (2**128 - 1, boa.env.timestamp + EXIT_DELAY_S)


def test_a_session_is_paid_from_the_tab(wattseal, filled, make_receipt, settle, due_of, tab_of):
    interim, final = make_receipt(filled), make_receipt(filled, flags=FINAL, energyWh=3000)
    settle(filled, interim)
    assert state(wattseal, filled) == (OPEN, due_of(filled, interim))
    settle(filled, final)
    (event,) = wattseal.get_logs()
    due = due_of(filled, final)
    assert (event.session, event.host, event.energyWh, event.paid, event.closed) == (final["session"], filled["host"], 3000, due, True)
    assert state(wattseal, filled) == (CLOSED, due)
    assert wattseal.balance_of(filled["host"], COIN) == due
    assert wattseal.balance_of(filled["driver"], COIN) == 0
    assert tab_of(filled) == (2 * filled["cap"] - due, 0)


def test_a_session_that_never_started_costs_nothing(wattseal, filled, make_receipt, settle, tab_of):
    at = filled["issuedAt"]
    settle(filled, make_receipt(filled, flags=FINAL, startedAt=at, asOf=at, activeSeconds=0, registerWh=0, energyWh=0))
    assert state(wattseal, filled) == (CLOSED, 0)
    assert tab_of(filled) == (2 * filled["cap"], 0)


def test_nothing_is_paid_without_the_drivers_signature(actors, filled, make_voucher, make_receipt, settle, sign):
    receipt = make_receipt(filled)
    wrong = [b"", bytes(65), sign(actors.other_driver, "Voucher", filled), sign(actors.driver, "Voucher", make_voucher(funding=1, cap=1))]
    for signature in wrong:
        with boa.reverts("bad_signature"):
            settle(filled, receipt, driver_signature=signature)


def test_nothing_is_paid_without_the_plugs_signature(actors, filled, make_receipt, settle, sign):
    receipt = make_receipt(filled)
    with boa.reverts("bad_signature"):
        settle(filled, receipt, sign(actors.other_plug, "Receipt", receipt))


@pytest.mark.parametrize(
    "changes",
    [
        {"host": COIN},
        {"plug": COIN},
        {"cap": 0},
        {"validUntil": 1_772_374_790},
        {"validUntil": 1_772_374_790 + MAX_SESSION_S + 1},
    ],
)
def test_terms_that_no_lock_could_have_are_refused(filled, make_receipt, settle, changes):
    """A longer voucher could be claimed after an exit."""
    voucher = filled | changes
    with boa.reverts("bad_terms"):
        settle(voucher, make_receipt(voucher))


def test_a_tabs_voucher_without_driver_is_refused(filled, make_receipt, settle):
    voucher = filled | {"driver": COIN}
    with boa.reverts("bad_terms"):
        settle(voucher, make_receipt(voucher), driver_signature=bytes(65))


def test_another_funding_is_neither_lock_nor_tab(filled, make_receipt, settle):
    voucher = filled | {"funding": 2}
    with boa.reverts("not_open"):
        settle(voucher, make_receipt(voucher))


def test_a_tabs_session_is_never_forgotten(wattseal, filled, make_receipt, settle):
    """Nothing was locked for it: a cleared slot would let it be paid again."""
    receipt = make_receipt(filled, flags=FINAL)
    settle(filled, receipt)
    for timestamp in (boa.env.timestamp + DAY, filled["validUntil"] + GRACE_S):
        boa.env.timestamp = timestamp
        with boa.reverts("not_open"):
            settle(filled, receipt)


def test_each_tab_pays_only_its_own(wattseal, actors, filled, make_receipt, settle, tab_of, sign):
    for changes in ({"host": actors.other_host}, {"plug": actors.other_plug.address}, {"token": "0x" + "11" * 20}):
        voucher = filled | changes
        receipt = make_receipt(voucher)
        plug = actors.other_plug if "plug" in changes else actors.plug
        with boa.reverts("tab_empty"):
            settle(voucher, receipt, sign(plug, "Receipt", receipt))
    voucher = filled | {"driver": actors.other_driver.address}
    with boa.reverts("tab_empty"):
        settle(voucher, make_receipt(voucher))
    assert tab_of(filled) == (2 * filled["cap"], 0)


def test_a_short_tab_pays_what_it_has_and_the_rest_when_it_is_filled(wattseal, voucher, deposit, make_receipt, settle, due_of, tab_of):
    deposit(voucher, 1000)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    receipt = make_receipt(voucher, flags=FINAL)
    settle(voucher, receipt)
    (event,) = wattseal.get_logs()
    assert (event.paid, event.closed) == (1000, False)
    assert state(wattseal, voucher) == (OPEN, 1000)
    assert tab_of(voucher) == (0, 0)
    with boa.reverts("tab_empty"):
        settle(voucher, receipt)
    deposit(voucher, voucher["cap"])
    settle(voucher, receipt)
    due = due_of(voucher, receipt)
    assert state(wattseal, voucher) == (CLOSED, due)
    assert wattseal.balance_of(voucher["host"], COIN) == due
    assert tab_of(voucher) == (voucher["cap"] + 1000 - due, 0)


def test_a_lower_receipt_and_one_twice_are_refused(filled, make_receipt, settle):
    settle(filled, make_receipt(filled))
    with boa.reverts("nothing_due"):
        settle(filled, make_receipt(filled))
    with boa.reverts("lower"):
        settle(filled, make_receipt(filled, energyWh=1999))


def test_a_tabs_voucher_opens_no_lock(voucher, open_session):
    with boa.reverts("unsupported_funding"):
        open_session(voucher)


def test_a_tabs_session_has_no_refund(wattseal, filled, make_receipt, settle):
    """Its money never left the tab: a refund would be paid with somebody else's."""
    settle(filled, make_receipt(filled))
    boa.env.timestamp = filled["validUntil"] + GRACE_S + 1
    with boa.reverts("not_open"):
        wattseal.refund(tuple(filled.values()))


def test_the_host_gives_up_a_session(wattseal, filled, make_receipt, settle, due_of, tab_of):
    settle(filled, make_receipt(filled))
    due = due_of(filled, make_receipt(filled))
    wattseal.release(tuple(filled.values()), sender=filled["host"])
    assert state(wattseal, filled) == (CLOSED, due)
    assert tab_of(filled) == (2 * filled["cap"] - due, 0)
    assert wattseal.balance_of(filled["driver"], COIN) == 0
    with boa.reverts("not_open"):
        settle(filled, make_receipt(filled, flags=FINAL, energyWh=3000))
    with boa.reverts("not_open"):
        wattseal.release(tuple(filled.values()), sender=filled["host"])


def test_the_host_gives_up_a_session_that_it_claimed_nothing_of(wattseal, filled, make_receipt, settle):
    wattseal.release(tuple(filled.values()), sender=filled["host"])
    with boa.reverts("not_open"):
        settle(filled, make_receipt(filled, flags=FINAL))


def test_a_tab_is_emptied_after_the_delay(wattseal, filled, tab_of):
    driver, balance = filled["driver"], 2 * filled["cap"]
    with boa.reverts("too_early"):
        wattseal.exit(*place(filled), sender=driver)
    wattseal.request_exit(*place(filled), sender=driver)
    (event,) = wattseal.get_logs()
    exit_at = boa.env.timestamp + EXIT_DELAY_S
    assert event.exitAt == exit_at
    assert tab_of(filled) == (balance, exit_at)
    boa.env.timestamp = exit_at - 1
    with boa.reverts("too_early"):
        wattseal.exit(*place(filled), sender=driver)
    boa.env.timestamp = exit_at
    wattseal.exit(*place(filled), sender=driver)
    (event,) = wattseal.get_logs()
    assert event.amount == balance
    assert tab_of(filled) == (0, 0)
    assert wattseal.balance_of(driver, COIN) == balance
    with boa.reverts("too_early"):
        wattseal.exit(*place(filled), sender=driver)


def test_an_exit_can_be_taken_back(wattseal, filled, tab_of):
    wattseal.request_exit(*place(filled), sender=filled["driver"])
    wattseal.cancel_exit(*place(filled), sender=filled["driver"])
    assert tab_of(filled) == (2 * filled["cap"], 0)
    boa.env.timestamp += EXIT_DELAY_S
    with boa.reverts("too_early"):
        wattseal.exit(*place(filled), sender=filled["driver"])


def test_nobody_else_announces_or_cancels_an_exit(wattseal, actors, filled, tab_of):
    wattseal.request_exit(*place(filled), sender=filled["driver"])
    for caller in (actors.host, actors.stranger, actors.other_driver.address):
        with boa.reverts("tab_empty"):
            wattseal.request_exit(*place(filled), sender=caller)
        wattseal.cancel_exit(*place(filled), sender=caller)  # of its own tab
    assert tab_of(filled)[1] == boa.env.timestamp + EXIT_DELAY_S


def test_no_money_joins_a_tab_that_is_leaving(wattseal, voucher, deposit, tab_of):
    """Else a driver ages a tab with dust and fills it when its delay is over; and a stranger's dust moves nothing."""
    deposit(voucher, 1)
    wattseal.request_exit(*place(voucher), sender=voucher["driver"])
    for wait in (0, EXIT_DELAY_S):
        boa.env.timestamp += wait
        with boa.reverts("exit_announced"):
            deposit(voucher, voucher["cap"])
    wattseal.cancel_exit(*place(voucher), sender=voucher["driver"])
    deposit(voucher, 5)
    assert tab_of(voucher) == (6, 0)


def test_a_tab_that_was_spent_while_leaving_can_be_used_again(wattseal, voucher, deposit, make_receipt, settle, tab_of):
    deposit(voucher, 1)
    wattseal.request_exit(*place(voucher), sender=voucher["driver"])
    exit_at = boa.env.timestamp + EXIT_DELAY_S
    boa.env.timestamp = voucher["issuedAt"] + 7200
    settle(voucher, make_receipt(voucher))
    assert tab_of(voucher) == (0, exit_at)
    wattseal.cancel_exit(*place(voucher), sender=voucher["driver"])
    deposit(voucher, 5)
    assert tab_of(voucher) == (5, 0)


def test_an_empty_tab_is_not_left(wattseal, voucher):
    with boa.reverts("tab_empty"):
        wattseal.request_exit(*place(voucher), sender=voucher["driver"])


def test_a_session_begun_before_the_exit_was_announced_is_paid_before_it_comes(wattseal, make_voucher, deposit, make_receipt, settle, due_of, tab_of):
    """The longest session, accepted in the same block, claimed in the last second."""
    assert EXIT_DELAY_S > START_WINDOW_S + MAX_SESSION_S + GRACE_S
    now = boa.env.timestamp
    voucher = make_voucher(funding=1, issuedAt=now, validUntil=now + MAX_SESSION_S)
    deposit(voucher, voucher["cap"])
    wattseal.request_exit(*place(voucher), sender=voucher["driver"])
    boa.env.timestamp = voucher["validUntil"] + GRACE_S
    receipt = make_receipt(voucher, startedAt=now + START_WINDOW_S, asOf=voucher["validUntil"], flags=FINAL)
    settle(voucher, receipt)
    assert wattseal.balance_of(voucher["host"], COIN) == due_of(voucher, receipt)
    assert tab_of(voucher)[1] > boa.env.timestamp
