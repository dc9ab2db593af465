"""HLW8012 metering IC: pulses at a rate of the active power on CF, of the rms current or voltage on CF1, as SEL says. Data sheet: formulas 1 to 3."""

from machine import Pin
from micropython import const

from plug.drivers.counter import CheckedCounter

try:
    from esp32 import PCNT  # since MicroPython 1.26, where the chip has it
except ImportError:
    PCNT = None

FIELDS = ("voltage_mv", "current_ma", "power_mw")
RATE_HZ = 10
BILLING = True  # of an object without the chip's pulse counters it is False
OVER_CURRENT_PIN = False
BUS = "pulse"
START_UP_MS = 100
PHASE_AND_OFFSET = False  # cannot be corrected in it

_BITS = const(14)
_MASK = const(0x3FFF)
_FILTER = const(1023)  # 12.8 us in ticks of 80 MHz: shorter pulses are noise
_SETTLE_MS = const(500)  # CF1 after SEL has changed
_WINDOW_MS = const(1000)  # 15 mA and 0.4 V a pulse on 1 mOhm and 2351:1
_PPM = const(1_000_000)


class InterruptCounter:
    """Counts pulses by an interrupt of the pin. One that comes while the processor is busy gets lost: good enough for a display."""

    def __init__(self, pin):
        self._count = 0
        pin.irq(self._step, Pin.IRQ_RISING)

    def value(self):
        """Return the pulses so far."""
        return self._count

    def _step(self, _pin):
        self._count += 1


def open_pulses(pins):
    """Return (counter of CF, counter of CF1, SEL, whether the chip itself counts) on the pins of a board module."""
    power, other = Pin(pins["pulse_power"], Pin.IN), Pin(pins["pulse_other"], Pin.IN)
    select = Pin(pins["pulse_select"], Pin.OUT, value=0)
    if PCNT is None:
        return InterruptCounter(power), InterruptCounter(other), select, False
    counters = []
    for unit, pin in enumerate((power, other)):
        counter = PCNT(unit, pin=pin, rising=PCNT.INCREMENT, filter=_FILTER, max=_MASK + 1)  # zero again there: 14 bits
        counter.start()
        counters.append(counter)
    return counters[0], counters[1], select, True


class HLW8012:
    """The IC on `bus` (what open_pulses() returns), read with the constants `scale` (METER of the board module) and a Calibration.

    Voltage and current take turns, 1.5 s each; energy and power do not depend on that. A dead IC cannot be told from a mains
    without voltage: both read 0 V.
    """

    def __init__(self, bus, scale, calibration):
        self._power, self._other, self._select, self.BILLING = bus
        self._scale = scale
        self._voltage_ppm = _PPM + calibration.voltage_gain_ppm
        self._current_ppm = _PPM + calibration.current_gain_ppm
        max_pulses_per_s = scale["max_power_mw"] * scale["energy_mwh_denominator"] // (scale["energy_mwh_numerator"] * 3600) + 1
        self._counter = CheckedCounter(_BITS, max_pulses_per_s, calibration.power_gain_ppm)
        self._power_ppm = _PPM + calibration.power_gain_ppm
        self._is_voltage = False
        self._turn_ms = None  # when SEL changed
        self._window_ms = None  # when counting of CF1 began
        self._other_count = 0
        self._power_ms = None
        self._power_count = 0
        self.voltage_mv = self.current_ma = self.power_mw = self.frequency_mhz = None
        self.failures = 0
        self.is_live = False

    @property
    def discarded(self):
        """How many readings or intervals of the energy were not booked."""
        return self._counter.discarded

    def start(self):
        """Begin with the current; there is nothing to configure."""
        self._counter.restart()
        self._turn_ms = self._window_ms = self._power_ms = None

    def sample(self, now_ms):
        """Read the counters; `now_ms` is a monotone clock."""
        pulses = self._power.value() & _MASK
        self._counter.read(pulses, now_ms, self.current_ma is not None and self.current_ma < self._scale["no_load_ma"])
        self._read_power(pulses, now_ms)
        self._read_other(now_ms)
        self.is_live = True

    def take_counts(self):
        """Return the energy counts booked since the last call; see CheckedCounter.take()."""
        return self._counter.take()

    def _read_power(self, pulses, now_ms):
        if self._power_ms is None or now_ms - self._power_ms >= _WINDOW_MS:
            if self._power_ms is not None:
                scale, elapsed_ms = self._scale, now_ms - self._power_ms
                mwh = ((pulses - self._power_count) & _MASK) * scale["energy_mwh_numerator"] * self._power_ppm
                self.power_mw = mwh * 3600 * 1000 // (scale["energy_mwh_denominator"] * elapsed_ms * _PPM)
            self._power_ms, self._power_count = now_ms, pulses

    def _read_other(self, now_ms):
        if self._turn_ms is None:
            self._is_voltage = False
            self._turn(now_ms)
        elif self._window_ms is None:
            if now_ms - self._turn_ms >= _SETTLE_MS:
                self._window_ms, self._other_count = now_ms, self._other.value()
        elif now_ms - self._window_ms >= _WINDOW_MS:
            pulses, elapsed_ms = (self._other.value() - self._other_count) & _MASK, now_ms - self._window_ms
            if self._is_voltage:
                self.voltage_mv = self._rms(pulses, elapsed_ms, "voltage_mv", self._voltage_ppm)
            else:
                self.current_ma = self._rms(pulses, elapsed_ms, "current_ma", self._current_ppm)
            self._is_voltage = not self._is_voltage
            self._turn(now_ms)

    def _turn(self, now_ms):
        self._select.value(1 if self._is_voltage else 0)
        self._turn_ms, self._window_ms = now_ms, None

    def _rms(self, pulses, elapsed_ms, name, ppm):
        scale = self._scale
        return pulses * scale[name + "_numerator"] * 1000 * ppm // (scale[name + "_denominator"] * elapsed_ms * _PPM)
