"""The load sense on fake inputs: stock unix ports have no machine.Pin."""

import sys


class Pin:
    IN = 1
    levels = None  # of the pins by number

    def __init__(self, number, mode):
        assert mode == Pin.IN
        self.number = number

    def value(self):
        return Pin.levels[self.number]


class FakeMachine:
    Pin = Pin


sys.modules["machine"] = FakeMachine
from plug.drivers.load_sense import LoadSense  # noqa: E402


def test_low_is_live_and_each_pole_has_its_bit():
    sense = LoadSense(35, 36)
    for line, neutral, bits in ((1, 1, 0), (0, 1, 1), (1, 0, 2), (0, 0, 3)):
        Pin.levels = {35: line, 36: neutral}
        assert sense.read() == bits
