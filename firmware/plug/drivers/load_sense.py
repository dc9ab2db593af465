"""The isolated detectors behind the contacts: one pin a pole, LOW while the load side of that pole is live.

The line's detector looks from the load side's line to the supply's neutral, the neutral's from the load side's neutral to the supply's line. So
each sees its own pole, whatever the load connects; and both need the supply to be live.
"""

from machine import Pin


class LoadSense:
    """Two inputs by their GPIO numbers; the board pulls them up (an ESP32's pins 34 to 39 have no pull of their own)."""

    def __init__(self, line_pin, neutral_pin):
        self._line = Pin(line_pin, Pin.IN)
        self._neutral = Pin(neutral_pin, Pin.IN)

    def read(self):
        """Return bit 0 for a live line and bit 1 for a live neutral."""
        return (1 - self._line.value()) | (1 - self._neutral.value()) << 1
