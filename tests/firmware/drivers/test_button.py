"""The button on a fake pin."""

import sys


class Pin:
    IN, PULL_UP = 1, 2
    level = 1

    def __init__(self, number, mode, pull):
        assert (number, mode, pull) == (27, Pin.IN, Pin.PULL_UP)

    def value(self):
        return Pin.level


class FakeMachine:
    Pin = Pin


sys.modules["machine"] = FakeMachine
from plug.drivers.button import LONG_PRESS, PRESS, Button  # noqa: E402


class Finger:
    """Plays levels and collects [(ms, event)]."""

    def __init__(self, level=1):
        self.button = Button(27)
        self.now_ms = 0
        self.events = []
        self.hold(level, 200)

    def hold(self, level, ms):
        Pin.level = level
        for _ in range(ms // 10):
            self.now_ms += 10
            event = self.button.tick(self.now_ms)
            if event:
                self.events.append((self.now_ms, event))
        return self


def test_a_press_is_told_when_it_is_let_go():
    finger = Finger().hold(0, 300)
    assert finger.events == []
    finger.hold(1, 100)
    assert [event for _, event in finger.events] == [PRESS]


def test_bounces_and_short_noise_are_nothing():
    finger = Finger()
    for _ in range(20):
        finger.hold(0, 40).hold(1, 30)
    assert finger.events == []
    for _ in range(5):
        finger.hold(0, 20).hold(1, 20)
    finger.hold(0, 300)
    for _ in range(5):
        finger.hold(1, 20).hold(0, 20)
    finger.hold(1, 300)
    assert [event for _, event in finger.events] == [PRESS]


def test_a_long_press_is_told_after_five_seconds_and_only_then():
    finger = Finger().hold(0, 5_000)
    assert finger.events == []
    finger.hold(0, 60_000).hold(1, 500)
    assert finger.events == [(5_210, LONG_PRESS)]
    finger.hold(0, 4_900).hold(1, 500)
    assert [event for _, event in finger.events] == [LONG_PRESS, PRESS]


def test_a_button_that_is_held_at_boot_says_nothing_until_it_was_let_go():
    finger = Finger(level=0).hold(0, 60_000).hold(1, 500)
    assert finger.events == []
    finger.hold(0, 300).hold(1, 300)
    assert [event for _, event in finger.events] == [PRESS]
