"""Any sequence of calls: what a plain model allows succeeds, the rest fails, no money appears, and the logs alone list the plugs."""

from collections import defaultdict

import boa
from eth_abi import encode
from eth_utils import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.contracts.registry import discovery

ZERO_ADDRESS = "0x" + "00" * 20
DAY = 86_400
EXIT_DELAY_S = 3600 + (10 + 14 + 7) * DAY
LISTING = "(uint32,address,uint96,uint96,bool,bytes32,string)"

which = st.integers(0, 1)
amounts = st.sampled_from([10**18, 10**18, 9, 1, 0])


class Bonds(RuleBasedStateMachine):
    """The registry beside a model of it in dictionaries."""

    def __init__(self, registry, actors, sign, make_evidence, make_listing):
        super().__init__()
        self.registry, self.actors, self.sign, self.make_evidence, self.make_listing = registry, actors, sign, make_evidence, make_listing
        self.plugs = [actors.plug, actors.p256_plug]
        self.hosts = [actors.host, actors.other_host]
        self.host, self.listing, self.epoch, self.retired = {}, {}, defaultdict(int), set()
        self.bond, self.exit_at = defaultdict(int), {}
        self.burnt, self.logs = 0, []
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()

    def attempt(self, allowed, call, *arguments, **options):
        """Call, and compare the outcome with what the model says."""
        try:
            call(*arguments, **options)
            succeeded = True
            for _, _, topics, data in self.registry._computation.get_raw_log_entries():
                self.logs.append(([topic.to_bytes(32, "big") for topic in topics], data))
        except boa.BoaError:
            succeeded = False
        assert succeeded == allowed
        return succeeded

    def end(self, plug):
        self.retired.add(plug)
        self.host.pop(plug, None)
        self.listing.pop(plug, None)

    @rule(p=which, h=which, step=st.sampled_from([1, 1, 1, 5, 0, -1]))
    def enrol(self, p, h, step):
        plug = self.plugs[p]
        values = {"plug": plug.address, "host": self.hosts[h], "epoch": max(0, self.epoch[plug.address] + step)}
        allowed = plug.address not in self.retired and values["epoch"] > self.epoch[plug.address]
        if self.attempt(allowed, self.registry.enrol, tuple(values.values()), self.sign(plug, "Enrol", values)):
            self.epoch[plug.address] = values["epoch"]
            self.host[plug.address] = self.hosts[h]
            self.listing.pop(plug.address, None)

    @rule(p=which, step=st.sampled_from([0, 1]), often=st.integers(0, 3))
    def retire(self, p, step, often):
        if often:
            return
        plug = self.plugs[p]
        values = {"plug": plug.address, "successor": self.actors.stranger, "epoch": self.epoch[plug.address] + step}
        allowed = plug.address not in self.retired and step > 0
        if self.attempt(allowed, self.registry.retire, tuple(values.values()), self.sign(plug, "Retire", values)):
            self.epoch[plug.address] = values["epoch"]
            self.end(plug.address)

    @rule(p=which, h=which, often=st.integers(0, 3))
    def revoke(self, p, h, often):
        plug = self.plugs[p].address
        if not often and self.attempt(self.host.get(plug) == self.hosts[h], self.registry.revoke, plug, sender=self.hosts[h]):
            self.end(plug)

    @rule(p=which, h=which, price=st.integers(0, 2**96 - 1))
    def announce(self, p, h, price):
        plug, listing = self.plugs[p].address, self.make_listing(pricePerKwh=price)
        if self.attempt(self.host.get(plug) == self.hosts[h], self.registry.announce, plug, listing, sender=self.hosts[h]):
            self.listing[plug] = listing

    @rule(p=which, h=which, amount=amounts)
    def post_bond(self, p, h, amount):
        plug, host = self.plugs[p].address, self.hosts[h]
        if self.attempt(self.host.get(plug) == host and amount > 0, self.registry.post_bond, plug, value=amount, sender=host):
            self.bond[plug, host] += amount
            self.exit_at.pop((plug, host), None)

    @rule(p=which, h=which)
    def request_exit(self, p, h):
        key = self.plugs[p].address, self.hosts[h]
        if self.attempt(self.bond[key] > 0 and key not in self.exit_at, self.registry.request_exit, key[0], sender=key[1]):
            self.exit_at[key] = boa.env.timestamp + EXIT_DELAY_S

    @rule(p=which, h=which)
    def exit(self, p, h):
        key = self.plugs[p].address, self.hosts[h]
        before = boa.env.get_balance(self.actors.relay)
        allowed = key in self.exit_at and boa.env.timestamp >= self.exit_at[key]
        if self.attempt(allowed, self.registry.exit, key[0], self.actors.relay, sender=key[1]):
            assert boa.env.get_balance(self.actors.relay) == before + self.bond.pop(key)
            del self.exit_at[key]

    @rule(p=which, h=which, start=st.sampled_from([3000, 3000, 2999]))
    def equivocate(self, p, h, start):
        plug, key = self.plugs[p], (self.plugs[p].address, self.hosts[h])
        first = self.make_evidence(plug, of={"host": self.actors.stranger}, registerWh=1000, energyWh=2000)
        second = self.make_evidence(plug, of={"host": key[1], "nonce": 2}, registerWh=start)
        before = boa.env.get_balance(self.actors.relay)
        allowed = start < 3000 and (self.bond[key] > 0 or key[0] not in self.retired)
        if self.attempt(allowed, self.registry.equivocate, *first, *second, sender=self.actors.relay):
            bond = self.bond.pop(key, 0)
            self.exit_at.pop(key, None)
            assert boa.env.get_balance(self.actors.relay) == before + bond // 10
            self.burnt += bond - bond // 10
            self.end(key[0])

    @rule(seconds=st.sampled_from([3600, DAY, EXIT_DELAY_S - 1, EXIT_DELAY_S]))
    def wait(self, seconds):
        boa.env.timestamp += seconds

    @invariant()
    def holdings_are_bonds_and_what_is_burnt(self):
        assert boa.env.get_balance(self.registry.address) == sum(self.bond.values()) + self.burnt

    @invariant()
    def the_contract_is_as_the_model(self):
        for plug in (plug.address for plug in self.plugs):
            assert self.registry.host_of(plug) == self.host.get(plug, ZERO_ADDRESS)
            assert self.registry.epoch_of(plug) == self.epoch[plug]
            assert self.registry.is_retired(plug) == (plug in self.retired)
            listing = self.listing.get(plug)
            assert self.registry.listing_of(plug) == (keccak(encode([LISTING], [listing])) if listing else bytes(32))
            for host in self.hosts:
                assert self.registry.bond_of(plug, host) == self.bond[plug, host]
                assert self.registry.exit_at(plug, host) == self.exit_at.get((plug, host), 0)

    @invariant()
    def the_logs_list_the_plugs(self):
        expected = {plug: (host, self.listing.get(plug)) for plug, host in self.host.items()}
        assert discovery.plugs(self.registry.abi, self.logs) == expected

    def teardown(self):
        """Every bond that is left can leave."""
        for p in range(2):
            for h in range(2):
                key = self.plugs[p].address, self.hosts[h]
                if self.bond[key] and key not in self.exit_at:
                    self.request_exit(p, h)
        boa.env.timestamp += EXIT_DELAY_S
        for p in range(2):
            for h in range(2):
                self.exit(p, h)
        assert boa.env.get_balance(self.registry.address) == self.burnt
        self.anchor.__exit__(None, None, None)


def test_no_sequence_of_calls_makes_or_loses_a_bond(registry, actors, sign, make_evidence, make_listing):
    run_state_machine_as_test(
        lambda: Bonds(registry, actors, sign, make_evidence, make_listing),
        settings=settings(max_examples=20, stateful_step_count=20, deadline=None),
    )
