"""Any sequence of calls at any time: what a plain model allows succeeds, the rest fails, and no money appears or is stuck."""

from collections import defaultdict

import boa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

NONE, OPEN, CLOSED = 0, 1, 2
FINAL = 1
HOUR = 3600
START_WINDOW_S = HOUR
MAX_SESSION_S = 240 * HOUR
GRACE_S = 336 * HOUR

offsets = st.sampled_from([0, 1, HOUR - 1, HOUR, HOUR + 1]) | st.integers(0, 5 * HOUR)
index = st.integers(0, 100)


class Holdings(RuleBasedStateMachine):
    """The contract beside a model of it in dictionaries."""

    def __init__(self, wattseal, actors, make_voucher, make_receipt, settle, due_of):
        super().__init__()
        self.wattseal, self.actors, self.due_of, self.submit = wattseal, actors, due_of, settle
        self.make_voucher, self.make_receipt = make_voucher, make_receipt
        self.vouchers, self.status, self.paid = [], [], []
        self.balances = defaultdict(int)
        self.owners = [actors.driver.address, actors.other_driver.address, actors.host, actors.other_host]
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()

    def attempt(self, allowed, call, *arguments, **options):
        """Call, and compare the outcome with what the model says."""
        try:
            call(*arguments, **options)
            succeeded = True
        except boa.BoaError:
            succeeded = False
        assert succeeded == allowed
        return succeeded

    def close(self, i):
        self.balances[self.vouchers[i]["driver"]] += self.vouchers[i]["cap"] - self.paid[i]
        self.status[i] = CLOSED

    def open(self, i):
        v, now = self.vouchers[i], boa.env.timestamp
        allowed = (
            self.status[i] == NONE
            and v["issuedAt"] < v["validUntil"] <= v["issuedAt"] + MAX_SESSION_S
            and v["issuedAt"] - START_WINDOW_S <= now <= v["issuedAt"] + START_WINDOW_S
            and now < v["validUntil"]
        )
        if self.attempt(allowed, self.wattseal.open, tuple(v.values()), b"", value=v["cap"], sender=v["driver"]):
            self.status[i] = OPEN

    @rule(
        driver=st.booleans(),
        host=st.booleans(),
        cap=st.sampled_from([1, 10**14, 10**16]),
        ago=offsets,
        valid_for=offsets | st.just(MAX_SESSION_S + 1),
    )
    def issue_and_open(self, driver, host, cap, ago, valid_for):
        issued_at = boa.env.timestamp + HOUR - ago
        drivers, hosts = self.owners[:2], self.owners[2:]
        terms = {"driver": drivers[driver], "host": hosts[host], "cap": cap, "nonce": len(self.vouchers)}
        self.vouchers.append(self.make_voucher(**terms, issuedAt=issued_at, validUntil=issued_at + valid_for))
        self.status.append(NONE)
        self.paid.append(0)
        self.open(len(self.vouchers) - 1)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def open_again(self, i):
        self.open(i % len(self.vouchers))

    @precondition(lambda self: self.vouchers)
    @rule(i=index, start=offsets, duration=offsets, idle=st.sampled_from([-1, 0, 60]), energy_wh=st.integers(0, 9000), final=st.booleans())
    def settle(self, i, start, duration, idle, energy_wh, final):
        i %= len(self.vouchers)
        v, now = self.vouchers[i], boa.env.timestamp
        started_at = v["issuedAt"] + start
        r = self.make_receipt(
            v, startedAt=started_at, asOf=started_at + duration, activeSeconds=max(0, duration - idle), energyWh=energy_wh, flags=FINAL * final
        )
        due = self.due_of(v, r)
        allowed = (
            self.status[i] == OPEN
            and now <= v["validUntil"] + GRACE_S
            and start <= START_WINDOW_S
            and r["asOf"] <= min(now, v["validUntil"])
            and r["activeSeconds"] <= duration
            and (due > self.paid[i] or (final and due == self.paid[i]))
        )
        if self.attempt(allowed, self.submit, v, r):
            self.balances[v["host"]] += due - self.paid[i]
            self.paid[i] = due
            if final:
                self.close(i)

    @precondition(lambda self: self.vouchers)
    @rule(i=index, by_host=st.booleans())
    def release(self, i, by_host):
        i %= len(self.vouchers)
        v = self.vouchers[i]
        if self.attempt(self.status[i] == OPEN and by_host, self.wattseal.release, tuple(v.values()), sender=v["host" if by_host else "driver"]):
            self.close(i)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def refund(self, i):
        i %= len(self.vouchers)
        v = self.vouchers[i]
        allowed = self.status[i] == OPEN and boa.env.timestamp > v["validUntil"] + GRACE_S
        if self.attempt(allowed, self.wattseal.refund, tuple(v.values()), sender=self.actors.stranger):
            self.close(i)

    @rule(i=st.integers(0, 3), elsewhere=st.booleans())
    def withdraw(self, i, elsewhere):
        owner = self.owners[i]
        receiver = self.actors.stranger if elsewhere else owner
        before = boa.env.get_balance(receiver)
        call, argument = (self.wattseal.withdraw_to, receiver) if elsewhere else (self.wattseal.withdraw, owner)
        if self.attempt(self.balances[owner] > 0, call, argument, sender=owner):
            assert boa.env.get_balance(receiver) == before + self.balances.pop(owner)

    @rule(seconds=offsets | st.sampled_from([MAX_SESSION_S, GRACE_S, GRACE_S + 1]))
    def wait(self, seconds):
        boa.env.timestamp += seconds

    @invariant()
    def holdings_are_balances_and_open_locks(self):
        locked = sum(v["cap"] - paid for v, status, paid in zip(self.vouchers, self.status, self.paid, strict=True) if status == OPEN)
        assert boa.env.get_balance(self.wattseal.address) == locked + sum(self.wattseal.balance_of(owner) for owner in self.owners)

    @invariant()
    def the_contract_is_as_the_model(self):
        for owner in self.owners:
            assert self.wattseal.balance_of(owner) == self.balances[owner]
        for v, status, paid in zip(self.vouchers, self.status, self.paid, strict=True):
            cleared = (NONE, 0)  # a closed session's slot may be
            assert self.wattseal.state_of(self.wattseal.session_of(tuple(v.values()))) in (
                ((status, paid), cleared) if status == CLOSED else ((status, paid),)
            )

    def teardown(self):
        """After all deadlines everything can be withdrawn, and nothing is left."""
        boa.env.timestamp += 2 * HOUR + MAX_SESSION_S + GRACE_S
        for i in range(len(self.vouchers)):
            self.refund(i)
        for i in range(len(self.owners)):
            self.withdraw(i, elsewhere=False)
        assert boa.env.get_balance(self.wattseal.address) == 0
        self.anchor.__exit__(None, None, None)


def test_no_sequence_of_calls_makes_or_loses_money(wattseal, actors, make_voucher, make_receipt, settle, due_of):
    run_state_machine_as_test(
        lambda: Holdings(wattseal, actors, make_voucher, make_receipt, settle, due_of),
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
    )
