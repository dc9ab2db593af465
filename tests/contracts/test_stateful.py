"""Any sequence of calls at any time: what a plain model allows succeeds, the rest fails, and no money appears or is stuck."""

from collections import defaultdict

import boa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

COIN = "0x" + "00" * 20  # the token of the native coin
NONE, OPEN, CLOSED = 0, 1, 2
FINAL = 1
HOUR = 3600
START_WINDOW_S = HOUR
MAX_SESSION_S = 240 * HOUR
GRACE_S = 336 * HOUR

# mostly what works, so that sequences get far, with the edges and the steps beyond them in between
index = st.integers(0, 100)
caps = st.sampled_from([1, 10**14, 10**16])
ages = st.sampled_from([0, 10, 10, 600, HOUR, HOUR + 1, -HOUR, -HOUR - 1])
lengths = st.sampled_from([10 * HOUR, 2 * HOUR, 10 * HOUR, MAX_SESSION_S, MAX_SESSION_S + 1, 0])
overpayments = st.sampled_from([0, 0, 0, 0, 1])
starts = st.sampled_from([60, 60, 60, 0, HOUR, HOUR + 1, -1])
lateness = st.sampled_from([0, 0, 0, -60, 1])
idles = st.sampled_from([0, 0, 60, -1])
powers = st.sampled_from([3600, 1400, 4700, 0])
waits = st.sampled_from([600, HOUR, 5 * HOUR, 1, GRACE_S])


class Holdings(RuleBasedStateMachine):
    """The contract beside a model of it in lists and a dictionary."""

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

    def open(self, i, overpaid=0):
        v, now = self.vouchers[i], boa.env.timestamp
        allowed = (
            overpaid == 0
            and self.status[i] == NONE
            and v["issuedAt"] < v["validUntil"] <= v["issuedAt"] + MAX_SESSION_S
            and v["issuedAt"] - START_WINDOW_S <= now <= v["issuedAt"] + START_WINDOW_S
            and now < v["validUntil"]
        )
        if self.attempt(allowed, self.wattseal.open, tuple(v.values()), b"", value=v["cap"] + overpaid, sender=v["driver"]):
            self.status[i] = OPEN

    @rule(driver=st.booleans(), host=st.booleans(), cap=caps, age=ages, length=lengths, overpaid=overpayments)
    def issue_and_open(self, driver, host, cap, age, length, overpaid):
        issued_at = boa.env.timestamp - age
        parties = {"driver": self.owners[:2][driver], "host": self.owners[2:][host]}
        voucher = self.make_voucher(**parties, cap=cap, issuedAt=issued_at, validUntil=issued_at + length, nonce=len(self.vouchers))
        self.vouchers.append(voucher)
        self.status.append(NONE)
        self.paid.append(0)
        self.open(len(self.vouchers) - 1, overpaid)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def open_again(self, i):
        self.open(i % len(self.vouchers))

    @precondition(lambda self: OPEN in self.status)
    @rule(i=index, wait=st.sampled_from([HOUR, 600, 0]), start=starts, late=lateness, idle=idles, power_w=powers, final=st.booleans())
    def settle_an_open_session(self, i, wait, start, late, idle, power_w, final):
        boa.env.timestamp += wait
        sessions = [i for i, status in enumerate(self.status) if status == OPEN]
        self.settle(sessions[i % len(sessions)], start, late, idle, power_w, final)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def settle_any_session(self, i):
        self.settle(i % len(self.vouchers), start=60, late=0, idle=0, power_w=3600, final=True)

    def settle(self, i, start, late, idle, power_w, final):
        v, now = self.vouchers[i], boa.env.timestamp
        started_at, as_of = v["issuedAt"] + start, min(now, v["validUntil"]) + late
        active_seconds = max(0, as_of - started_at - idle)
        energy_wh = power_w * active_seconds // 3600
        r = self.make_receipt(v, startedAt=started_at, asOf=as_of, activeSeconds=active_seconds, energyWh=energy_wh, flags=FINAL * final)
        due = self.due_of(v, r)
        allowed = (
            self.status[i] == OPEN
            and now <= v["validUntil"] + GRACE_S
            and 0 <= start <= START_WINDOW_S
            and started_at <= as_of <= min(now, v["validUntil"])
            and active_seconds <= as_of - started_at
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
        call = self.wattseal.withdraw_to if elsewhere else self.wattseal.withdraw
        if self.attempt(self.balances[owner] > 0, call, receiver, COIN, sender=owner):
            assert boa.env.get_balance(receiver) == before + self.balances.pop(owner)

    @rule(seconds=waits)
    def wait(self, seconds):
        boa.env.timestamp += seconds

    @precondition(lambda self: self.vouchers)
    @rule(i=index, after=st.sampled_from([0, 1]), claims=st.booleans())
    def wait_for_the_end_of_a_window(self, i, after, claims):
        v = self.vouchers[i % len(self.vouchers)]
        end = v["validUntil"] + GRACE_S if claims else v["issuedAt"] + START_WINDOW_S
        boa.env.timestamp = max(boa.env.timestamp, end + after)

    @invariant()
    def holdings_are_balances_and_open_locks(self):
        locked = sum(v["cap"] - paid for v, status, paid in zip(self.vouchers, self.status, self.paid, strict=True) if status == OPEN)
        assert boa.env.get_balance(self.wattseal.address) == locked + sum(self.balances.values())

    @invariant()
    def the_contract_is_as_the_model(self):
        for owner in self.owners:
            assert self.wattseal.balance_of(owner, COIN) == self.balances[owner]
        for v, status, paid in zip(self.vouchers, self.status, self.paid, strict=True):
            state = self.wattseal.state_of(self.wattseal.session_of(tuple(v.values())))
            assert state == (status, paid) or (status == CLOSED and state == (NONE, 0))

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
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None),
    )
