"""Registry.equivocate: what a plug must not sign costs its host the bond, and nothing that an honest plug signs does."""

import boa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BOND = 10**18
ZERO_ADDRESS = "0x" + "00" * 20
FINAL = 1


@pytest.fixture(scope="session")
def report(registry, actors):
    """Return a function with which a stranger reports two halves of an equivocation."""

    def report(earlier, later, sender=None):
        registry.equivocate(*earlier, *later, sender=sender or actors.stranger)

    return report


@pytest.fixture
def overlap(make_evidence):
    """Return two sessions of one plug that both bill the energy from 1500 to 3000 Wh."""
    return make_evidence(registerWh=1000, energyWh=2000), make_evidence(of={"nonce": 2}, registerWh=1500, energyWh=2500)


def test_a_tenth_goes_to_the_reporter_and_the_rest_to_nobody(registry, report, overlap, bonded, actors):
    before = boa.env.get_balance(actors.stranger)
    report(*overlap)
    retired, event = registry.get_logs()
    assert (retired.plug, retired.successor) == (bonded.address, ZERO_ADDRESS)
    assert (event.plug, event.host, event.reporter) == (bonded.address, actors.host, actors.stranger)
    assert (event.reward, event.burnt) == (BOND // 10, BOND - BOND // 10)
    assert boa.env.get_balance(actors.stranger) == before + BOND // 10
    assert boa.env.get_balance(registry.address) == BOND - BOND // 10
    assert registry.bond_of(bonded.address, actors.host) == 0
    assert registry.is_retired(bonded.address)
    assert registry.host_of(bonded.address) == ZERO_ADDRESS


def test_of_a_p256_plug(registry, enrol, report, make_evidence, actors):
    enrol(actors.p256_plug, actors.host)
    registry.post_bond(actors.p256_plug.address, value=BOND, sender=actors.host)
    report(make_evidence(actors.p256_plug), make_evidence(actors.p256_plug, of={"nonce": 2}))
    assert registry.bond_of(actors.p256_plug.address, actors.host) == 0


def test_a_bond_under_a_wei_for_the_reporter_is_burnt(registry, report, overlap, enrolled, actors):
    registry.post_bond(enrolled.address, value=9, sender=actors.host)
    report(*overlap)
    assert boa.env.get_balance(registry.address) == 9


def test_without_a_bond_the_plug_is_retired(registry, report, overlap, enrolled):
    report(*overlap)
    assert registry.is_retired(enrolled.address)


def test_there_is_one_punishment(report, overlap, bonded):
    report(*overlap)
    with boa.reverts("no_bond"):
        report(*overlap)


def test_the_bond_can_be_lost_until_it_is_gone(registry, report, overlap, bonded, actors):
    registry.request_exit(bonded.address, sender=actors.host)
    boa.env.timestamp += registry.EXIT_DELAY()
    report(*overlap)
    with boa.reverts("too_early"):
        registry.exit(bonded.address, actors.host, sender=actors.host)


@pytest.mark.parametrize("change", [{"registerWh": 1001}, {"registerWh": 999}, {"startedAt": 1_772_374_851}], ids=["above", "below", "time"])
def test_one_session_starts_once(registry, report, make_evidence, bonded, actors, change):
    """The time in `change` is a second after make_receipt's."""
    report(make_evidence(), make_evidence(**change))
    assert registry.bond_of(bonded.address, actors.host) == 0


@pytest.mark.parametrize(
    "changes",
    [{"energyWh": 3000, "asOf": 1_772_380_000, "activeSeconds": 5000, "sequence": 2}, {"flags": FINAL}, {"evidence": bytes(32)}, {}],
    ids=["more energy", "final", "other record", "the same"],
)
def test_the_totals_of_a_session_may_differ(report, make_evidence, bonded, changes):
    for pair in ((make_evidence(), make_evidence(**changes)), (make_evidence(**changes), make_evidence())):
        with boa.reverts("no_contradiction"):
            report(*pair)


@pytest.mark.parametrize("start", [3000, 3001, 10**6])
def test_sessions_may_touch(report, make_evidence, bonded, start):
    later = make_evidence(of={"nonce": 2}, registerWh=start)
    with boa.reverts("no_contradiction"):
        report(make_evidence(registerWh=1000, energyWh=2000), later)


@pytest.mark.parametrize("start", [1000, 1001, 2000, 2999, 3000])
def test_a_session_without_energy_overlaps_nothing(report, make_evidence, bonded, start):
    later = make_evidence(of={"nonce": 2}, registerWh=start, energyWh=0)
    with boa.reverts("no_contradiction"):
        report(make_evidence(registerWh=1000, energyWh=2000), later)


@pytest.mark.parametrize(("start", "energy"), [(2999, 1), (2999, 10**6), (1000, 2000), (0, 1001), (1500, 1), (0, 2**64 - 1)])
def test_one_watt_hour_is_enough(registry, report, make_evidence, bonded, actors, start, energy):
    report(make_evidence(registerWh=1000, energyWh=2000), make_evidence(of={"nonce": 2}, registerWh=start, energyWh=energy))
    assert registry.bond_of(bonded.address, actors.host) == 0


def test_the_largest_numbers_do_not_overflow(registry, report, make_evidence, bonded, actors):
    largest = {"registerWh": 2**64 - 1, "energyWh": 2**64 - 1}
    report(make_evidence(**largest), make_evidence(of={"nonce": 2}, **largest))
    assert registry.bond_of(bonded.address, actors.host) == 0


def test_the_host_of_the_later_session_answers(registry, enrol, report, make_evidence, bonded, actors):
    enrol(bonded, actors.other_host, epoch=2)
    registry.post_bond(bonded.address, value=7, sender=actors.other_host)
    before = make_evidence()
    after = make_evidence(of={"nonce": 2, "host": actors.other_host}, startedAt=1_772_375_850)
    with boa.reverts("bad_order"):
        report(after, before)
    report(before, after)
    assert registry.bond_of(bonded.address, actors.host) == BOND
    assert registry.bond_of(bonded.address, actors.other_host) == 0


def test_a_host_answers_for_what_was_signed_before_the_plug_moved(registry, enrol, report, overlap, bonded, actors):
    enrol(bonded, actors.other_host, epoch=2)
    report(*overlap)
    assert registry.bond_of(bonded.address, actors.host) == 0


def test_and_before_the_key_was_retired(registry, retire, report, overlap, bonded, actors):
    retire(bonded, actors.other_plug.address)
    report(*overlap)
    assert registry.bond_of(bonded.address, actors.host) == 0
    assert registry.successor_of(bonded.address) == actors.other_plug.address


def test_two_plugs_may_count_the_same(report, make_evidence, bonded, actors):
    with boa.reverts("other_plug"):
        report(make_evidence(actors.other_plug), make_evidence())


def test_each_receipt_belongs_to_its_voucher(report, make_evidence, overlap, bonded):
    first, second = overlap
    crossed = (second[0], *first[1:])
    for pair in ((crossed, second), (first, (first[0], *second[1:]))):
        with boa.reverts("wrong_session"):
            report(*pair)


@pytest.mark.parametrize("half", [0, 1])
def test_both_receipts_are_the_plugs(report, make_evidence, overlap, bonded, actors, sign, half):
    pair = list(overlap)
    voucher, receipt, signature = pair[half]
    pair[half] = (voucher, receipt, signature[:64] + bytes([1 - signature[64]]))
    with boa.reverts("bad_signature"):
        report(*pair)


def test_a_reporter_that_cannot_receive_reports_from_elsewhere(registry, overlap, bonded):
    reporter = boa.loads(REFUSING_REPORTER)
    first, second = overlap
    data = registry.equivocate.prepare_calldata(*first, *second)
    with boa.reverts("not_received"):
        reporter.run(registry.address, data)
    assert not registry.is_retired(bonded.address)


@pytest.mark.parametrize("again", ["the same", "another plug"])
def test_a_reporter_that_calls_again_gets_nothing_more(registry, enrol, make_evidence, overlap, bonded, actors, again):
    enrol(actors.other_plug, actors.host)
    registry.post_bond(actors.other_plug.address, value=BOND, sender=actors.host)
    other = make_evidence(actors.other_plug), make_evidence(actors.other_plug, of={"nonce": 2})
    (first, second), (third, fourth) = overlap, overlap if again == "the same" else other
    reporter = boa.loads(GREEDY_REPORTER)
    reporter.run(registry.address, registry.equivocate.prepare_calldata(*first, *second), registry.equivocate.prepare_calldata(*third, *fourth))
    assert reporter.was_paid()
    assert not reporter.reentered()
    assert boa.env.get_balance(reporter.address) == BOND // 10


REFUSING_REPORTER = """
@external
def run(target: address, data: Bytes[4096]):
    raw_call(target, data)
"""

GREEDY_REPORTER = """
was_paid: public(bool)
reentered: public(bool)
target: address
data: Bytes[4096]

@external
def run(target: address, data: Bytes[4096], again: Bytes[4096]):
    self.target = target
    self.data = again
    raw_call(target, data)

@external
@payable
def __default__():
    self.was_paid = True
    self.reentered = raw_call(self.target, self.data, revert_on_failure=False)
"""

few_wh = st.integers(0, 6)


@settings(max_examples=60, deadline=None)
@given(a=st.tuples(few_wh, few_wh), b=st.tuples(few_wh, few_wh))
def test_sessions_contradict_each_other_where_they_share_a_watt_hour(registry, report, make_evidence, a, b):
    first, second = (make_evidence(of={"nonce": n}, registerWh=start, energyWh=energy) for n, (start, energy) in enumerate((a, b)))
    shared = set(range(a[0], sum(a))) & set(range(b[0], sum(b)))
    with boa.env.anchor():
        if shared:
            report(first, second)
        else:
            with boa.reverts("no_contradiction"):
                report(first, second)


sizes_mwh = st.lists(st.integers(0, 5_000), min_size=1, max_size=8)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), sessions=st.lists(st.tuples(sizes_mwh, st.integers(0, 12_000)), min_size=2, max_size=4), register_mwh=st.integers(0, 10_000))
def test_an_honest_plug_cut_at_any_instant_is_never_slashable(report, make_evidence, data, sessions, register_mwh):
    """A plug whose register loses what came after its newest sample, but never what a receipt rests on; docs/protocol.md, section 1."""
    signed, now, at = [], register_mwh, boa.env.timestamp
    for number, (pieces_mwh, lost_mwh) in enumerate(sessions):
        start_wh, started_at, of = -(-now // 1000), at, {"nonce": number, "issuedAt": at, "validUntil": at + 86_400}
        sampled = now
        for sequence, piece in enumerate(pieces_mwh):
            now, at = now + piece, at + 60
            if data.draw(st.booleans()):
                sampled = now
                energy_wh = max(0, now // 1000 - start_wh)
                signed.append(make_evidence(of=of, startedAt=started_at, asOf=at, sequence=sequence, registerWh=start_wh, energyWh=energy_wh))
        now = max(sampled, now - lost_mwh)
    for i, first in enumerate(signed):
        for second in signed[i:]:
            with boa.reverts("no_contradiction"):
                report(first, second)
