"""An electric car at the socket: constant current, then a taper, until it has taken exactly the energy it wants."""

from math import ceil, exp, log, sqrt

_ALMOST_FULL_J = 1e-6


class Car:
    """Wants `energy_wh`, draws `current_ma`; over the last `taper_wh` the current falls with what is still missing, down to `cutoff_ma`.

    `start_ms` is how long it waits after power came; then it draws `inrush` times its current for `inrush_ms`. Its current lags, by `power_factor`.
    All are numbers > 0, but `taper_wh`, `start_ms` and `inrush_ms` may be 0. `remaining_j` is what it still wants. Raises ValueError for a car
    that cannot be.
    """

    def __init__(self, energy_wh, current_ma, taper_wh=None, cutoff_ma=None, start_ms=1000, power_factor=1.0, inrush=1, inrush_ms=0):
        taper_wh = energy_wh / 20 if taper_wh is None else taper_wh
        cutoff_ma = current_ma / 10 if cutoff_ma is None else cutoff_ma
        for name, value in (("energy_wh", energy_wh), ("current_ma", current_ma), ("cutoff_ma", cutoff_ma)):
            if value <= 0:
                raise ValueError(f"{name} must be more than 0, not {value}")
        if not 0 <= taper_wh <= energy_wh or cutoff_ma >= current_ma or start_ms < 0:
            raise ValueError("a car needs 0 <= taper_wh <= energy_wh, cutoff_ma < current_ma and start_ms >= 0")
        if not 0.5 <= power_factor <= 1 or inrush < 1 or inrush_ms < 0:
            raise ValueError("a car needs 0.5 <= power_factor <= 1, inrush >= 1 and inrush_ms >= 0")
        self.start_ms = start_ms
        self.inrush, self.inrush_ms = inrush, inrush_ms
        self.power_factor = power_factor
        self.reactive_factor = sqrt(1 - power_factor * power_factor)
        self.remaining_j = energy_wh * 3600.0
        self._full_current_a = current_ma / 1000
        self._taper_j = taper_wh * 3600.0
        # With this much more missing, the taper's straight line from current_ma through cutoff_ma would end at zero current.
        self._beyond_j = self._taper_j * cutoff_ma / (current_ma - cutoff_ma)

    @property
    def is_tapering(self):
        """Tell whether its current falls all the time."""
        return 0 < self.remaining_j < self._taper_j

    @property
    def current_a(self):
        """Return the current it draws now, while it has power."""
        if self.remaining_j >= self._taper_j:
            return self._full_current_a if self.remaining_j else 0.0
        if not self.remaining_j:
            return 0.0
        return self._full_current_a * (self.remaining_j + self._beyond_j) / (self._taper_j + self._beyond_j)

    def ms_to_full(self, voltage_v):
        """Return the whole milliseconds at this voltage after which it is surely full."""
        power_w = voltage_v * self._full_current_a * self.power_factor
        seconds = max(0.0, self.remaining_j - self._taper_j) / power_w
        if self._taper_j:
            tapering_j = min(self.remaining_j, self._taper_j)
            seconds += self._time_constant_s(power_w) * log((tapering_j + self._beyond_j) / self._beyond_j)
        return ceil(seconds * 1000) + 1

    def draw(self, voltage_v, seconds, times=1):
        """Draw for that long at constant voltage and so many times its current; return the energy in J."""
        energy_j = voltage_v * self._full_current_a * self.power_factor * times * seconds
        if energy_j < self.remaining_j - self._taper_j:
            self.remaining_j -= energy_j
            return energy_j
        return self._draw_to_the_end(voltage_v * self._full_current_a * self.power_factor * times, seconds)

    def _draw_to_the_end(self, power_w, seconds):
        before_j = self.remaining_j
        if self.remaining_j > self._taper_j:
            seconds -= (self.remaining_j - self._taper_j) / power_w
            self.remaining_j = self._taper_j
        if seconds > 0 and self.remaining_j > 0:
            decay = exp(-seconds / self._time_constant_s(power_w)) if self._taper_j else 0.0
            self.remaining_j = (self.remaining_j + self._beyond_j) * decay - self._beyond_j
        if self.remaining_j < _ALMOST_FULL_J:
            self.remaining_j = 0.0
        return before_j - self.remaining_j

    def _time_constant_s(self, power_w):
        return (self._taper_j + self._beyond_j) / power_w
