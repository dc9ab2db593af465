"""What the meter's readings may not exceed: current over time, and the window of voltage and frequency.

Everything stays within 31 bits, MicroPython's small integers on a 32-bit chip: nothing here allocates.
"""

from micropython import const

from plug.guard.codes import FREQUENCY, OVER_VOLTAGE, UNDER_VOLTAGE

NEVER = const(1_000_000_000)  # a limit that no reading reaches; still a small integer

_TOLERANCE_PERCENT = const(105)  # of the meter and of a car that regulates to the limit
_ONE = const(1024)  # fixed point of the squared ratio
_LARGEST_RATIO = const(8 * 1024)
_BUDGET = const(2_000 * 1024)  # ms of excess

_OVER_MS = const(500)
_UNDER_MS = const(2_000)
_FREQUENCY_MS = const(1_000)
_GONE_MS = const(60)
_HEALTHY_MS = const(1_000)
_ENOUGH_MS = const(1_000_000)  # where counting good time stops


class I2t:
    """Heat above what the continuous current makes: adds ((I / 1.05 I_continuous)^2 - 1) dt, and loses it the same way below."""

    def __init__(self, continuous_ma):
        self._limit_ma = continuous_ma * _TOLERANCE_PERCENT // 100
        self._spent = 0

    def add(self, current_ma, elapsed_ms):
        """Take a reading; return whether the budget of 2 s is spent."""
        ratio = current_ma * _ONE // self._limit_ma
        if ratio > _LARGEST_RATIO:
            ratio = _LARGEST_RATIO
        spent = self._spent + ((ratio * ratio // _ONE) - _ONE) * elapsed_ms
        self._spent = 0 if spent < 0 else _BUDGET if spent > _BUDGET else spent
        return spent >= _BUDGET

    @property
    def is_cold(self):
        """Tell whether all of it has gone again."""
        return self._spent == 0


class Mains:
    """Voltage and frequency against the board's window. A limit that is absent is off."""

    def __init__(self, limits):
        self._over_mv = limits.get("over_voltage_mv", NEVER)
        self._under_mv = limits.get("under_voltage_mv", 0)
        self._gone_mv = self._under_mv * 6 // 10  # about half of nominal
        self._min_mhz = limits.get("frequency_min_mhz", 0)
        self._max_mhz = limits.get("frequency_max_mhz", NEVER)
        self._needs_voltage = "over_voltage_mv" in limits or "under_voltage_mv" in limits
        self._needs_frequency = "frequency_min_mhz" in limits or "frequency_max_mhz" in limits
        self._over_ms = self._under_ms = self._frequency_ms = self._gone_ms = -1  # -1: it is not so
        self.good_ms = 0  # without a break
        self.is_known = False  # the meter gives what the limits need

    @property
    def is_healthy(self):
        """Tell whether everything has been within its limits for a second."""
        return self.good_ms >= _HEALTHY_MS

    @property
    def is_gone(self):
        """Tell whether there has been next to no voltage for 60 ms."""
        return self._gone_ms >= _GONE_MS

    def sample(self, meter, elapsed_ms):
        """Take a reading; return the code of the limit that has been exceeded for its time, or None."""
        voltage_mv = meter.voltage_mv
        self.is_known = meter.is_live and not (voltage_mv is None and self._needs_voltage)
        if not self.is_known:
            self.good_ms = 0
            return None
        frequency_mhz = meter.frequency_mhz
        if (not self._needs_voltage or self._under_mv <= voltage_mv <= self._over_mv) and (
            not self._needs_frequency or (frequency_mhz is not None and self._min_mhz <= frequency_mhz <= self._max_mhz)
        ):
            if self.good_ms == 0:
                self._over_ms = self._under_ms = self._frequency_ms = self._gone_ms = -1
            if self.good_ms < _ENOUGH_MS:
                self.good_ms += elapsed_ms
            return None
        self.good_ms = 0
        return self._exceeded(voltage_mv, elapsed_ms)

    def _exceeded(self, voltage_mv, elapsed_ms):
        over = under = gone = False
        if self._needs_voltage:
            over, under, gone = voltage_mv > self._over_mv, voltage_mv < self._under_mv, voltage_mv < self._gone_mv
        self._over_ms = _longer(self._over_ms, over, elapsed_ms)
        self._under_ms = _longer(self._under_ms, under, elapsed_ms)
        self._gone_ms = _longer(self._gone_ms, gone, elapsed_ms)
        # Without voltage an IC makes up a frequency. What is neither over nor under got here by its frequency.
        self._frequency_ms = _longer(self._frequency_ms, not over and not under, elapsed_ms)
        if self._over_ms >= _OVER_MS:
            return OVER_VOLTAGE
        if self._under_ms >= _UNDER_MS:
            return UNDER_VOLTAGE
        if self._frequency_ms >= _FREQUENCY_MS:
            return FREQUENCY
        return None


def _longer(ms, is_so, elapsed_ms):
    """Return how long it has been so, from the first reading on that said it; -1 when it is not."""
    if not is_so:
        return -1
    return 0 if ms < 0 else ms if ms > _ENOUGH_MS else ms + elapsed_ms
