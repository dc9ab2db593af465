"""Limits that open the contactor without asking anybody: over-current, and a meter that has gone silent."""

from micropython import const

from plug.typed_data import FLAG_METER_FAULT, FLAG_TRIP

OVER_CURRENT_PERCENT = const(125)
OVER_CURRENT_MS = const(5_000)
SILENCE_MS = const(2_000)


class Guard:
    """Watches one sample after another; both methods return the receipt flag of a trip, or 0."""

    def __init__(self, rated_current_ma):
        self._limit_ma = rated_current_ma * OVER_CURRENT_PERCENT // 100
        self._over_ms = 0
        self._silent_ms = 0

    def sample(self, current_ma, elapsed_ms):
        """Take a good reading."""
        self._silent_ms = 0
        self._over_ms = self._over_ms + elapsed_ms if current_ma > self._limit_ma else 0
        return FLAG_TRIP if self._over_ms >= OVER_CURRENT_MS else 0

    def silence(self, elapsed_ms):
        """Take a reading that failed."""
        self._silent_ms += elapsed_ms
        return FLAG_METER_FAULT if self._silent_ms >= SILENCE_MS else 0
