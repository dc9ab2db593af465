"""Income belongs to who holds the share when it comes, to the last unit."""

import boa
import pytest

COIN = ZERO_ADDRESS = "0x" + "00" * 20
PRICE = 7


@pytest.fixture(params=["coin", "token"])
def of(request, token):
    return COIN if request.param == "coin" else token.address


@pytest.fixture
def balance(token):
    def balance(of, owner):
        return boa.env.get_balance(owner) if of == COIN else token.balanceOf(owner)

    return balance


def test_holders_claim_their_part(sold, earn, people, of, balance, wattseal):
    earn(10_000, of)
    assert wattseal.balance_of(sold.address, of) == 10_000
    for person, part in ((people.ann, 3000), (people.ben, 1000), (people.founder, 6000)):
        assert sold.claimable(of, person) == part
        before = balance(of, people.carl)
        sold.claim(of, people.carl, sender=person)
        (event,) = (log for log in sold.get_logs() if type(log).__name__ == "Claimed")
        assert (event.holder, event.token, event.receiver, event.amount) == (person, of, people.carl, part)
        assert balance(of, people.carl) == before + part
        assert sold.claimable(of, person) == 0
    assert sold.claimed(of) == 10_000
    assert balance(of, sold.address) == (400 * PRICE if of == COIN else 0)


def test_nothing_twice(sold, earn, people, of):
    earn(10_000, of)
    sold.claim(of, people.ann, sender=people.ann)
    with boa.reverts("nothing_due"):
        sold.claim(of, people.ann, sender=people.ann)
    with boa.reverts("nothing_due"):
        sold.claim(of, people.carl, sender=people.carl)


def test_it_does_not_matter_who_takes_it_out_of_the_escrow(sold, earn, people, of, wattseal, actors):
    earn(10_000, of)
    wattseal.withdraw(sold.address, of, sender=actors.stranger)
    assert sold.claimable(of, people.ann) == 3000
    earn(1000, of)
    sold.claim(of, people.ann, sender=people.ann)
    assert sold.claimable(of, people.ben) == 1100
    assert wattseal.balance_of(sold.address, of) == 1000


def test_a_moved_share_leaves_what_it_earned(sold, earn, people, of):
    earn(10_000, of)
    sold.transfer(people.carl, 300, sender=people.ann)
    earn(1000, of)
    assert [sold.claimable(of, person) for person in (people.ann, people.carl)] == [3000, 300]


def test_a_bought_share_brings_nothing_of_before(sold, deploy_shares, earn, people, of):
    shares = deploy_shares()
    earn(10_000, of, host=shares.address)
    shares.buy(400, value=400 * PRICE, sender=people.ann)
    earn(1000, of, host=shares.address)
    assert [shares.claimable(of, person) for person in (people.founder, people.ann)] == [10_600, 400]


def test_moving_to_oneself_earns_nothing(sold, earn, people, of):
    earn(10_000, of)
    sold.transfer(people.ann, 300, sender=people.ann)
    sold.transfer(people.ann, 300, sender=people.ann)
    assert sold.claimable(of, people.ann) == 3000


def test_parts_of_a_unit_add_up(sold, earn, people, of):
    """0.3 of a unit each time is nothing to claim yet, and nothing lost."""
    for _ in range(9):
        earn(1, of)
        sold.transfer(people.ben, 0, sender=people.ann)
    assert sold.claimable(of, people.ann) == 2
    sold.claim(of, people.ann, sender=people.ann)
    earn(1, of)
    assert sold.claimable(of, people.ann) == 1


def test_gifts_are_income(sold, people, of, token, actors):
    if of == COIN:
        boa.env.raw_call(sold.address, sender=actors.stranger, value=1000)
    else:
        token.mint(sold.address, 1000)
    assert sold.claimable(of, people.ann) == 300


def test_coins_that_came_by_force_are_income(sold, people):
    boa.env.set_balance(sold.address, boa.env.get_balance(sold.address) + 1000)
    assert sold.claimable(COIN, people.ann) == 300


def test_only_the_tokens_that_are_shared(sold, people, actors):
    with boa.reverts("unknown_token"):
        sold.claim(actors.stranger, people.ann, sender=people.ann)
    with boa.reverts("unknown_token"):
        sold.claimable(actors.stranger, people.ann)


def test_a_claim_goes_somewhere(sold, earn, people, of):
    earn(10_000, of)
    for receiver in (ZERO_ADDRESS, sold.address):
        with boa.reverts("bad_receiver"):
            sold.claim(of, receiver, sender=people.ann)


def test_a_receiver_that_refuses_leaves_the_income(sold, earn, people, wallet):
    earn(10_000)
    wallet.refuse()
    with boa.reverts("not_received"):
        sold.claim(COIN, wallet.address, sender=people.ann)
    assert sold.claimable(COIN, people.ann) == 3000


@pytest.mark.parametrize("fault", ["answers false", "charges the sender"])
def test_a_token_that_does_not_pay_leaves_the_income(sold, people, hostile_token, fault):
    hostile_token.mint(sold.address, 10_000)
    if fault == "answers false":
        hostile_token.answer_false()
    else:
        hostile_token.charge(0, 1)
    with boa.reverts("not_received" if fault == "answers false" else "wrong_value"):
        sold.claim(hostile_token.address, people.ann, sender=people.ann)
    assert sold.claimable(hostile_token.address, people.ann) == 3000


@pytest.mark.parametrize("function", ["claim", "transfer", "transferFrom"])
def test_a_receiver_that_calls_again_gets_nothing_more(sold, earn, people, wallet, function):
    sold.transfer(wallet.address, 100, sender=people.ann)
    earn(10_000)
    arguments = {
        "claim": (COIN, wallet.address),
        "transfer": (people.carl, 100),
        "transferFrom": (wallet.address, people.carl, 0),
    }[function]
    wallet.reenter(sold.address, getattr(sold, function).prepare_calldata(*arguments))
    wallet.run(sold.address, sold.claim.prepare_calldata(COIN, wallet.address))
    assert not wallet.reentered()
    assert boa.env.get_balance(wallet.address) == 1000
    assert sold.balanceOf(wallet.address) == 100


def test_a_token_that_calls_back_finds_the_door_closed(sold, people, hostile_token):
    hostile_token.mint(sold.address, 10_000)
    hostile_token.reenter(sold.address, sold.claimable.prepare_calldata(hostile_token.address, people.ben))
    sold.claim(hostile_token.address, people.ann, sender=people.ann)
    assert hostile_token.called()
    assert not hostile_token.reentered()
    assert hostile_token.balanceOf(people.ann) == 3000


def test_a_token_that_takes_balances_away_does_not_stop_shares(sold, people, hostile_token):
    hostile_token.mint(sold.address, 10_000)
    sold.transfer(people.ben, 1, sender=people.ann)
    hostile_token.eval(f"self.balanceOf[{sold.address}] -= 5000")
    sold.transfer(people.ben, 1, sender=people.ann)
    assert sold.claimable(hostile_token.address, people.ann) == 3000
    assert sold.balanceOf(people.ann) == 298


def test_what_a_token_takes_away_and_gives_back_is_not_income_twice(sold, people, hostile_token):
    hostile_token.mint(sold.address, 10_000)
    sold.transfer(people.ben, 0, sender=people.ann)
    hostile_token.eval(f"self.balanceOf[{sold.address}] -= 5000")
    sold.transfer(people.ben, 0, sender=people.ann)
    hostile_token.mint(sold.address, 5000)
    assert sold.claimable(hostile_token.address, people.ann) == 3000
