"""The plug switch on a fake pin."""

import sys


class Pin:
    IN = 1
    level = 1

    def __init__(self, number, mode):
        assert (number, mode) == (39, Pin.IN)

    def value(self):
        return Pin.level


class FakeMachine:
    Pin = Pin


sys.modules["machine"] = FakeMachine
from plug.drivers.plug_switch import PlugSwitch  # noqa: E402


def looked(switch, levels, began_ms=0):
    """Look every 50 ms while the pin has these levels; return what is believed after each."""
    believed = []
    for number, level in enumerate(levels):
        Pin.level = level
        switch.look(began_ms + 50 * number)
        believed.append(switch.is_plugged)
    return believed


def test_low_for_400_ms_is_a_plug_and_high_is_none():
    Pin.level = 1
    switch = PlugSwitch(39)
    assert not switch.is_plugged
    assert looked(switch, [0] * 10) == [False] * 8 + [True] * 2
    assert looked(switch, [1] * 10, 1_000) == [True] * 8 + [False] * 2


def test_what_it_shows_at_boot_is_believed():
    Pin.level = 0
    assert PlugSwitch(39).is_plugged


def test_bounces_are_nothing():
    Pin.level = 0
    switch = PlugSwitch(39)
    assert looked(switch, [1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1]) == [True] * 15
