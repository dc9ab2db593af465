"""The switch in the socket that a plug presses: LOW while one is in."""

from machine import Pin
from micropython import const

_STEADY_MS = const(400)


class PlugSwitch:
    """The input on GPIO number `pin`; `is_plugged` is what it has shown without a break for 400 ms."""

    def __init__(self, pin):
        self._pin = Pin(pin, Pin.IN)
        self.is_plugged = self._pin.value() == 0
        self._changed_ms = None

    def look(self, now_ms):
        """Look at the pin; to be called a few times a second."""
        is_low = self._pin.value() == 0
        if is_low == self.is_plugged:
            self._changed_ms = None
        elif self._changed_ms is None:
            self._changed_ms = now_ms
        elif now_ms - self._changed_ms >= _STEADY_MS:
            self.is_plugged = is_low
            self._changed_ms = None
