"""The contactor on a recording pin: stock unix ports have no machine.Pin."""

import sys


class Pin:
    OUT = 3
    levels = ()  # what the output has been driven to

    def __init__(self, number, mode, *, value):
        assert mode == Pin.OUT
        self.number = number
        Pin.levels = (value,)

    def value(self, level):
        Pin.levels += (level,)


class FakeMachine:
    Pin = Pin


sys.modules["machine"] = FakeMachine
from plug.drivers.contactor import Contactor  # noqa: E402


def test_the_constructor_opens_at_once_and_drives_nothing_else():
    for active_high, open_level in ((True, 0), (False, 1)):
        contactor = Contactor(25, active_high)
        assert Pin.levels == (open_level,)
        assert not contactor.closed


def test_close_and_open():
    for active_high, levels in ((True, (0, 1, 0)), (False, (1, 0, 1))):
        contactor = Contactor(25, active_high)
        contactor.close()
        assert contactor.closed
        contactor.open()
        assert not contactor.closed
        assert Pin.levels == levels


def test_open_is_repeated_on_the_pin():
    contactor = Contactor(25)
    contactor.open()
    assert Pin.levels == (0, 0)
