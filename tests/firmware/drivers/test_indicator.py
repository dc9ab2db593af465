"""What a person sees of the LED, read off a recording pin."""

import sys


class Pin:
    OUT = 3
    level = None
    writes = 0

    def __init__(self, number, mode, *, value):
        assert (number, mode) == (26, Pin.OUT)
        Pin.level = value

    def value(self, level):
        Pin.level = level
        Pin.writes += 1


class FakeMachine:
    Pin = Pin


sys.modules["machine"] = FakeMachine
from plug.drivers import indicator  # noqa: E402


def seen(led, ms=4_000, on=1):
    """Return how long it was on and off in turn, in ms, beginning with on; a steady LED gives one number."""
    times = []
    was_on = None
    for now_ms in range(0, ms, 10):
        led.tick(now_ms)
        is_on = Pin.level == on
        if is_on != was_on:
            times.append(0)
            was_on = is_on
        times[-1] += 10
    return times


def shown(meaning, blinks=0, **rest):
    led = indicator.Indicator(26, **rest)
    led.show(meaning, blinks)
    return led


def test_patterns():
    assert seen(shown(indicator.IDLE)) == [100, 1_900, 100, 1_900]
    assert seen(shown(indicator.NO_LINK)) == [100, 200, 100, 1_600] * 2
    assert seen(shown(indicator.AUTHORISED)) == [500, 500] * 4
    assert seen(shown(indicator.CHARGING)) == [4_000]
    assert seen(shown(indicator.WAITING)) == [1_800, 200] * 2
    assert seen(indicator.Indicator(26), 400) == [100] * 4  # boot, unasked


def test_trip_blinks_its_number_and_pauses():
    assert seen(shown(indicator.TRIP, 1), 3_000) == [200, 1_300] * 2
    assert seen(shown(indicator.TRIP, 3), 5_000) == [200, 300, 200, 300, 200, 1_300] * 2


def test_it_is_dark_from_the_start_and_active_low_works():
    indicator.Indicator(26)
    assert Pin.level == 0
    led = shown(indicator.IDLE, active_high=False)
    assert Pin.level == 1
    assert seen(led, on=0) == [100, 1_900, 100, 1_900]


def test_another_meaning_shows_at_once_and_the_same_goes_on():
    led = shown(indicator.IDLE)
    for now_ms in range(0, 500, 10):
        led.tick(now_ms)
    led.show(indicator.CHARGING)
    led.tick(500)
    assert Pin.level == 1
    led.show(indicator.IDLE)
    for now_ms in range(510, 10_000, 10):
        led.show(indicator.IDLE)
        led.tick(now_ms)
    assert Pin.level == 0


def test_a_pin_is_written_only_when_it_changes():
    led = shown(indicator.CHARGING)
    Pin.writes = 0
    seen(led)
    assert Pin.writes == 1
