"""CSE7766 metering IC over UART: it sends a frame some 18 times a second, unasked. Sections: user manual rev. 1.2."""

from micropython import const

from plug.drivers.counter import CheckedCounter
from plug.errors import MeterError

FIELDS = ("voltage_mv", "current_ma", "power_mw")
RATE_HZ = 20
BILLING = True
OVER_CURRENT_PIN = False
BUS = "uart"
BAUD = 4800
PARITY = 0  # even
START_UP_MS = 100
PHASE_AND_OFFSET = False  # cannot be corrected in it

_SECOND_BYTE = const(0x5A)
# The first byte (3.5).
_GOOD = const(0x55)
_NEVER_CALIBRATED = const(0xAA)
_OUT_OF_RANGE = const(0xF0)  # and in the lower four bits what
_NO_VOLTAGE = const(8)
_NO_CURRENT = const(4)
_NO_POWER = const(2)
_BAD_COEFFICIENTS = const(1)
_NEW_VOLTAGE = const(0x40)  # in the byte `adj`: a cycle was completed
_NEW_CURRENT = const(0x20)
_NEW_POWER = const(0x10)

_FRAME_BYTES = const(24)
_BUFFER_BYTES = const(96)
_SILENCE_MS = const(500)
_PPM = const(1_000_000)


class CSE7766:
    """The IC on `bus` (a machine.UART, 4800 baud 8E1), read with the constants `scale` (METER of the board module) and a Calibration.

    start() and sample() never wait. sample() raises MeterError when no good frame has come for half a second; it may be called again always.
    The IC has nothing that shows a reset, so a pulse counter that passes zero books nothing.
    """

    BILLING = BILLING

    def __init__(self, bus, scale, calibration):
        self._bus = bus
        self._scale = scale
        self._voltage_ppm = _PPM + calibration.voltage_gain_ppm
        self._current_ppm = _PPM + calibration.current_gain_ppm
        self._power_gain_ppm = calibration.power_gain_ppm
        self._counter = None  # until the IC has told what a pulse is worth
        self._coefficients = None
        self._new_coefficients = None
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._length = 0
        self._good_ms = None
        self._pulses = None  # of the newest frame
        self.voltage_mv = self.current_ma = self.power_mw = self.frequency_mhz = None
        self.failures = 0
        self.is_live = False

    @property
    def discarded(self):
        """How many readings or intervals of the energy were not booked."""
        return self._counter.discarded if self._counter else 0

    def start(self):
        """Forget what was read; there is nothing to configure."""
        self._length = 0
        if self._counter:
            self._counter.restart()

    def sample(self, now_ms):
        """Take the frames that have come; `now_ms` is a monotone clock. Raises MeterError."""
        if self._good_ms is None:
            self._good_ms = now_ms
        waiting = min(self._bus.any(), _BUFFER_BYTES - self._length)
        if waiting:
            self._length += self._bus.readinto(self._view[self._length : self._length + waiting]) or 0
        self._pulses = None
        self._take_frames(now_ms)
        if self._pulses is not None:  # once for all that came: their own times are not known, and two at one time look like too much power
            self._counter.read(self._pulses, now_ms, self.current_ma < self._scale["no_load_ma"])
        if not 0 <= now_ms - self._good_ms <= _SILENCE_MS:
            self.is_live = False
            raise MeterError(f"no good frame from the metering IC for {now_ms - self._good_ms} ms; check its supply and the UART wiring")

    def take_counts(self):
        """Return the energy, in microjoules by the IC's coefficients, booked since the last call; see CheckedCounter.take()."""
        # It only counts up: fewer pulses than before are no energy that came back.
        return max(0, self._counter.take()) * self._coefficients[2] if self._counter else 0

    def _take_frames(self, now_ms):
        """Take every good frame in the buffer, wherever it begins, and keep what may be the beginning of the next."""
        data = self._buffer
        start = 0
        while start + _FRAME_BYTES <= self._length:
            state = data[start]
            if data[start + 1] == _SECOND_BYTE and (state in (_GOOD, _NEVER_CALIBRATED) or state >= _OUT_OF_RANGE):
                if sum(self._view[start + 2 : start + 23]) & 0xFF == data[start + 23]:
                    self._take_frame(data, start, now_ms)
                    start += _FRAME_BYTES
                    continue
                self.failures += 1
            start += 1
        self._length -= start
        self._buffer[: self._length] = self._buffer[start : start + self._length]

    def _take_frame(self, data, start, now_ms):
        """Take a frame whose checksum is right."""
        state = data[start]
        lacks = state & 0x0F if state >= _OUT_OF_RANGE else 0
        coefficients = (_unsigned(data, start + 2), _unsigned(data, start + 8), _unsigned(data, start + 14))
        if state == _NEVER_CALIBRATED or lacks & _BAD_COEFFICIENTS or not self._knows(coefficients):
            self.failures += 1
            return
        adjust, scale = data[start + 20], self._scale
        voltage_us, current_us, power_us = _unsigned(data, start + 5), _unsigned(data, start + 11), _unsigned(data, start + 17)
        if lacks & _NO_VOLTAGE:
            self.voltage_mv = 0
        elif adjust & _NEW_VOLTAGE and voltage_us:
            numerator = coefficients[0] * scale["voltage_numerator"] * self._voltage_ppm
            self.voltage_mv = numerator // (voltage_us * scale["voltage_denominator"] * 1000)
        if lacks & _NO_CURRENT:
            self.current_ma = 0
        elif adjust & _NEW_CURRENT and current_us:
            numerator = coefficients[1] * scale["current_numerator"] * self._current_ppm
            self.current_ma = numerator // (current_us * scale["current_denominator"] * 1000)
        if lacks & _NO_POWER:
            self.power_mw = 0
        elif adjust & _NEW_POWER and power_us:
            uw = coefficients[2] * scale["energy_mwh_numerator"] * 3_600_000 * _PPM // (power_us * scale["energy_mwh_denominator"])
            self.power_mw = uw * (_PPM + self._power_gain_ppm) // (_PPM * 1000)
        self._good_ms = now_ms
        self.is_live = True
        pulses = data[start + 21] << 8 | data[start + 22]
        if pulses & 0xFF and self.current_ma is not None:  # with a low byte of zero the number is not valid (3.6.2)
            self._pulses = pulses | (adjust & 0x80) << 9  # this bit changes whenever the 16 bits overflow

    def _knows(self, coefficients):
        """Tell whether these are the IC's coefficients. They never change; others are believed when two frames agree on them."""
        if coefficients == self._coefficients:
            return True
        if coefficients != self._new_coefficients or not coefficients[2]:
            self._new_coefficients = coefficients
            return False
        self._coefficients = coefficients
        scale = self._scale
        max_uj_per_s = scale["max_power_mw"] * scale["energy_mwh_denominator"] // (scale["energy_mwh_numerator"] * 3600)
        discarded = self._counter.discarded + 1 if self._counter else 0
        self._counter = CheckedCounter(17, max_uj_per_s // coefficients[2] + 1, self._power_gain_ppm, wrap_is_doubtful=True)
        self._counter.discarded = discarded
        return True


def _unsigned(data, start):
    """Return three bytes, the highest first."""
    return data[start] << 16 | data[start + 1] << 8 | data[start + 2]
