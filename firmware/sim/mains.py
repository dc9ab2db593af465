"""The mains: nominal voltage and frequency, slow wander and noise, dips, and the phase of the sine."""

from math import pi, sin

STEP_MS = 1000  # the voltage is constant within each, but for a dip
_WANDER, _WANDER_PERIOD_S = 0.005, 600
_FLICKER = 0.001
_MAX_MV = 300_000
_MIN_MHZ, _MAX_MHZ = 40_000, 70_000


class Mains:
    """`voltage_v` is the rms voltage now, `frequency_mhz` the frequency. Raises ValueError for what is out of range."""

    def __init__(self, settings):
        self.voltage_v = 0.0
        self._normal_v = 0.0  # what it is without a dip
        self._dip_v = None
        self._phase, self._phase_us = 0.0, 0  # a phase in turns, and when it was that
        self.frequency_mhz = 0
        self._hz = 0.0
        self.set_voltage(settings["voltage_mv"])
        self.set_frequency(settings["frequency_mhz"], 0)

    def check(self, voltage_mv=None, frequency_mhz=None):
        """Raise ValueError for what is out of range."""
        if voltage_mv is not None and not 0 <= voltage_mv <= _MAX_MV:
            raise ValueError(f"voltage_mv must be 0 to {_MAX_MV}, not {voltage_mv}")
        if frequency_mhz is not None and not _MIN_MHZ <= frequency_mhz <= _MAX_MHZ:
            raise ValueError(f"frequency_mhz must be {_MIN_MHZ} to {_MAX_MHZ}, not {frequency_mhz}")

    def set_voltage(self, voltage_mv):
        """Set the nominal voltage; it holds from the next `renew` on."""
        self.check(voltage_mv)
        self._nominal_v = voltage_mv / 1000

    def set_frequency(self, frequency_mhz, now_us):
        """Set the frequency in mHz; the sine goes on without a jump."""
        self.check(None, frequency_mhz)
        self._phase, self._phase_us = self.phase(now_us), now_us
        self.frequency_mhz = frequency_mhz
        self._hz = frequency_mhz / 1000

    def set_dip(self, voltage_v):
        """Let the voltage be that, None ends the dip."""
        self._dip_v = voltage_v
        self.voltage_v = self._normal_v if voltage_v is None else voltage_v

    def renew(self, now_ms, noise):
        """Take the voltage from now to the next full second; `noise` in -1..1. Return when that is, in ms."""
        second = now_ms // STEP_MS
        wander = _WANDER * sin(2 * pi * (second % _WANDER_PERIOD_S) / _WANDER_PERIOD_S)
        self._normal_v = self._nominal_v * (1 + wander + _FLICKER * noise)
        if self._dip_v is None:
            self.voltage_v = self._normal_v
        return (second + 1) * STEP_MS

    def phase(self, now_us):
        """Return where in its period the voltage is, 0 to 1; at 0 it rises through zero."""
        return (self._phase + (now_us - self._phase_us) * self._hz / 1e6) % 1.0
