"""What a host does, the founder does for the contract; nothing of it reaches income or drivers' money."""

import boa
import pytest

COIN = ZERO_ADDRESS = "0x" + "00" * 20
BOND = 10**18


@pytest.fixture
def enrolled(enrol, sold, actors):
    enrol(actors.plug, sold.address)
    return actors.plug.address


@pytest.fixture
def bonded(sold, enrolled, people):
    sold.post_bond(value=BOND, sender=people.founder)
    return enrolled


def test_the_founder_releases_a_session(sold, wattseal, make_voucher, open_session, people, actors):
    voucher = make_voucher(host=sold.address)
    open_session(voucher)
    with boa.reverts("not_founder"):
        sold.release(tuple(voucher.values()), sender=people.ann)
    sold.release(tuple(voucher.values()), sender=people.founder)
    assert wattseal.balance_of(actors.driver.address, COIN) == voucher["cap"]


def test_not_a_session_of_another_host(sold, make_voucher, open_session, people):
    voucher = make_voucher()
    open_session(voucher)
    with boa.reverts("not_host"):
        sold.release(tuple(voucher.values()), sender=people.founder)


def test_the_founder_announces(sold, registry, enrolled, make_listing, people):
    sold.announce(make_listing(), sender=people.founder)
    assert registry.listing_of(enrolled) != bytes(32)
    with boa.reverts("not_founder"):
        sold.announce(make_listing(), sender=people.ann)


def test_the_founder_revokes(sold, registry, enrolled, people):
    with boa.reverts("not_founder"):
        sold.revoke(sender=people.ann)
    sold.revoke(sender=people.founder)
    assert registry.is_retired(enrolled)


def test_a_bond_is_the_founders_and_no_income(sold, registry, bonded, people):
    assert registry.bond_of(bonded, sold.address) == BOND
    sold.request_exit(sender=people.founder)
    boa.env.timestamp += registry.EXIT_DELAY()
    before = boa.env.get_balance(people.carl)
    sold.exit(people.carl, sender=people.founder)
    assert boa.env.get_balance(people.carl) == before + BOND
    assert sold.claimable(COIN, people.founder) == sold.claimable(COIN, people.ann) == 0


@pytest.mark.parametrize(("function", "arguments"), [("post_bond", ()), ("request_exit", ()), ("exit", ("0x" + "a1" * 20,))])
def test_nobody_else_moves_the_bond(sold, bonded, people, function, arguments):
    with boa.reverts("not_founder"):
        getattr(sold, function)(*arguments, sender=people.ann)


def test_what_the_registry_refuses_is_refused(sold, people, make_listing):
    """The plug is not enrolled for this contract."""
    for call, options in ((sold.revoke, {}), (sold.post_bond, {"value": 1})):
        with boa.reverts("not_host"):
            call(sender=people.founder, **options)
    with boa.reverts("not_host"):
        sold.announce(make_listing(), sender=people.founder)
    with boa.reverts("no_bond"):
        sold.request_exit(sender=people.founder)
    with boa.reverts("too_early"):
        sold.exit(people.founder, sender=people.founder)


def test_a_slashed_bond_is_the_founders_loss(sold, registry, bonded, earn, people, make_voucher, make_receipt, sign, actors):
    earn(10_000)
    halves = []
    for nonce in (1, 2):
        voucher = make_voucher(host=sold.address, nonce=nonce)
        receipt = make_receipt(voucher)
        halves += [tuple(voucher.values()), tuple(receipt.values()), sign(actors.plug, "Receipt", receipt)]
    registry.equivocate(*halves, sender=actors.stranger)
    assert registry.bond_of(bonded, sold.address) == 0
    assert sold.claimable(COIN, people.ann) == 3000


def test_income_goes_on_without_the_founder(sold, earn, people):
    """Nothing that holders do needs the founder."""
    earn(10_000)
    sold.transfer(people.carl, 100, sender=people.ann)
    sold.claim(COIN, people.ann, sender=people.ann)
    earn(1000)
    sold.claim(COIN, people.carl, sender=people.carl)
    assert boa.env.get_balance(people.carl) == 10**30 + 100
