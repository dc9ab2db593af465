"""Locks, tabs and balances in tokens: exactly the amount comes and goes, whoever wrote the token."""

import boa
import pytest

OPEN, CLOSED = 1, 2
FINAL = 1
COIN = "0x" + "00" * 20
CAP = 10**16


def state(wattseal, voucher):
    return wattseal.state_of(wattseal.session_of(tuple(voucher.values())))


def held(wattseal, token):
    return token.balanceOf(wattseal.address)


@pytest.fixture
def voucher(make_voucher, token):
    return make_voucher(token=token.address)


@pytest.fixture
def approved(wattseal, actors, token, voucher):
    """Return a voucher whose driver has approved its cap."""
    token.approve(wattseal.address, voucher["cap"], sender=actors.driver.address)
    return voucher


@pytest.fixture
def hostile(hostile_token, make_voucher):
    return make_voucher(token=hostile_token.address)


def test_the_driver_locks_approved_tokens(wattseal, actors, token, approved, open_session):
    open_session(approved)
    assert state(wattseal, approved) == (OPEN, 0)
    assert held(wattseal, token) == approved["cap"]
    assert token.allowance(actors.driver.address, wattseal.address) == 0


def test_anyone_locks_the_drivers_tokens_with_the_drivers_signature(wattseal, actors, token, approved, sign):
    before = token.balanceOf(actors.relay)
    wattseal.open(tuple(approved.values()), sign(actors.driver, "Voucher", approved), sender=actors.relay)
    assert state(wattseal, approved) == (OPEN, 0)
    assert token.balanceOf(actors.relay) == before


def test_nobody_locks_the_drivers_tokens_without_a_signature(wattseal, actors, approved):
    with boa.reverts("bad_signature"):
        wattseal.open(tuple(approved.values()), b"", sender=actors.stranger)


def test_coins_do_not_come_with_tokens(wattseal, approved):
    with boa.reverts("wrong_value"):
        wattseal.open(tuple(approved.values()), b"", value=1, sender=approved["driver"])
    with boa.reverts("wrong_value"):
        wattseal.deposit(*(approved[party] for party in ("driver", "host", "plug", "token")), 1, value=1, sender=approved["driver"])


def test_tokens_that_were_not_approved_are_not_locked(wattseal, voucher, open_session):
    with boa.reverts():
        open_session(voucher)
    assert state(wattseal, voucher) == (0, 0)


def test_a_token_without_code_is_refused(make_voucher, open_session):
    """A call to an address without code succeeds."""
    with boa.reverts():
        open_session(make_voucher(token="0x" + "11" * 20))


def test_a_permit_locks(wattseal, actors, token, voucher, sign, sign_for_token):
    permit = sign_for_token(actors.driver, "Permit", voucher)
    wattseal.open_with_permit(tuple(voucher.values()), sign(actors.driver, "Voucher", voucher), permit, sender=actors.relay)
    assert state(wattseal, voucher) == (OPEN, 0)
    assert held(wattseal, token) == voucher["cap"]


def test_a_permit_that_somebody_used_before_does_no_harm(wattseal, actors, token, voucher, sign_for_token):
    permit = sign_for_token(actors.driver, "Permit", voucher)
    r, s, v = permit[:32], permit[32:64], permit[64] + 27
    token.permit(actors.driver.address, wattseal.address, voucher["cap"], voucher["validUntil"], v, r, s, sender=actors.stranger)
    wattseal.open_with_permit(tuple(voucher.values()), b"", permit, sender=actors.driver.address)
    assert state(wattseal, voucher) == (OPEN, 0)


def test_a_permit_alone_is_not_the_drivers_word(wattseal, actors, make_voucher, voucher, sign, sign_for_token):
    """Else whoever sees the permit locks the money for another host."""
    permit = sign_for_token(actors.driver, "Permit", voucher)
    stolen = make_voucher(token=voucher["token"], host=actors.other_host)
    with boa.reverts("bad_signature"):
        wattseal.open_with_permit(tuple(stolen.values()), sign(actors.driver, "Voucher", voucher), permit, sender=actors.stranger)


def test_a_permit_of_anybody_else_locks_nothing(wattseal, actors, voucher, sign_for_token):
    permit = sign_for_token(actors.other_driver, "Permit", voucher)
    with boa.reverts():
        wattseal.open_with_permit(tuple(voucher.values()), b"", permit, sender=actors.driver.address)
    with boa.reverts("bad_signature"):
        wattseal.open_with_permit(tuple(voucher.values()), b"", permit[:64], sender=actors.driver.address)


def test_an_authorization_locks(wattseal, actors, token, voucher, sign_for_token):
    authorization = sign_for_token(actors.driver, "ReceiveWithAuthorization", voucher)
    wattseal.open_with_authorization(tuple(voucher.values()), authorization, sender=actors.stranger)
    assert state(wattseal, voucher) == (OPEN, 0)
    assert held(wattseal, token) == voucher["cap"]
    with boa.reverts("not_new"):
        wattseal.open_with_authorization(tuple(voucher.values()), authorization, sender=actors.stranger)


def test_an_authorization_is_for_one_session(wattseal, actors, make_voucher, voucher, sign_for_token):
    authorization = sign_for_token(actors.driver, "ReceiveWithAuthorization", voucher)
    for changes in ({"host": actors.other_host}, {"pricePerKwh": 1}, {"nonce": 1}):
        with boa.reverts():
            other = make_voucher(token=voucher["token"], **changes)
            wattseal.open_with_authorization(tuple(other.values()), authorization, sender=actors.stranger)
    with boa.reverts("bad_signature"):
        wattseal.open_with_authorization(tuple(voucher.values()), authorization[:64])


def test_coins_need_no_permit(wattseal, actors, make_voucher):
    voucher = make_voucher()
    for call in (wattseal.open_with_permit, wattseal.open_with_authorization):
        arguments = (b"", bytes(65)) if call is wattseal.open_with_permit else (bytes(65),)
        with boa.reverts():
            call(tuple(voucher.values()), *arguments, sender=actors.driver.address)


def test_tokens_are_settled_and_withdrawn(wattseal, actors, token, approved, open_session, make_receipt, settle, due_of):
    open_session(approved)
    boa.env.timestamp = approved["issuedAt"] + 7200
    receipt = make_receipt(approved, flags=FINAL)
    settle(approved, receipt)
    due = due_of(approved, receipt)
    assert wattseal.balance_of(approved["host"], token) == due
    assert wattseal.balance_of(approved["host"], COIN) == 0
    before = token.balanceOf(approved["driver"])
    wattseal.withdraw(approved["driver"], token, sender=actors.stranger)
    wattseal.withdraw_to(actors.stranger, token, sender=approved["host"])
    assert token.balanceOf(approved["driver"]) == before + approved["cap"] - due
    assert token.balanceOf(actors.stranger) == due
    assert held(wattseal, token) == 0


def test_a_token_that_returns_nothing_works(wattseal, hostile_token, hostile, open_session):
    open_session(hostile)
    wattseal.release(tuple(hostile.values()), sender=hostile["host"])
    before = hostile_token.balanceOf(hostile["driver"])
    wattseal.withdraw(hostile["driver"], hostile_token)
    assert hostile_token.balanceOf(hostile["driver"]) == before + hostile["cap"]


def test_a_fee_on_the_way_in_is_refused(wattseal, hostile_token, hostile, open_session):
    hostile_token.charge(1, 0)
    with boa.reverts("wrong_value"):
        open_session(hostile)
    with boa.reverts("wrong_value"):
        wattseal.deposit(*(hostile[party] for party in ("driver", "host", "plug", "token")), 5, sender=hostile["driver"])
    assert held(wattseal, hostile_token) == 0


def test_a_fee_on_the_way_out_does_not_touch_what_belongs_to_others(wattseal, actors, hostile_token, make_voucher, hostile, open_session):
    """A token that learns later to take more from the sender than it sends."""
    open_session(hostile)
    open_session(make_voucher(token=hostile_token.address, nonce=1))
    wattseal.release(tuple(hostile.values()), sender=hostile["host"])
    hostile_token.charge(0, 1)
    with boa.reverts("wrong_value"):
        wattseal.withdraw(hostile["driver"], hostile_token)
    assert held(wattseal, hostile_token) == 2 * hostile["cap"]
    assert wattseal.balance_of(hostile["driver"], hostile_token) == hostile["cap"]


def test_a_token_that_says_no_moves_nothing(wattseal, hostile_token, hostile, open_session):
    open_session(hostile)
    wattseal.release(tuple(hostile.values()), sender=hostile["host"])
    hostile_token.answer_false()
    with boa.reverts("not_received"):
        wattseal.withdraw(hostile["driver"], hostile_token)
    with boa.reverts("not_received"):
        wattseal.deposit(*(hostile[party] for party in ("driver", "host", "plug", "token")), 5, sender=hostile["driver"])
    assert wattseal.balance_of(hostile["driver"], hostile_token) == hostile["cap"]


def test_a_driver_that_the_token_blocks_has_its_money_sent_elsewhere(wattseal, actors, hostile_token, hostile, open_session):
    open_session(hostile)
    wattseal.release(tuple(hostile.values()), sender=hostile["host"])
    hostile_token.block_account(hostile["driver"])
    with boa.reverts():
        wattseal.withdraw(hostile["driver"], hostile_token)
    wattseal.withdraw_to(actors.stranger, hostile_token, sender=hostile["driver"])
    assert hostile_token.balanceOf(actors.stranger) == hostile["cap"]


@pytest.fixture
def entrances(wattseal, actors, hostile_token, make_voucher, open_session, make_receipt, settle, sign):
    """Return calls that each move money, made by the token: it is a host with a balance beside a driver with one."""
    paid = make_voucher(token=hostile_token.address, host=hostile_token.address, nonce=1)
    open_session(paid)
    boa.env.timestamp = paid["issuedAt"] + 3600
    settle(paid, make_receipt(paid, asOf=boa.env.timestamp, activeSeconds=3000, flags=FINAL))
    hostile_token.mint(hostile_token.address, 10)
    fresh = make_voucher(token=hostile_token.address, nonce=2)
    terms, signature = tuple(fresh.values()), sign(actors.driver, "Voucher", fresh)
    calls = {
        "open": (terms, signature),
        "open_with_permit": (terms, signature, bytes(65)),
        "open_with_authorization": (terms, bytes(65)),
        "deposit": (*(fresh[party] for party in ("driver", "host", "plug", "token")), 10),
        "withdraw": (actors.driver.address, hostile_token),
        "withdraw_to": (actors.stranger, hostile_token),
    }
    return {name: getattr(wattseal, name).prepare_calldata(*arguments) for name, arguments in calls.items()}


@pytest.mark.parametrize("name", ["open", "open_with_permit", "open_with_authorization", "deposit", "withdraw", "withdraw_to"])
@pytest.mark.parametrize("outer", ["open", "withdraw"])
def test_no_function_that_moves_money_is_entered_twice(wattseal, hostile_token, make_voucher, open_session, entrances, outer, name):
    """A balance could be withdrawn, or a deposit made, while another is being measured, and be counted twice."""
    with boa.env.anchor():
        hostile_token.run(wattseal.address, entrances[name])  # by itself it succeeds
    hostile_token.reenter(wattseal.address, entrances[name])
    if outer == "open":
        open_session(make_voucher(token=hostile_token.address, nonce=3))
    else:
        wattseal.withdraw(make_voucher()["driver"], hostile_token)
    assert hostile_token.called()
    assert not hostile_token.reentered()


def test_what_a_token_can_call_while_it_is_paid_in_moves_no_money(wattseal, hostile_token, hostile, open_session):
    """Its own lock can be released before the tokens are there: they still have to come."""
    hostile_token.reenter(wattseal.address, wattseal.state_of.prepare_calldata(bytes(32)))
    open_session(hostile)
    assert hostile_token.reentered()
    assert held(wattseal, hostile_token) == hostile["cap"]
