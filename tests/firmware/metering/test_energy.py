"""The energy register against big integers, over walks from fixed seeds."""

from plug.board import METER
from plug.metering.energy import EnergyRegister
from run_in_micropython import raises

NUM, DEN = METER["energy_mwh_numerator"], METER["energy_mwh_denominator"]


def walk(seed, length):
    """Yield counts: a linear congruential generator, so that both ports see the same."""
    for _ in range(length):
        seed = (seed * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        yield (seed >> 8) % 60_001 - 5_000


def test_walks_equal_the_exact_sums():
    for seed in (1, 2, 3, 2_026):
        register = EnergyRegister(1_000_000_000_000, NUM, DEN)
        forward = reverse = 0
        for counts in walk(seed, 3_000):
            register.add(counts)
            if counts > 0:
                forward += counts
            else:
                reverse -= counts
            assert register.total_mwh == 1_000_000_000_000 + forward * NUM // DEN
            assert register.reverse_mwh == reverse * NUM // DEN


def test_single_counts_lose_nothing():
    register = EnergyRegister(0, NUM, DEN)
    for _ in range(100_000):
        register.add(1)
    assert register.total_mwh == 100_000 * NUM // DEN == 2_078


def test_a_day_of_full_power_is_exact():
    register = EnergyRegister(0, NUM, DEN)
    for _ in range(24 * 60):
        register.add(1_843_936)
    assert register.total_mwh == 24 * 60 * 1_843_936 * NUM // DEN == 55_199_993


def test_the_total_never_decreases():
    register = EnergyRegister(500, 1, 2)
    for counts in (3, -1_000, 0, -1, 1):
        before = register.total_mwh
        register.add(counts)
        assert register.total_mwh >= before
    assert (register.total_mwh, register.reverse_mwh) == (502, 500)


def test_rounding_is_down_in_both_directions():
    register = EnergyRegister(0, 1, 3)
    register.add(2)
    register.add(-2)
    assert (register.total_mwh, register.reverse_mwh) == (0, 0)
    register.add(1)
    register.add(-1)
    assert (register.total_mwh, register.reverse_mwh) == (1, 1)


def test_wh_is_rounded_for_the_end_and_for_the_start():
    for total_mwh, floor, ceil in ((0, 0, 0), (1, 0, 1), (999, 0, 1), (1_000, 1, 1), (1_001, 1, 2), (10**15 + 1, 10**12, 10**12 + 1)):
        register = EnergyRegister(total_mwh, NUM, DEN)
        assert (register.wh_floor(), register.wh_ceil()) == (floor, ceil)


def test_a_negative_total_or_ratio_is_refused():
    for arguments in ((-1, NUM, DEN), (0, 0, 1), (0, 1, 0), (0, -1, 1)):
        raises(ValueError, EnergyRegister, *arguments)
