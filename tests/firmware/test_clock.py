"""UTC as the relay tells it: forward always, back only between sessions and by minutes."""

from plug import clock as module
from plug.clock import Clock
from plug.errors import NoClock
from run_in_micropython import raises

NOW = 1_790_000_000
PERIOD = 1 << 30  # of the ticks on an ESP32


def test_utc_is_unknown_until_it_is_told():
    clock = Clock()
    assert not clock.is_set
    raises(NoClock, clock.utc)
    assert clock.set_utc(NOW) is False
    assert clock.is_set
    assert NOW <= clock.utc() <= NOW + 1


def test_it_goes_forward_and_in_a_session_never_back():
    clock = Clock()
    clock.set_utc(NOW)
    clock.set_utc(NOW + 1000)
    assert clock.utc() >= NOW + 1000
    assert clock.set_utc(NOW - 10_000) is False
    assert clock.utc() >= NOW + 1000


def test_between_sessions_minutes_are_taken_back_and_a_header_that_is_a_little_old_is_not():
    clock = Clock()
    clock.set_utc(NOW)
    assert clock.set_utc(NOW - 200, True) is False
    assert clock.utc() >= NOW
    assert clock.set_utc(NOW - 400, True) is True
    assert NOW - 400 <= clock.utc() < NOW


def test_milliseconds_go_on_past_the_wrap_of_the_ticks():
    class Time:
        ticks = PERIOD - 1000

        @staticmethod
        def ticks_ms():
            return Time.ticks

        @staticmethod
        def ticks_diff(end, start):
            return (end - start + PERIOD // 2) % PERIOD - PERIOD // 2

    real, module.time = module.time, Time
    try:
        clock = Clock()
        begin = clock.tick()
        for _ in range(6):
            Time.ticks = (Time.ticks + (1 << 28) - 1) % PERIOD
            clock.tick()
        assert clock.tick() - begin == 6 * ((1 << 28) - 1)
    finally:
        module.time = real
