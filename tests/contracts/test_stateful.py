"""Any sequence of calls at any time: what a plain model allows succeeds, the rest fails, and no money appears or is stuck.

The invariants are those of docs/contracts.md; their numbers stand beside what checks them. 7 is in test_order.py, 8 also in test_settle_many.py and 9
in test_threats.py. The slots are read directly, which is fast enough to compare all of them after every step.
"""

from collections import defaultdict

import boa
from eth_utils import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

COIN = "0x" + "00" * 20  # the token of the native coin
NONE, OPEN, CLOSED = 0, 1, 2
LOCK, TAB = 0, 1
FINAL = 1
HOUR = 3600
START_WINDOW_S = HOUR
MAX_SESSION_S = 240 * HOUR
GRACE_S = 336 * HOUR
EXIT_DELAY_S = 720 * HOUR

# mostly what works, so that sequences get far, with the edges and the steps beyond them in between
index = st.integers(0, 100)
caps = st.sampled_from([1, 10**14, 10**16])
ages = st.sampled_from([0, 10, 10, 600, HOUR, HOUR + 1, -HOUR, -HOUR - 1])
lengths = st.sampled_from([10 * HOUR, 2 * HOUR, 10 * HOUR, MAX_SESSION_S, MAX_SESSION_S + 1, 0])
overpayments = st.sampled_from([0, 0, 0, 0, 1])
amounts = st.sampled_from([1, 10**14, 10**16])
starts = st.sampled_from([60, 60, 60, 0, HOUR, HOUR + 1, -1])
lateness = st.sampled_from([0, 0, 0, -60, 1])
idles = st.sampled_from([0, 0, 60, -1])
powers = st.sampled_from([3600, 1400, 4700, 0])
waits = st.sampled_from([600, HOUR, 5 * HOUR, 1, GRACE_S])
readings = st.tuples(starts, lateness, idles, powers, st.booleans())


def key(value):
    return (bytes.fromhex(value[2:]) if isinstance(value, str) else value).rjust(32, b"\0")


class Holdings(RuleBasedStateMachine):
    """The contract beside a model of it in lists and dictionaries."""

    def __init__(self, wattseal, slots, token, actors, make_voucher, make_receipt, claim, due_of):
        super().__init__()
        self.wattseal, self.slots, self.actors, self.due_of, self.claim = wattseal, slots, actors, due_of, claim
        self.make_voucher, self.make_receipt = make_voucher, make_receipt
        self.erc20, self.tokens = token, [COIN, str(token.address)]
        self.vouchers, self.sessions, self.status, self.paid, self.most_due = [], [], [], [], []
        self.accepted = []  # of a tab's voucher: a plug took it, no exit was announced then
        self.balances = defaultdict(int)  # owner, token
        self.tabs = defaultdict(lambda: (0, 0))  # driver, host, plug, token -> balance, exit time
        self.owners = [actors.driver.address, actors.other_driver.address, str(actors.host), str(actors.other_host)]
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        for driver in self.owners[:2]:
            token.approve(wattseal.address, 2**128, sender=driver)

    def attempt(self, allowed, call, *arguments, **options):
        """Call, and compare the outcome with what the model says."""
        try:
            call(*arguments, **options)
            succeeded = True
        except boa.BoaError:
            succeeded = False
        assert succeeded == allowed
        return succeeded

    def value(self, token, amount):
        return amount if token == COIN else 0

    def word(self, mapping, *keys):
        slot = self.slots[mapping].to_bytes(32, "big")
        for part in keys:
            slot = keccak(slot + key(part))
        return boa.env.get_storage(self.wattseal.address, int.from_bytes(slot, "big"))

    @staticmethod
    def place(v):
        return v["driver"], v["host"], v["plug"], v["token"]

    @staticmethod
    def are_terms_good(v):
        return v["issuedAt"] < v["validUntil"] <= v["issuedAt"] + MAX_SESSION_S

    def issue(self, driver, host, token, cap, age, length, funding):
        issued_at = boa.env.timestamp - age
        parties = {"driver": self.owners[:2][driver], "host": self.owners[2:][host], "token": self.tokens[token], "funding": funding}
        v = self.make_voucher(**parties, cap=cap, issuedAt=issued_at, validUntil=issued_at + length, nonce=len(self.vouchers))
        self.vouchers.append(v)
        self.sessions.append(self.wattseal.session_of(tuple(v.values())))
        self.status.append(NONE)
        self.paid.append(0)
        self.most_due.append(0)
        self.accepted.append(funding == TAB and age >= 0 and self.tabs[self.place(v)][1] == 0)

    def close(self, i):
        v = self.vouchers[i]
        if v["funding"] == LOCK:
            self.balances[v["driver"], v["token"]] += v["cap"] - self.paid[i]
        self.status[i] = CLOSED

    def open(self, i, overpaid=0):
        v, now = self.vouchers[i], boa.env.timestamp
        allowed = (
            overpaid == 0
            and v["funding"] == LOCK
            and self.status[i] == NONE
            and self.are_terms_good(v)
            and v["issuedAt"] - START_WINDOW_S <= now <= v["issuedAt"] + START_WINDOW_S
            and now < v["validUntil"]
        )
        value = self.value(v["token"], v["cap"]) + overpaid
        if self.attempt(allowed, self.wattseal.open, tuple(v.values()), b"", value=value, sender=v["driver"]):
            self.status[i] = OPEN

    @rule(driver=st.booleans(), host=st.booleans(), token=st.booleans(), cap=caps, age=ages, length=lengths, overpaid=overpayments)
    def issue_and_open(self, driver, host, token, cap, age, length, overpaid):
        self.issue(driver, host, token, cap, age, length, LOCK)
        self.open(len(self.vouchers) - 1, overpaid)

    @rule(driver=st.booleans(), host=st.booleans(), token=st.booleans(), cap=caps, age=ages, length=lengths)
    def issue_on_a_tab(self, driver, host, token, cap, age, length):
        self.issue(driver, host, token, cap, age, length, TAB)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def open_again(self, i):
        self.open(i % len(self.vouchers))

    @precondition(lambda self: any(v["funding"] == TAB for v in self.vouchers))
    @rule(i=index, amount=amounts, overpaid=overpayments)
    def deposit(self, i, amount, overpaid):
        on_tabs = [v for v in self.vouchers if v["funding"] == TAB]
        v = on_tabs[i % len(on_tabs)]
        value = self.value(v["token"], amount) + overpaid
        balance, exit_at = self.tabs[self.place(v)]
        allowed = overpaid == 0 and exit_at == 0
        if self.attempt(allowed, self.wattseal.deposit, *self.place(v), amount, value=value, sender=v["driver"]):
            self.tabs[self.place(v)] = balance + amount, 0

    @precondition(lambda self: self.tabs)
    @rule(i=index, what=st.sampled_from(["request_exit", "exit", "exit", "cancel_exit"]), wait=st.booleans())
    def move_towards_an_exit(self, i, what, wait):
        place = sorted(self.tabs)[i % len(self.tabs)]
        balance, exit_at = self.tabs[place]
        if wait and what == "exit":
            boa.env.timestamp = max(boa.env.timestamp, exit_at)
        now = boa.env.timestamp
        allowed = {"request_exit": balance > 0, "cancel_exit": True, "exit": exit_at != 0 and now >= exit_at}[what]
        if not self.attempt(allowed, getattr(self.wattseal, what), *place[1:], sender=place[0]):
            return
        if what == "exit":
            self.tabs[place] = 0, 0
            self.balances[place[0], place[3]] += balance
            # 5: what a plug accepted before the announcement can no longer be claimed
            for v, accepted in zip(self.vouchers, self.accepted, strict=True):
                announced = exit_at - EXIT_DELAY_S
                if accepted and self.place(v) == place and self.are_terms_good(v) and v["issuedAt"] <= announced:
                    assert now > v["validUntil"] + GRACE_S
        else:
            self.tabs[place] = balance, now + EXIT_DELAY_S if what == "request_exit" else 0

    def claim_of(self, i, reading):
        """Return a receipt of a session."""
        start, late, idle, power_w, final = reading
        v = self.vouchers[i]
        started_at, as_of = v["issuedAt"] + start, min(boa.env.timestamp, v["validUntil"]) + late
        active_seconds = max(0, as_of - started_at - idle)
        energy_wh = power_w * active_seconds // 3600
        times = {"startedAt": started_at, "asOf": as_of, "activeSeconds": active_seconds}
        return self.make_receipt(v, session=self.sessions[i], **times, energyWh=energy_wh, flags=FINAL * final)

    def settled(self, i, r):
        """Move the model as a settlement does; return whether it is allowed."""
        v, now = self.vouchers[i], boa.env.timestamp
        due, final = self.due_of(v, r), r["flags"] == FINAL
        valid = (
            (self.status[i] == OPEN if v["funding"] == LOCK else self.status[i] != CLOSED and self.are_terms_good(v))
            and now <= v["validUntil"] + GRACE_S
            and v["issuedAt"] <= r["startedAt"] <= v["issuedAt"] + START_WINDOW_S
            and r["startedAt"] <= r["asOf"] <= min(now, v["validUntil"])
            and r["activeSeconds"] <= r["asOf"] - r["startedAt"]
        )
        if not valid or due < self.paid[i] or (due == self.paid[i] and not final):
            return False
        amount = due - self.paid[i]
        if v["funding"] == TAB:
            balance, exit_at = self.tabs[self.place(v)]
            if amount > 0 and balance == 0:
                return False
            amount = min(amount, balance)
            self.tabs[self.place(v)] = balance - amount, exit_at
        self.most_due[i] = max(self.most_due[i], due)
        self.balances[v["host"], v["token"]] += amount
        self.paid[i] += amount
        self.status[i] = OPEN
        if final and self.paid[i] == due:
            self.close(i)
        return True

    def settle(self, i, reading):
        r = self.claim_of(i, reading)
        arguments = self.claim(self.vouchers[i], r)
        self.attempt(self.settled(i, r), self.wattseal.settle, arguments, sender=self.actors.relay)

    @precondition(lambda self: OPEN in self.status or any(self.accepted))
    @rule(i=index, wait=st.sampled_from([HOUR, 600, 0]), reading=readings)
    def settle_a_running_session(self, i, wait, reading):
        boa.env.timestamp += wait
        running = [i for i, status in enumerate(self.status) if status == OPEN or (self.accepted[i] and status == NONE)]
        if running:
            self.settle(running[i % len(running)], reading)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def settle_any_session(self, i):
        self.settle(i % len(self.vouchers), (60, 0, 0, 3600, True))

    @precondition(lambda self: self.vouchers)
    @rule(wait=st.sampled_from([HOUR, 600, 0]), chosen=st.lists(st.tuples(index, readings), min_size=1, max_size=4))
    def settle_several_at_once(self, wait, chosen):
        boa.env.timestamp += wait
        several = [(i % len(self.vouchers), reading) for i, reading in chosen]
        receipts = [(i, self.claim_of(i, reading)) for i, reading in several]
        codes = self.wattseal.settle_many([self.claim(self.vouchers[i], r) for i, r in receipts], sender=self.actors.relay)
        assert [code == bytes(32) for code in codes] == [self.settled(i, r) for i, r in receipts]  # 8

    @precondition(lambda self: self.vouchers)
    @rule(i=index, by_host=st.booleans())
    def release(self, i, by_host):
        i %= len(self.vouchers)
        v = self.vouchers[i]
        allowed = by_host and (self.status[i] == OPEN or (v["funding"] == TAB and self.status[i] == NONE))
        if self.attempt(allowed, self.wattseal.release, tuple(v.values()), sender=v["host" if by_host else "driver"]):
            self.close(i)

    @precondition(lambda self: self.vouchers)
    @rule(i=index)
    def refund(self, i):
        i %= len(self.vouchers)
        v = self.vouchers[i]
        # 4 and 6: for a lock the complement of what `settled` says of time
        allowed = v["funding"] == LOCK and self.status[i] == OPEN and boa.env.timestamp > v["validUntil"] + GRACE_S
        if self.attempt(allowed, self.wattseal.refund, tuple(v.values()), sender=self.actors.stranger):
            self.close(i)

    def held_by(self, owner, token):
        return boa.env.get_balance(owner) if token == COIN else self.erc20.balanceOf(owner)

    @rule(i=st.integers(0, 3), token=st.booleans(), elsewhere=st.booleans())
    def withdraw(self, i, token, elsewhere):
        owner, token = self.owners[i], self.tokens[token]
        receiver = str(self.actors.stranger) if elsewhere else owner
        before = self.held_by(receiver, token)
        call = self.wattseal.withdraw_to if elsewhere else self.wattseal.withdraw
        if self.attempt(self.balances[owner, token] > 0, call, receiver, token, sender=owner):
            assert self.held_by(receiver, token) == before + self.balances.pop((owner, token))

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
    def holdings_are_balances_open_locks_and_tabs(self):  # 1
        held = dict.fromkeys(self.tokens, 0)
        for v, status, paid in zip(self.vouchers, self.status, self.paid, strict=True):
            if status == OPEN and v["funding"] == LOCK:
                held[v["token"]] += v["cap"] - paid
        for (_, token), balance in self.balances.items():
            held[token] += balance
        for place, (balance, _) in self.tabs.items():
            held[place[3]] += balance
        assert {token: self.held_by(self.wattseal.address, token) for token in self.tokens} == held

    @invariant()
    def the_contract_is_as_the_model(self):
        for owner in self.owners:
            for token in self.tokens:
                assert self.word("balances", owner, token) == self.balances[owner, token]
        for place, (balance, exit_at) in self.tabs.items():
            assert self.word("tabs", keccak(b"".join(key(part) for part in place))) == balance << 128 | exit_at
        for v, session, status, paid, most_due in zip(self.vouchers, self.sessions, self.status, self.paid, self.most_due, strict=True):
            word = self.word("sessions", session)
            # 3: `paid` of the model never falls, and a slot that was cleared is never opened again: `open` is allowed from NONE only
            assert word == status << 248 | paid or (status == CLOSED and v["funding"] == LOCK and word == 0)
            assert paid <= v["cap"]  # 2
            assert paid <= most_due

    def teardown(self):  # 10
        """After all deadlines everything can be withdrawn, and nothing is left."""
        boa.env.timestamp += 2 * HOUR + MAX_SESSION_S + GRACE_S
        for i in range(len(self.vouchers)):
            self.refund(i)
        for place, (balance, _) in list(self.tabs.items()):
            if balance:
                self.wattseal.request_exit(*place[1:], sender=place[0])
                boa.env.timestamp += EXIT_DELAY_S
                self.wattseal.exit(*place[1:], sender=place[0])
                self.balances[place[0], place[3]] += balance
        for i in range(len(self.owners)):
            for token in (0, 1):
                self.withdraw(i, token, elsewhere=False)
        assert [self.held_by(self.wattseal.address, token) for token in self.tokens] == [0, 0]
        self.anchor.__exit__(None, None, None)


def test_no_sequence_of_calls_makes_or_loses_money(wattseal, storage_slots, token, actors, make_voucher, make_receipt, claim, due_of):
    run_state_machine_as_test(
        lambda: Holdings(wattseal, storage_slots, token, actors, make_voucher, make_receipt, claim, due_of),
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None),
    )
