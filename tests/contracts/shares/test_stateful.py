"""Any sequence of sales, transfers, income and claims: each holder gets its part to the unit, and the last one is not left short."""

import itertools
from collections import defaultdict

import boa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

COIN = "0x" + "00" * 20
SHARES, FOR_SALE, PRICE = 1000, 400, 7

who = st.integers(0, 3)
which = st.integers(0, 1)
counts = st.one_of(st.sampled_from([0, 1, 100, 300]), st.integers(0, SHARES + 1))
incomes = st.one_of(st.sampled_from([1, 7, 999, 10**4]), st.integers(1, 10**20))


class Holdings(RuleBasedStateMachine):
    """The contract beside a model whose accounts are in units times shares."""

    def __init__(self, shares, wattseal, people, token, actors, earn):
        super().__init__()
        self.shares, self.wattseal, self.token, self.actors, self.earn_in_escrow = shares, wattseal, token, actors, earn
        self.people = [people.founder, people.ann, people.ben, people.carl]
        self.tokens = [COIN, token.address]
        self.held = defaultdict(int, {people.founder: SHARES})
        self.for_sale, self.proceeds = FOR_SALE, 0
        self.account = defaultdict(int)  # token, person
        self.paid, self.income = defaultdict(int), defaultdict(int)
        self.turn = itertools.count()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        for person in self.people:  # to buy with
            boa.env.set_balance(person, 10**30)

    def attempt(self, allowed, call, *arguments, **options):
        """Call, and compare the outcome with what the model says."""
        try:
            call(*arguments, **options)
            succeeded = True
        except boa.BoaError:
            succeeded = False
        assert succeeded == allowed
        return succeeded

    def balance(self, token, owner):
        return boa.env.get_balance(owner) if token == COIN else self.token.balanceOf(owner)

    @rule(buyer=who, count=counts, extra=st.sampled_from([0, 0, 0, 1]))
    def buy(self, buyer, count, extra):
        founder, person = self.people[0], self.people[buyer]
        allowed = 0 < count <= min(self.for_sale, self.held[founder]) and extra == 0
        if self.attempt(allowed, self.shares.buy, count, value=count * PRICE + extra, sender=person):
            self.held[founder] -= count
            self.held[person] += count
            self.for_sale -= count
            self.proceeds += count * PRICE

    @rule(sender=who, receiver=who, count=counts)
    def transfer(self, sender, receiver, count):
        sender, receiver = self.people[sender], self.people[receiver]
        if self.attempt(count <= self.held[sender], self.shares.transfer, receiver, count, sender=sender):
            self.held[sender] -= count
            self.held[receiver] += count

    @rule(t=which, amount=incomes, way=st.sampled_from(["escrow", "escrow", "gift"]))
    def earn(self, t, amount, way):
        token = self.tokens[t]
        if way == "escrow":
            self.earn_in_escrow(amount, token)
        elif token == COIN:
            boa.env.set_balance(self.shares.address, boa.env.get_balance(self.shares.address) + amount)
        else:
            self.token.mint(self.shares.address, amount)
        self.income[token] += amount
        for person in self.people:
            self.account[token, person] += amount * self.held[person]

    @rule(t=which)
    def take_out_of_the_escrow(self, t):
        allowed = self.wattseal.balance_of(self.shares.address, self.tokens[t]) > 0
        self.attempt(allowed, self.wattseal.withdraw, self.shares.address, self.tokens[t], sender=self.actors.stranger)

    @rule(holder=who, t=which, elsewhere=st.booleans())
    def claim(self, holder, t, elsewhere):
        person, token = self.people[holder], self.tokens[t]
        receiver = self.actors.relay if elsewhere else person
        before, part = self.balance(token, receiver), self.account[token, person] // SHARES
        if self.attempt(part > 0, self.shares.claim, token, receiver, sender=person):
            assert self.balance(token, receiver) == before + part
            self.account[token, person] -= part * SHARES
            self.paid[token] += part

    @rule()
    def withdraw_proceeds(self):
        before = boa.env.get_balance(self.actors.relay)
        if self.attempt(self.proceeds > 0, self.shares.withdraw_proceeds, self.actors.relay, sender=self.people[0]):
            assert boa.env.get_balance(self.actors.relay) == before + self.proceeds
            self.proceeds = 0

    @invariant()
    def holdings_are_income_not_paid_and_proceeds(self):
        for token in self.tokens:
            there = self.balance(token, self.shares.address) + self.wattseal.balance_of(self.shares.address, token)
            assert there == self.income[token] - self.paid[token] + (self.proceeds if token == COIN else 0)
            assert sum(self.account[token, person] for person in self.people) == SHARES * (self.income[token] - self.paid[token])

    @invariant()
    def the_contract_is_as_the_model(self):
        assert (self.shares.for_sale(), self.shares.proceeds()) == (self.for_sale, self.proceeds)
        # one of them a step, because a call costs milliseconds; in the end each claims to the unit
        person = self.people[next(self.turn) % len(self.people)]
        assert self.shares.balanceOf(person) == self.held[person]
        for token in self.tokens:
            assert self.shares.claimable(token, person) == self.account[token, person] // SHARES

    def teardown(self):
        """Everybody claims; less than a unit a holder is left."""
        for t in range(2):
            for holder in range(4):
                self.claim(holder, t, elsewhere=False)
        self.withdraw_proceeds()
        for token in self.tokens:
            left = self.balance(token, self.shares.address) + self.wattseal.balance_of(self.shares.address, token)
            assert left < len(self.people)
        self.anchor.__exit__(None, None, None)


def test_no_sequence_of_calls_makes_loses_or_moves_income(shares, wattseal, people, token, actors, earn):
    run_state_machine_as_test(
        lambda: Holdings(shares, wattseal, people, token, actors, earn),
        settings=settings(max_examples=20, stateful_step_count=20, deadline=None),
    )
