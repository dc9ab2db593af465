"""The switch in the socket that a plug presses: LOW while one is in."""

from machine import Pin
from micropython import const

_LOOKS = const(3)  # in a row before a change counts


class PlugSwitch:
    """The input on GPIO number `pin`, to be looked at a few times a second; `is_plugged` is what it has shown for three looks."""

    def __init__(self, pin):
        self._pin = Pin(pin, Pin.IN)
        self._looks = 0
        self.is_plugged = self._pin.value() == 0

    def look(self):
        """Read the switch."""
        is_plugged = self._pin.value() == 0
        self._looks = 0 if is_plugged == self.is_plugged else self._looks + 1
        if self._looks >= _LOOKS:
            self._looks = 0
            self.is_plugged = is_plugged
