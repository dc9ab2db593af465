"""The metering IC CSE7766, which sends a frame of 24 bytes again and again. Data sheet: Chipsea CSE7766, V1.2.

The coefficients in the frame are those of the factory; each part has its own, the ones here stand for one part.
"""

from serial_meter import SerialMeter

_VOLTAGE_COEFFICIENT, _CURRENT_COEFFICIENT, _POWER_COEFFICIENT = 191_200, 16_140, 5_195_000  # us times V, A, W, at 1 V over 1 mV and 1 mOhm
_MV_PER_V, _MV_PER_A = 1.0, 1.0  # that the coefficients are made for
_FRAME_US = 56_000  # our choice: the data sheet's 50 ms are shorter than 24 bytes of 11 bits at 4800 baud
_NO_LOAD_W = 1.0  # our choice, at 1 mOhm and 1 V over 1 mV
_MAX_CYCLE = 0xFFFFFF


class CSE7766Model(SerialMeter):
    """One IC. The cycle of a quantity is the coefficient over its value; pulses of energy are counted in 16 bits."""

    FORMAT = (4800, 8, 0, 1)

    def __init__(self, front_end, wiring, world):
        super().__init__(front_end, wiring, world)
        self._v = self._mv_per_v / _MV_PER_V
        self._a = self._mv_per_a / _MV_PER_A
        self._next_us = None
        self.reset(0)

    def reset(self, now_ms):
        """Start again: the pulse count begins at 0."""
        self._pulses = 0.0
        self.ready_ms = now_ms + 50
        self._line.clear()

    def corrupt(self, register, value):
        """Refuse: it has no registers."""
        raise ValueError("the CSE7766 has no registers to corrupt")

    def listen(self, now_us):
        """Begin to send; without a listener frames would only pile up."""
        if self._next_us is None:
            self._next_us = now_us
            self._world.meter_changed()

    def next_us(self, now_us):
        """Return when the next frame begins."""
        return self._next_us

    def event(self, now_us):
        """Send a frame."""
        if self._next_us is not None and now_us >= self._next_us:
            self._next_us += _FRAME_US
            if self.is_ready(now_us // 1000):
                del self._line[:-8]  # nobody has listened for long: what he finds is the newest
                self.send(self._frame(), now_us)

    def measure(self, voltage_v, current_a, energy_j, elapsed_ms, noise, reactive_a=0.0):
        """Take in what flowed during the last `elapsed_ms`."""
        power_w = self.take_in(voltage_v, current_a, energy_j, elapsed_ms, reactive_a)
        if self._has_load(power_w):
            joule = power_w * elapsed_ms / 1000 * (1 + self._noise_level * noise)
            self.ideal_j += joule
            self._pulses += joule * self._v * self._a * 1e6 / _POWER_COEFFICIENT

    def _frame(self):
        power_w = self.power_w if self._has_load(self.power_w) else 0.0
        voltage = _cycle(_VOLTAGE_COEFFICIENT, self.voltage_v * self._v * self.level(4))
        current = _cycle(_CURRENT_COEFFICIENT, self.current_a * abs(self._gain) * self._a * self.level(2))
        power = _cycle(_POWER_COEFFICIENT, power_w * self._v * self._a * self.level(3))
        # A cycle that never ends sets its bit in the head, and is not marked as measured.
        never = (voltage == _MAX_CYCLE) << 3 | (current == _MAX_CYCLE) << 2 | (power == _MAX_CYCLE) << 1
        pulses = int(self._pulses)
        adjust = (voltage < _MAX_CYCLE) << 6 | (current < _MAX_CYCLE) << 5 | (power < _MAX_CYCLE) << 4 | 1 | (pulses >> 16 & 1) << 7
        body = b""
        for value in (_VOLTAGE_COEFFICIENT, voltage, _CURRENT_COEFFICIENT, current, _POWER_COEFFICIENT, power):
            body += value.to_bytes(3, "big")
        body += bytes([adjust]) + (pulses & 0xFFFF).to_bytes(2, "big")
        return bytes([0xF0 | never if never else 0x55, 0x5A]) + body + bytes([sum(body) & 0xFF])

    def _has_load(self, power_w):
        return power_w * self._v * self._a > _NO_LOAD_W


def _cycle(coefficient, value):
    return _MAX_CYCLE if value * _MAX_CYCLE < coefficient else int(coefficient / value)
