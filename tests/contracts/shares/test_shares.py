"""The ERC-20 side and the sale."""

import boa
import pytest

COIN = ZERO_ADDRESS = "0x" + "00" * 20
SHARES, FOR_SALE, PRICE = 1000, 400, 7


def test_all_shares_are_the_founders_at_first(shares, registry, wattseal, actors, people, token, hostile_token):
    assert (shares.name(), shares.symbol(), shares.decimals()) == ("Wattseal plug 7", "WS7", 0)
    assert shares.totalSupply() == shares.balanceOf(people.founder) == SHARES
    assert (shares.ESCROW(), shares.REGISTRY(), shares.PLUG(), shares.FOUNDER()) == (
        wattseal.address,
        registry.address,
        actors.plug.address,
        people.founder,
    )
    assert (shares.for_sale(), shares.PRICE(), shares.proceeds()) == (FOR_SALE, PRICE, 0)
    assert [shares.income_tokens(i) for i in range(3)] == [COIN, token.address, hostile_token.address]


BAD_TERMS = [
    {"plug": ZERO_ADDRESS},
    {"founder": ZERO_ADDRESS},
    {"shares": 0, "shares_for_sale": 0},
    {"shares_for_sale": SHARES + 1},
    {"price": 0},
    {"income_tokens": []},
]


@pytest.mark.parametrize("change", BAD_TERMS, ids=lambda change: next(iter(change)))
def test_terms_that_make_no_sense_are_refused(deploy_shares, change):
    with boa.reverts("bad_terms"):
        deploy_shares(**change)


def test_the_founder_may_sell_all_or_none(deploy_shares, people):
    deploy_shares(shares_for_sale=SHARES).buy(SHARES, value=SHARES * PRICE, sender=people.ann)
    with boa.reverts("not_for_sale"):
        deploy_shares(shares_for_sale=0).buy(1, value=PRICE, sender=people.ann)


def test_a_share_moves(sold, people):
    assert sold.transfer(people.carl, 40, sender=people.ann)
    (event,) = sold.get_logs()
    assert (event.sender, event.receiver, event.value) == (people.ann, people.carl, 40)
    assert [sold.balanceOf(person) for person in (people.ann, people.carl)] == [260, 40]


def test_to_oneself_changes_nothing(sold, people):
    sold.transfer(people.ann, 300, sender=people.ann)
    assert sold.balanceOf(people.ann) == 300


def test_nobody_moves_more_than_there_is(sold, people):
    with boa.reverts("too_few_shares"):
        sold.transfer(people.ben, 301, sender=people.ann)


@pytest.mark.parametrize("how", ["nobody", "the contract"])
def test_shares_are_not_lost(sold, people, how):
    receiver = ZERO_ADDRESS if how == "nobody" else sold.address
    with boa.reverts("bad_receiver"):
        sold.transfer(receiver, 1, sender=people.ann)


def test_an_allowance_is_used_up(sold, people):
    assert sold.approve(people.carl, 50, sender=people.ann)
    (event,) = sold.get_logs()
    assert (event.owner, event.spender, event.value) == (people.ann, people.carl, 50)
    assert sold.transferFrom(people.ann, people.ben, 30, sender=people.carl)
    assert sold.allowance(people.ann, people.carl) == 20
    assert [sold.balanceOf(person) for person in (people.ann, people.ben)] == [270, 130]
    with boa.reverts("not_allowed"):
        sold.transferFrom(people.ann, people.ben, 21, sender=people.carl)


def test_the_largest_allowance_stays(sold, people):
    sold.approve(people.carl, 2**256 - 1, sender=people.ann)
    sold.transferFrom(people.ann, people.ben, 30, sender=people.carl)
    assert sold.allowance(people.ann, people.carl) == 2**256 - 1


def test_a_buyer_gets_the_founders_shares(shares, people):
    shares.buy(10, value=10 * PRICE, sender=people.ann)
    moved, bought = shares.get_logs()
    assert (moved.sender, moved.receiver, moved.value) == (people.founder, people.ann, 10)
    assert (bought.buyer, bought.shares, bought.price) == (people.ann, 10, 10 * PRICE)
    assert (shares.for_sale(), shares.proceeds(), shares.balanceOf(people.founder)) == (FOR_SALE - 10, 10 * PRICE, SHARES - 10)


@pytest.mark.parametrize("amount", [0, FOR_SALE + 1, 2**256 - 1])
def test_only_what_is_for_sale(shares, people, amount):
    with boa.reverts("not_for_sale"):
        shares.buy(amount, value=PRICE, sender=people.ann)


def test_not_what_the_founder_has_given_away(shares, people):
    shares.transfer(people.carl, SHARES - 5, sender=people.founder)
    with boa.reverts("not_for_sale"):
        shares.buy(6, value=6 * PRICE, sender=people.ann)
    shares.buy(5, value=5 * PRICE, sender=people.ann)


@pytest.mark.parametrize("value", [0, 10 * PRICE - 1, 10 * PRICE + 1])
def test_for_exactly_the_price(shares, people, value):
    with boa.reverts("wrong_value"):
        shares.buy(10, value=value, sender=people.ann)


def test_what_was_paid_is_the_founders_and_no_income(sold, people):
    assert [sold.claimable(COIN, person) for person in (people.founder, people.ann)] == [0, 0]
    before = boa.env.get_balance(people.carl)
    sold.withdraw_proceeds(people.carl, sender=people.founder)
    (event,) = sold.get_logs()
    assert (event.receiver, event.amount) == (people.carl, 400 * PRICE)
    assert boa.env.get_balance(people.carl) == before + 400 * PRICE
    assert sold.proceeds() == boa.env.get_balance(sold.address) == 0
    with boa.reverts("nothing_due"):
        sold.withdraw_proceeds(people.carl, sender=people.founder)


def test_proceeds_go_to_nobody_else(sold, people):
    with boa.reverts("not_founder"):
        sold.withdraw_proceeds(people.ann, sender=people.ann)
    for receiver in (ZERO_ADDRESS, sold.address):
        with boa.reverts("bad_receiver"):
            sold.withdraw_proceeds(receiver, sender=people.founder)


def test_a_receiver_that_refuses_leaves_the_proceeds(sold, people, wallet):
    wallet.refuse()
    with boa.reverts("not_received"):
        sold.withdraw_proceeds(wallet.address, sender=people.founder)
    assert sold.proceeds() == 400 * PRICE
