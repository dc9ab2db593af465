"""Monotonic time, and UTC as the relay tells it from the chain's headers.

The plug has no clock of its own that a driver or host should believe. UTC never goes back within a session.
"""

import time

from micropython import const

from plug.errors import NoClock

_AHEAD_MS = const(300_000)


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

    def set_utc(self, utc, is_idle=False):
        """Take UTC seconds from the relay; return True where the clock has gone back.

        It does so only between sessions, and only where it is minutes ahead: a header is a little old when it arrives, a crystal runs away in years.
        """
        offset_ms = utc * 1000 - self.tick()
        ahead_ms = 0 if self._utc_offset_ms is None else self._utc_offset_ms - offset_ms
        if self._utc_offset_ms is None or ahead_ms < 0 or (is_idle and ahead_ms > _AHEAD_MS):
            self._utc_offset_ms = offset_ms
            return ahead_ms > 0
        return False

    @property
    def is_set(self):
        """Tell whether UTC is known."""
        return self._utc_offset_ms is not None

    def utc(self):
        """Return UTC seconds; raise NoClock before the first `set_utc`."""
        if self._utc_offset_ms is None:
            raise NoClock("the plug's clock is not set: send time first")
        return (self.tick() + self._utc_offset_ms) // 1000
