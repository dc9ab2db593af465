"""The metering IC HLW8012: pulses of power on CF, of current or voltage on CF1 as SEL says. Data sheet: HLW Technology HLW8012, V1.3."""

from math import ceil, cos, pi, sin

from meters import Meter

_REFERENCE_V = 2.43
_CLOCK_HZ = 3_579_000
_MAX_CURRENT_V, _MAX_VOLTAGE_V = 0.04375 / 2**0.5, 0.700 / 2**0.5  # rms of the peaks that the inputs take


class HLW8012Model(Meter):
    """One IC. Its outputs are square waves whose phase is counted in turns: a rising edge at every whole one."""

    BUS = "pulse"

    def __init__(self, front_end, wiring, world):
        ratio = front_end["divider_lower_ohm"] / (front_end["divider_upper_ohm"] + front_end["divider_lower_ohm"])
        self._input_v_per_v = ratio
        self._input_v_per_a = front_end["shunt_uohm"] / 1e6
        self._gain = 1 + front_end["gain_error_ppm"] / 1e6
        self._noise_level = front_end["noise_ppm"] / 1e6
        self._phase_error_s = front_end["phase_error_ns"] / 1e9
        self._world = world
        self._pins = (wiring["cf_pin"], wiring["cf1_pin"])
        self._select_pin = wiring["sel_pin"]
        self._selects_voltage = False
        self._voltage_v = self._current_a = self._power_w = 0.0
        self._turns = [0.0, 0.0]
        self._hz = [0.0, 0.0]

    def reset(self, now_ms):
        """Start again: both outputs begin a new pulse."""
        self._turns = [float(int(turns)) for turns in self._turns]

    def corrupt(self, register, value):
        """Refuse: it has no registers."""
        raise ValueError("the HLW8012 has no registers to corrupt")

    def measure(self, voltage_v, current_a, energy_j, elapsed_ms, noise, reactive_a=0.0):
        """Take in what flowed during the last `elapsed_ms`."""
        seconds = elapsed_ms / 1000
        self._voltage_v, self._current_a = voltage_v, current_a
        self._power_w = self._shifted(energy_j / seconds, voltage_v * reactive_a)
        self._work_out_rates()
        disturbed = 1 + self._noise_level * noise
        self._turns[0] += self._hz[0] * seconds * disturbed
        self._turns[1] += self._hz[1] * seconds
        self.ideal_j += self._power_w * self._clip() * self._gain * seconds * disturbed

    def note_inputs(self, voltage_v, current_a):
        """Take the rms values that flow from now on, for the time of the next edge."""
        self._voltage_v, self._current_a = voltage_v, current_a
        self._power_w = self._world.power_w
        self._work_out_rates()

    def next_us(self, now_us):
        """Return when the next edge comes at a pin that somebody watches."""
        due_us = None
        for i, pin in enumerate(self._pins):
            if self._hz[i] and self._world.pins.is_watched(pin):
                to_edge = 0.5 - self._turns[i] % 0.5
                edge_us = now_us + max(1, ceil(to_edge / self._hz[i] * 1e6))
                due_us = edge_us if due_us is None else min(due_us, edge_us)
        return due_us

    def event(self, now_us):
        """Let who watches see the edge."""
        self._world.pins.changed()

    def pin_driven(self, pin, level):
        """Follow SEL: high selects the voltage."""
        if pin == self._select_pin and bool(level) != self._selects_voltage:
            self._world.settle()
            self._selects_voltage = bool(level)
            self._turns[1] = float(int(self._turns[1]))
            self._work_out_rates()

    def pin_level(self, pin):
        """Return the level of CF or CF1."""
        if pin not in self._pins:
            return None
        self._world.settle()
        return int(self._turns[self._pins.index(pin)] % 1.0 < 0.5)

    def edges(self, pin, rising):
        """Return how many edges of that kind there were at a pin."""
        if pin not in self._pins:
            return 0
        self._world.settle()
        return int(self._turns[self._pins.index(pin)] + (0 if rising else 0.5))

    def _work_out_rates(self):
        current_v = min(self._current_a * self._input_v_per_a, _MAX_CURRENT_V) * abs(self._gain)
        voltage_v = min(self._voltage_v * self._input_v_per_v, _MAX_VOLTAGE_V)
        product = max(0.0, self._power_w * self._clip() * self._gain * self._input_v_per_a * self._input_v_per_v)
        self._hz[0] = product * 48 / _REFERENCE_V**2 * _CLOCK_HZ / 128
        if self._selects_voltage:
            self._hz[1] = voltage_v * 2 / _REFERENCE_V * _CLOCK_HZ / 512
        else:
            self._hz[1] = current_v * 24 / _REFERENCE_V * _CLOCK_HZ / 512

    def _clip(self):
        clip = 1.0
        if self._current_a * self._input_v_per_a > _MAX_CURRENT_V:
            clip = _MAX_CURRENT_V / (self._current_a * self._input_v_per_a)
        if self._voltage_v * self._input_v_per_v > _MAX_VOLTAGE_V:
            clip *= _MAX_VOLTAGE_V / (self._voltage_v * self._input_v_per_v)
        return clip

    def _shifted(self, power_w, reactive_w):
        if not self._phase_error_s:
            return power_w
        shift = 2 * pi * self._world.mains.frequency_mhz / 1000 * self._phase_error_s
        return power_w * cos(shift) + reactive_w * sin(shift)
