"""Heat of the contacts and of the plug's pins, each a first-order system warmed by I^2 R, and the NTC that an ADC sees of it."""

from math import exp

SPOTS = ("contacts", "pins")
NTC_FAULTS = ("ok", "open", "short")
_SUPPLY_UV = 3_300_000
_PULL_UP_OHM, _NTC_OHM, _NTC_B_K, _NTC_AT_K = 10_000, 10_000, 3950, 298.15
_ZERO_K = 273.15


class Heat:
    """The temperature over ambient of both SPOTS; `settle` after every change of the current, with the one before it."""

    def __init__(self, settings):
        self.ambient_mc = settings["ambient_mc"]
        self.resistance_uohm = {spot: settings[spot + "_uohm"] for spot in SPOTS}
        self.ntc = dict.fromkeys(SPOTS, "ok")
        self._k_per_w = settings["mk_per_w"] / 1000
        self._time_constant_us = settings["time_constant_ms"] * 1000.0
        self._over_k = dict.fromkeys(SPOTS, 0.0)
        self._settled_us = 0

    def settle(self, now_us, current_a):
        """Let that current have flowed until now."""
        elapsed_us = now_us - self._settled_us
        if not elapsed_us:
            return
        self._settled_us = now_us
        rest = exp(-elapsed_us / self._time_constant_us)
        for spot in SPOTS:
            final_k = current_a * current_a * self.resistance_uohm[spot] / 1e6 * self._k_per_w
            self._over_k[spot] = final_k + (self._over_k[spot] - final_k) * rest

    def temperature_mc(self, spot):
        """Return the spot's temperature in thousandths of a degree Celsius."""
        return self.ambient_mc + round(self._over_k[spot] * 1000)

    def ntc_uv(self, spot):
        """Return the voltage over its NTC, which lies between a pull-up to 3.3 V and ground."""
        if self.ntc[spot] == "open":
            return _SUPPLY_UV
        if self.ntc[spot] == "short":
            return 0
        kelvin = self.temperature_mc(spot) / 1000 + _ZERO_K
        ohm = _NTC_OHM * exp(_NTC_B_K * (1 / kelvin - 1 / _NTC_AT_K))
        return round(_SUPPLY_UV * ohm / (ohm + _PULL_UP_OHM))
