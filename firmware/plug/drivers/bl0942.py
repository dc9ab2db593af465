"""BL0942 metering IC over UART: asked, it answers with a frame of all it measures. Sections and tables: data sheet V1.06."""

from micropython import const

from plug.drivers.counter import CheckedCounter
from plug.errors import MeterError

FIELDS = ("voltage_mv", "current_ma", "power_mw", "frequency_mhz")
RATE_HZ = 10  # a frame takes 48 ms, and the configuration is read in between
BILLING = True
OVER_CURRENT_PIN = False
BUS = "uart"
BAUD = 4800
PARITY = None
START_UP_MS = 100
PHASE_AND_OFFSET = False  # cannot be corrected in it

_READ = const(0x58)  # with the IC's address 0
_WRITE = const(0xA8)
_ALL = const(0xAA)
_MODE = const(0x19)
_WRPROT = const(0x1D)
_UNLOCK = const(0x55)
_LOCK = const(0x00)
# Pulses counted, with their sign, and not cleared by reading; after a reset it is 0x87: without sign.
_MODE_VALUE = const(0x07)

_HEADER = const(0x55)
_FRAME_BYTES = const(23)
_REGISTER_BYTES = const(4)
_BUFFER_BYTES = const(64)
_FLUSHES = const(4)  # a buffer of the UART
_ANSWER_MS = const(90)  # a frame takes 52 ms with its question
_SILENCE_MS = const(1000)
_PPM = const(1_000_000)
_PERIOD_MHZ = const(1_000_000_000)


class BL0942:
    """The IC on `bus` (a machine.UART, 4800 baud 8N1), read with the constants `scale` (METER of the board module) and a Calibration.

    start() and sample() never wait. sample() raises MeterError when no good frame, and none of an IC configured by
    start(), has come for a second; it may be called again always.
    """

    BILLING = BILLING

    def __init__(self, bus, scale, calibration):
        self._bus = bus
        self._scale = scale
        self._voltage_ppm = _PPM + calibration.voltage_gain_ppm
        self._current_ppm = _PPM + calibration.current_gain_ppm
        self._power_ppm = _PPM + calibration.power_gain_ppm
        max_pulses_per_s = -(-scale["max_power_mw"] * scale["energy_mwh_denominator"] // (scale["energy_mwh_numerator"] * 3600))
        self._counter = CheckedCounter(24, max_pulses_per_s, calibration.power_gain_ppm)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._length = 0
        self._asked = 0  # what the IC was asked for: _ALL, _MODE or nothing yet
        self._asked_ms = 0
        self._good_ms = None
        self._pulses = None  # of the newest frame, to be counted once the IC is known to be configured as it was
        self._pulses_ms = 0
        self._doubts = 0
        self.voltage_mv = self.current_ma = self.power_mw = self.frequency_mhz = None
        self.failures = 0
        self.is_live = False

    @property
    def discarded(self):
        """How many readings or intervals of the energy were not booked."""
        return self._counter.discarded

    def start(self):
        """Configure the IC; whether it took it shows in the first readings."""
        self._counter.restart()
        self._pulses = None
        for register, value in ((_WRPROT, _UNLOCK), (_MODE, _MODE_VALUE), (_WRPROT, _LOCK)):
            check = ~(_WRITE + register + value) & 0xFF
            self._bus.write(bytes((_WRITE, register, value, 0, 0, check)))
        self._asked = 0

    def sample(self, now_ms):
        """Take what has come and ask for the next; `now_ms` is a monotone clock. Raises MeterError."""
        if self._good_ms is None:
            self._good_ms = now_ms
        self._collect()
        if self._asked == _ALL and self._take_frame(now_ms):
            self._ask(_MODE, now_ms)
        elif self._asked == _MODE and self._take_mode():
            self._ask(_ALL, now_ms)
        elif self._asked == 0 or not 0 <= now_ms - self._asked_ms <= _ANSWER_MS:
            self.failures += self._asked != 0
            self._ask(_ALL, now_ms)
        if not 0 <= now_ms - self._good_ms <= _SILENCE_MS:
            self.is_live = False
            raise MeterError(f"no good frame from the metering IC for {now_ms - self._good_ms} ms; check its supply and the UART wiring")

    def take_counts(self):
        """Return the signed energy counts booked since the last call; see CheckedCounter.take()."""
        return self._counter.take()

    def _ask(self, register, now_ms):
        self._length = 0
        for _ in range(_FLUSHES):  # what is still there answers an older question
            if self._bus.any():
                self._bus.readinto(self._buffer)
        self._bus.write(bytes((_READ, register)))
        self._asked, self._asked_ms = register, now_ms

    def _collect(self):
        waiting = min(self._bus.any(), _BUFFER_BYTES - self._length)
        if waiting:
            self._length += self._bus.readinto(self._view[self._length : self._length + waiting]) or 0

    def _take_frame(self, now_ms):
        """Take the first good frame in the buffer, wherever it begins; tell whether there was one."""
        data = self._buffer
        for start in range(self._length - _FRAME_BYTES + 1):
            end = start + _FRAME_BYTES - 1
            if data[start] != _HEADER or ~(_READ + sum(self._view[start:end])) & 0xFF != data[end]:
                continue
            scale = self._scale
            self.current_ma = _scaled(_unsigned(data, start + 1), scale, "current_ma", self._current_ppm)
            self.voltage_mv = _scaled(_unsigned(data, start + 4), scale, "voltage_mv", self._voltage_ppm)
            power = _unsigned(data, start + 10)
            self.power_mw = _scaled(power - 0x1000000 if power & 0x800000 else power, scale, "power_mw", self._power_ppm)
            period = data[start + 16] | data[start + 17] << 8
            frequency_mhz = _PERIOD_MHZ // period if period else 0
            self.frequency_mhz = frequency_mhz if 40_000 <= frequency_mhz <= 70_000 else None
            self._pulses, self._pulses_ms = _unsigned(data, start + 13), now_ms
            return True
        return False

    def _take_mode(self):
        """Take the mode that was read after a frame: still ours, the frame was good and its pulses count. Tell whether there was an answer."""
        data = self._buffer
        for start in range(self._length - _REGISTER_BYTES + 1):
            end = start + _REGISTER_BYTES - 1
            if ~(_READ + _MODE + sum(self._view[start:end])) & 0xFF != data[end]:
                continue
            if _unsigned(data, start) == _MODE_VALUE:
                self._doubts = 0
                is_idle = self.current_ma < self._scale["no_load_ma"]
                self._counter.read(self._pulses, self._pulses_ms, is_idle)
                self._good_ms = self._pulses_ms
                self.is_live = True
            else:
                self._doubts += 1  # one wrong reading is not yet a reset
                if self._doubts > 1:
                    self._doubts = 0
                    self._counter.discard()
                    self.start()
            return True
        return False


def _unsigned(data, start):
    """Return three bytes, the lowest first."""
    return data[start] | data[start + 1] << 8 | data[start + 2] << 16


def _scaled(code, scale, name, ppm):
    """Return a reading at its ratio in METER, with its gain, rounded down."""
    return code * scale[name + "_numerator"] * ppm // (scale[name + "_denominator"] * _PPM)
