"""The planner of a site against modelled plugs: the breaker's limit, minimum times, turns, and what is lost, late, offline or restarted."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from wattseal.relay.sites import PAUSE_S, RENEW_S, TURN_S, Planner, Sight, Site

from tests.site_world import LIFE_S, MIN_OFF_S, MIN_ON_S, SILENCE_S, Plug, World, flap

HOUR_S = 3600
PLENTY_MJ = 10**12
HEAVIEST = 4  # times the share of another
UNKNOWN_S = SILENCE_S + LIFE_S + MIN_ON_S + 10  # as long as a grant can have an effect


def ids(count: int) -> list[bytes]:
    return [bytes([number]) * 20 for number in range(1, count + 1)]


def world(limits_ma: list[int], breaker_ma: int, reserve_ma: int = 0, step_s: int = 5) -> World:
    """Return a site whose plugs are all connected and known to be off, with a car at each that would take anything."""
    plugs = {plug: Plug(limit_ma, energy_mj=PLENTY_MJ) for plug, limit_ma in zip(ids(len(limits_ma)), limits_ma, strict=True)}
    site = Site("garage", breaker_ma, reserve_ma, {plug: one.limit_ma for plug, one in plugs.items()})
    made = World(site, plugs, step_s, check_limit)
    made.connect(*plugs)
    made.run(120)
    return made


def check_limit(world: World) -> None:
    assert world.drawn_ma <= world.site.capacity_ma, f"{world.drawn_ma} mA at {world.now_s} s: {world.plugs}"


def want(world: World, *plugs: Plug) -> None:
    for plug in plugs or world.plugs.values():
        plug.wants, plug.energy_mj = True, PLENTY_MJ


def closed(world: World) -> list[int]:
    return [number for number, plug in enumerate(world.plugs.values()) if plug.is_closed]


def test_what_fits_is_granted_at_once_and_kept() -> None:
    site = world([10_000, 10_000, 10_000], breaker_ma=32_000)
    want(site)
    site.run(10)
    assert closed(site) == [0, 1, 2]
    site.run(5 * HOUR_S)
    assert all(len(plug.switched) == 1 for plug in site.plugs.values())


def test_the_reserve_is_not_granted() -> None:
    site = world([10_000, 10_000, 10_000], breaker_ma=32_000, reserve_ma=2_001)
    want(site)
    site.run(HOUR_S // 2)
    assert len(closed(site)) == 2


def test_a_plug_too_large_for_the_site_holds_nobody_up() -> None:
    site = world([16_000, 10_000], breaker_ma=12_000)
    want(site)
    site.run(10)
    assert closed(site) == [1]


def test_equal_plugs_take_equal_turns() -> None:
    site = world([10_000] * 4, breaker_ma=20_000)
    want(site)
    site.run(24 * HOUR_S)
    delivered = [plug.delivered_mj for plug in site.plugs.values()]
    assert max(delivered) - min(delivered) < 10_000 * 230 * TURN_S
    assert sum(delivered) > 0.99 * 2 * 24 * HOUR_S * 10_000 * 230  # what a change costs
    for plug in site.plugs.values():
        assert len(plug.switched) >= 12
        check_minimum_times(plug)


def check_minimum_times(plug: Plug) -> None:
    for (before_s, is_on), (after_s, _) in pairwise(plug.switched):
        assert after_s - before_s >= (MIN_ON_S if is_on else MIN_OFF_S)


def test_a_large_plug_is_not_starved_by_small_ones() -> None:
    site = world([16_000, 8_000, 8_000, 8_000], breaker_ma=20_000)
    want(site)
    site.run(12 * HOUR_S)
    held_s = [plug.delivered_mj // plug.limit_ma // 230 for plug in site.plugs.values()]
    assert max(held_s) - min(held_s) <= 2 * TURN_S


@pytest.mark.parametrize(
    ("reason", "least", "most"),
    [({"price_per_kwh": 200}, 1.8, 2.2), ({"price_per_kwh": 10**30}, 3.5, 4.5), ({"departs_at_s": 10 * HOUR_S}, 1.2, 3)],
)
def test_who_pays_more_or_leaves_sooner_gets_more_and_the_others_still_theirs(reason: dict[str, int], least: float, most: float) -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    for plug in site.plugs.values():
        plug.price_per_kwh, plug.departs_at_s = 100, 100 * HOUR_S
    first, second = site.plugs.values()
    for name, value in reason.items():
        setattr(second, name, value)
    want(site)
    site.run(10 * HOUR_S if "departs_at_s" in reason else 48 * HOUR_S)
    assert least < second.delivered_mj / first.delivered_mj < most


def test_a_newcomer_does_not_wait_for_what_others_had_before_it_came() -> None:
    site = world([10_000] * 3, breaker_ma=20_000)
    first, second, third = site.plugs.values()
    want(site, first, second)
    site.run(10 * HOUR_S)
    want(site, third)
    site.run(60)
    assert third.is_closed
    site.run(4 * HOUR_S)
    assert third.delivered_mj < 3.5 * HOUR_S * 10_000 * 230  # and has no claim to catch up


def test_the_end_of_a_session_makes_room_at_once() -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    first, second = site.plugs.values()
    want(site)
    site.run(60)
    assert first.is_closed
    first.end()
    site.run(20)
    assert second.is_closed


def test_nobody_waits_for_a_plug_in_its_minimum_off_time() -> None:
    site = world([10_000] * 3, breaker_ma=10_000)
    first, second, third = site.plugs.values()
    want(site, first, second)
    site.run(TURN_S + 60)
    assert second.is_closed
    second.end()
    site.run(20)
    want(site, third)
    site.run(20)
    assert third.is_closed


def test_a_session_that_cannot_use_its_budget_gives_it_back_and_is_tried_again() -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    first, second = site.plugs.values()
    first.allowed = False
    want(site)
    site.run(180)
    assert second.is_closed
    first.allowed = True
    site.run(PAUSE_S + 2 * TURN_S)
    assert first.delivered_mj


# -- what is counted when something is lost -------------------------------------------------------------------------------------------


def test_a_plug_that_went_offline_counts_as_long_as_its_grant_can_act() -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    one, other = site.plugs
    want(site)
    site.run(60)
    assert closed(site) == [0]
    site.disconnect(one)
    site.run(UNKNOWN_S - RENEW_S)
    assert not site.plugs[other].is_closed
    site.run(RENEW_S)
    assert site.plugs[other].is_closed


def test_a_grant_that_was_not_used_before_the_plug_went_offline_may_be_used_at_its_end() -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    one, other = site.plugs
    site.plugs[one].allowed = False
    want(site, site.plugs[one])
    site.run(30)
    site.plugs[one].price_per_kwh = 1  # another status, after the grant was taken
    site.run(10)
    site.disconnect(one)
    want(site, site.plugs[other])
    site.run(LIFE_S - 60)
    site.plugs[one].allowed = True
    site.run(MIN_ON_S)
    assert closed(site) == [0]
    site.run(UNKNOWN_S)
    assert closed(site) == [1]


def test_a_grant_outlives_a_lost_connection_by_its_life_and_goes_on_after_it() -> None:
    site = world([10_000], breaker_ma=10_000)
    (plug,) = site.plugs
    want(site)
    site.run(HOUR_S)
    site.disconnect(plug)
    site.run(600)
    site.connect(plug)
    site.run(HOUR_S)
    assert len(site.plugs[plug].switched) == 1


def test_a_withdrawal_that_was_lost_is_sent_again() -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    one, _ = site.plugs
    want(site)
    site.run(TURN_S)
    site.wires[one].delay_s = SILENCE_S - 1
    site.run(60)  # the withdrawal is on its way
    site.disconnect(one)
    site.run(30)
    site.connect(one)
    site.run(60)
    assert closed(site) == [1]


def test_a_frame_that_came_damaged_is_not_taken_for_taken() -> None:
    site = Site("garage", 10_000, 0, dict.fromkeys(ids(2), 10000))
    planner = Planner(site, 0)
    one, other = ids(2)
    is_on, is_off = Sight(True, True, False), Sight(True, False, True)
    now_s = UNKNOWN_S
    for plug in (one, other):
        planner.connected(plug, now_s)
        planner.saw(plug, is_off, now_s)
    assert planner.plan(now_s) == [(one, 10_000), (other, 0)]
    planner.taken(one, now_s)
    planner.saw(one, is_on, now_s)
    now_s += TURN_S + 5
    assert (one, 0) in planner.plan(now_s)
    planner.lost(one)
    planner.taken(one, now_s)
    planner.saw(one, is_off, now_s)
    now_s += 5
    assert planner.plan(now_s) == [(one, 0)]
    planner.taken(one, now_s)
    assert planner.plan(now_s) == []
    planner.saw(one, is_off, now_s)
    assert planner.plan(now_s) == [(other, 10_000)]


def test_a_relay_that_starts_again_grants_nothing_that_may_be_taken() -> None:
    site = world([10_000] * 3, breaker_ma=20_000)
    want(site)
    site.run(60)
    assert closed(site) == [0, 1]
    site.restart_relay()
    site.connect(*list(site.plugs)[1:])
    site.run(600)
    assert closed(site) == [0, 1]  # the first, which has not come back, may still draw
    site.run(UNKNOWN_S)
    assert len(closed(site)) == 2


def test_a_relay_that_starts_again_lets_who_charges_go_on() -> None:
    site = world([10_000] * 3, breaker_ma=20_000)
    want(site)
    site.run(60)
    site.restart_relay()
    site.connect(*site.plugs)
    site.run(TURN_S - 60)
    assert closed(site) == [0, 1]
    assert [len(plug.switched) for plug in site.plugs.values()] == [1, 1, 0]
    site.run(HOUR_S)
    assert all(plug.delivered_mj for plug in site.plugs.values())


def test_a_smaller_breaker_takes_grants_back() -> None:
    site = world([10_000] * 2, breaker_ma=20_000)
    want(site)
    site.run(HOUR_S)
    site.site = Site("garage", 10_000, 0, site.site.plugs)
    site._watch = lambda world: None
    site.restart_relay()
    site.connect(*site.plugs)
    site.run(30)
    assert len(closed(site)) == 1


def test_a_plug_that_draws_without_a_grant_is_shown_and_others_make_way() -> None:
    site = world([10_000] * 2, breaker_ma=10_000)
    one, other = site.plugs
    site.plugs[one].is_site = False
    want(site, site.plugs[other])
    site.run(60)
    assert closed(site) == [1]
    site.plugs[one].power_cut(site.now_s)
    site._watch = lambda world: None  # nobody can prevent what comes
    site.plugs[one].wants = True
    site.run(60)
    assert site.planner.page(one, site.now_s)["uncontrolled"]
    site.run(MIN_ON_S)
    assert closed(site) == [0]


def test_welded_contacts_count_for_ever() -> None:
    planner = Planner(Site("garage", 10_000, 0, dict.fromkeys(ids(2), 10000)), 0)
    one, other = ids(2)
    for plug in (one, other):
        planner.connected(plug, 0)
    planner.saw(one, Sight(False, False, True, is_welded=True), 0)
    planner.saw(other, Sight(True, False, True), 0)
    planner.plan(0)
    for plug in (one, other):
        planner.taken(plug, 1)
    planner.saw(other, Sight(True, False, True), 1)
    planner.disconnected(one)
    assert planner.plan(10 * UNKNOWN_S) == []


# -- all of it at random --------------------------------------------------------------------------------------------------------------


class Sites(RuleBasedStateMachine):
    """Any plugs, and wires and a relay that fail in any order: the limit and the minimum times hold, and nobody starves once it is over."""

    @initialize(limits=st.lists(st.sampled_from([8_000, 10_000, 16_000]), min_size=2, max_size=5), breaker_ma=st.integers(16_000, 40_000))
    def begin(self, limits: list[int], breaker_ma: int) -> None:
        self.world = world(limits, breaker_ma)

    @rule(number=st.integers(0, 4), price=st.integers(0, 10), departs_s=st.integers(-HOUR_S, 12 * HOUR_S))
    def start(self, number: int, price: int, departs_s: int) -> None:
        plug = self.plug(number)
        if not plug.wants:
            plug.wants, plug.price_per_kwh, plug.departs_at_s = True, price, self.world.now_s + departs_s

    @rule(number=st.integers(0, 4))
    def end(self, number: int) -> None:
        plug = self.plug(number)
        if plug.wants:
            plug.end()
            plug.step(self.world.now_s, 0)
            self.world.run(5)
            plug.switched.clear()  # the next session may close at once

    @rule(number=st.integers(0, 4))
    def power_cut(self, number: int) -> None:
        plug = self.plug(number)
        plug.power_cut(self.world.now_s)
        plug.switched.clear()
        self.world.disconnect(self.id(number))

    @rule(number=st.integers(0, 4), allowed=st.booleans())
    def follow_a_schedule(self, number: int, allowed: bool) -> None:
        self.plug(number).allowed = allowed

    @rule(seed=st.integers(0, 2**16))
    def fail(self, seed: int) -> None:
        flap(self.world, Random(seed))

    @rule(number=st.integers(0, 4))
    def connect(self, number: int) -> None:
        if self.id(number) not in self.world.wires:
            self.world.connect(self.id(number))

    @rule(seconds=st.sampled_from([5, 60, 600, 900, 2000]))
    def wait(self, seconds: int) -> None:
        self.world.run(seconds)

    @invariant()
    @precondition(lambda self: hasattr(self, "world"))
    def minimum_times(self) -> None:
        for plug in self.world.plugs.values():
            check_minimum_times(plug)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for plug in world.plugs.values():
            plug.allowed = plug.wants = True
            plug.energy_mj = PLENTY_MJ
        for wire in world.wires.values():
            wire.delay_s = 0
        world.run(SILENCE_S)
        world.connect(*(plug for plug in world.plugs if plug not in world.wires))
        before = [plug.delivered_mj for plug in world.plugs.values()]
        world.run(UNKNOWN_S + MIN_OFF_S + PAUSE_S + HEAVIEST * 2 * TURN_S * len(world.plugs))
        fits = [plug.limit_ma <= world.site.capacity_ma for plug in world.plugs.values()]
        got = [plug.delivered_mj > mj for plug, mj in zip(world.plugs.values(), before, strict=True)]
        assert got == fits

    def plug(self, number: int) -> Plug:
        return self.world.plugs[self.id(number)]

    def id(self, number: int) -> bytes:
        return list(self.world.plugs)[number % len(self.world.plugs)]


TestSites = Sites.TestCase
TestSites.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def test_a_day_of_real_sessions_never_exceeds_the_breaker_and_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    import bench_sites

    charges = bench_sites.busiest_day()
    assert len({charge.station for charge in charges}) == bench_sites.PLUGS
    free = bench_sites.simulate(charges, 10_000, bench_sites.PLUGS * 10_000)
    assert max(free.current_ma) > 2 * bench_sites.BREAKER_MA
    for faults, least in ((None, 0.75), (Random(1), 0.6)):
        limited = bench_sites.simulate(charges, 10_000, bench_sites.BREAKER_MA, faults)  # raises where the limit is exceeded
        assert limited.kwh > least * free.kwh
