"""Detectors by themselves: I2t against exact arithmetic, small integers only, lists of recent events."""

import gc

from guard.rig import Rig
from plug.guard import blinks
from plug.guard.history import Recent
from plug.guard.limits import I2t


def test_i2t_is_the_exact_integral_within_one_percent():
    for continuous_ma in (8_000, 10_000, 16_000):
        limit = continuous_ma * 105 // 100
        for percent in (112, 120, 125, 150, 200, 400):
            current_ma = continuous_ma * percent // 100
            exact_ms = 2_000 * limit * limit // (current_ma * current_ma - limit * limit)
            i2t = I2t(continuous_ma)
            took_ms = 10
            while not i2t.add(current_ma, 10):
                took_ms += 10
            assert abs(took_ms - exact_ms) <= exact_ms // 50 + 10, (continuous_ma, percent, took_ms, exact_ms)


def test_i2t_cools_as_it_heats():
    i2t = I2t(10_000)
    for _ in range(100):  # 12.5 A for 1 s leaves 0.42 s of excess
        i2t.add(12_500, 10)
    assert not i2t.is_cold
    for _ in range(41):
        i2t.add(0, 10)
    assert not i2t.is_cold
    i2t.add(0, 10)
    assert i2t.is_cold


def test_i2t_never_trips_at_a_duty_that_heats_no_more_than_the_limit():
    i2t = I2t(10_000)
    for _ in range(200):
        for current_ma, ms in ((12_500, 4_000), (0, 1_700)):
            for _ in range(ms // 100):
                assert not i2t.add(current_ma, 100)


def test_quiet_samples_allocate_nothing():
    for closed in (False, True):
        rig = Rig()
        rig.run(3_000)
        if closed:
            rig.close(9_000)
        rig.run(500)
        guard, meter, now_ms = rig.guard, rig.meter, rig.now_ms
        guard.sample(now_ms + 10, meter)
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for i in range(2, 8):  # between two slow turns
            guard.sample(now_ms + 10 * i, meter)
        used = gc.mem_alloc() - before
        gc.enable()
        assert used == 0, (closed, used)


def test_recent_counts_what_lies_in_the_window():
    recent = Recent(3, 1_000, 0)
    for now_ms, is_full in ((0, False), (400, False), (900, True), (999, True)):
        if now_ms != 999:
            recent.add(now_ms)
        assert recent.is_full(now_ms) == is_full
    assert not recent.is_full(1_000)
    assert len(recent) == 2


def test_recent_takes_an_earlier_run_for_now():
    recent = Recent(3, 1_000, 9)
    assert len(recent) == 3
    assert recent.is_full(5_000)
    assert recent.is_full(5_999)
    assert not recent.is_full(6_000)


def test_every_code_blinks():
    assert [blinks(code) for code in ("overload", "brown_out", "temperature_sensor", "weld", "meter_silent", "of a newer version")] == [
        1,
        2,
        3,
        4,
        5,
        5,
    ]
