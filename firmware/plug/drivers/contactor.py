"""The contactor's coil on one output pin. Open is the safe state; the board pulls the pin to open while the chip boots."""

from machine import Pin


class Contactor:
    """The output on GPIO number `pin`. The constructor opens it: level and direction are set at once, so it cannot blip.

    `closed` tells whether the coil is driven; the contacts follow some milliseconds later, unless they are welded.
    """

    def __init__(self, pin, active_high=True):
        self._open_level = 0 if active_high else 1
        self._pin = Pin(pin, Pin.OUT, value=self._open_level)
        self.closed = False

    def open(self):
        """Open the contacts; harmless when they are."""
        self._pin.value(self._open_level)
        self.closed = False

    def close(self):
        """Close the contacts."""
        self.closed = True
        self._pin.value(1 - self._open_level)
