"""The contactor's coil together with the current through its contacts: when not to open at once, and what an opening costs.

Coil first: whatever opens drives the pin before it counts or formats anything.
"""

from micropython import const

from plug.guard.limits import NEVER

LOW_MA = const(1_000)  # opening at this or below wears nothing
_HOLD_MS = const(100)  # what the upstream breaker gets
_QUIET_MS = const(30)  # a period and a half without a report, which come every half period: the breaker has done it


def peak_to_rms(peak_ma):
    """Return the rms value of a sine of that peak."""
    return peak_ma * 707 // 1_000


class Coil:
    """Drives the contactor; counts openings under load in the history."""

    def __init__(self, contactor, limits, history):
        contactor.open()
        self._contactor = contactor
        self._breaking_ma = limits.get("breaking_capacity_ma", NEVER)
        self._history = history
        self._quiet_ms = 0
        self._is_reported = False  # since the last sample
        self.hold_ms = 0  # what is left of a hold, 0 while there is none
        self.current_ma = None  # newest rms, None while nobody knows

    @property
    def is_driven(self):
        """Tell whether the coil is driven."""
        return self._contactor.closed

    def drive(self):
        """Close."""
        self._contactor.close()

    def release(self, is_loaded=False):
        """Open, whatever the current. An unknown current counts as load."""
        was_driven = self._contactor.closed
        self._contactor.open()
        self.hold_ms = 0
        if was_driven and (is_loaded or self.current_ma is None or self.current_ma > LOW_MA):
            self._history.count_wear()

    def trip(self):
        """Open at once, but above the breaking capacity, where the contacts would weld or burst, hold for the upstream breaker."""
        if self.hold_ms:
            return
        if self._contactor.closed and self._is_beyond_breaking():
            self.hold_ms = _HOLD_MS
            self._quiet_ms = 0
        else:
            self.release()

    def report(self, peak_ma):
        """Take the metering IC's report of an over-current; a hold goes on, or ends when the peak is within the breaking capacity."""
        self._quiet_ms = 0
        self._is_reported = True
        if peak_ma is not None:
            self.current_ma = peak_to_rms(peak_ma)
            if self.hold_ms and not self._is_beyond_breaking():
                self.release()

    def hold(self, elapsed_ms):
        """Go on with a hold: it ends after 100 ms, or a period without a report and without such a reading (which lags behind)."""
        self.hold_ms -= elapsed_ms
        quiet_ms = self._quiet_ms + elapsed_ms
        if self._is_reported and quiet_ms > _QUIET_MS // 2:
            quiet_ms = _QUIET_MS // 2  # a sample that came late: how much of it was after the report, nobody knows
        self._is_reported = False
        self._quiet_ms = 0 if self._is_beyond_breaking() else quiet_ms
        if self.hold_ms <= 0 or self._quiet_ms >= _QUIET_MS:
            self.release(is_loaded=True)

    def _is_beyond_breaking(self):
        return self.current_ma is not None and self.current_ma > self._breaking_ma
