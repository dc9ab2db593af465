"""Monotonic time, and UTC as the relay tells it from the chain's headers.

The plug has no clock of its own that a driver or host should believe. UTC never goes back: a header is a little old when it arrives.
"""

import time

from plug.errors import NoClock


class Clock:
    """Counts milliseconds since boot beyond the wrap of ticks_ms; `tick` must run at least once in six days."""

    def __init__(self):
        self._ticks = time.ticks_ms()
        self._uptime_ms = 0
        self._utc_offset_ms = None

    def tick(self):
        """Return milliseconds since boot."""
        ticks = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._uptime_ms

    def set_utc(self, utc):
        """Take UTC seconds from the relay; an earlier time than ours changes nothing."""
        offset_ms = utc * 1000 - self.tick()
        if self._utc_offset_ms is None or offset_ms > self._utc_offset_ms:
            self._utc_offset_ms = offset_ms

    @property
    def is_set(self):
        """Tell whether UTC is known."""
        return self._utc_offset_ms is not None

    def utc(self):
        """Return UTC seconds; raise NoClock before the first `set_utc`."""
        if self._utc_offset_ms is None:
            raise NoClock("the plug's clock is not set: send time first")
        return (self.tick() + self._utc_offset_ms) // 1000
