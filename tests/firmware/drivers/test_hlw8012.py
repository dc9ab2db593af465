# board: hlw8012_10a
"""The driver against two pulse counters of 14 bits, and against pins that interrupt."""

import sys

from plug.board import METER, PINS
from plug.metering.calibration import Calibration
from run_in_micropython import raises


class FakePin:
    """A pin that remembers its level and calls its handler when the test says."""

    IN, OUT, IRQ_RISING = 1, 3, 1
    all = {}  # noqa: RUF012

    def __init__(self, number, mode, value=None):
        self.mode = mode
        self.level = value
        FakePin.all[number] = self

    def value(self, level):
        self.level = level

    def irq(self, handler, trigger):
        assert trigger == FakePin.IRQ_RISING
        self.handler = handler


class FakePCNT:
    """A counter of the chip: goes back to zero at `max`."""

    INCREMENT = 1
    all = {}  # noqa: RUF012

    def __init__(self, unit, *, pin, rising, filter, max):  # noqa: A002 - as the chip's
        assert (rising, filter) == (FakePCNT.INCREMENT, 1_023)
        assert 0 < max <= 32_767
        self.max = max
        self.pulses = 0
        self.runs = False
        FakePCNT.all[unit] = self

    def start(self):
        self.runs = True

    def value(self):
        assert self.runs
        return int(self.pulses) % self.max


class Module:
    pass


sys.modules["machine"] = Module()
sys.modules["machine"].Pin = FakePin
sys.modules["esp32"] = Module()
sys.modules["esp32"].PCNT = FakePCNT
from plug.drivers import hlw8012  # noqa: E402

FULL_POWER = 222  # pulses a second at 2300 W: 10.34 J each


class Bench:
    """Mains and load of a real board; `voltage_v` and `current_a` set the rates of CF1."""

    def __init__(self, calibration=None):
        self.meter = hlw8012.HLW8012(hlw8012.open_pulses(PINS), METER, calibration or Calibration())
        self.power, self.other = FakePCNT.all[0], FakePCNT.all[1]
        self.select = FakePin.all[PINS["pulse_select"]]
        self.voltage_v, self.current_a = 230, 10
        self.now_ms = 5_000
        self.forward = self.millipulses = self.since_ms = 0
        self.level = None
        self.meter.start()

    def run(self, duration_ms, pulses_per_s=0):
        for _ in range(duration_ms // 100):
            self.now_ms += 100
            self.millipulses += pulses_per_s * 100
            self.power.pulses = self.millipulses // 1_000
            # data sheet: 2 V / 2.43 V * 3.579 MHz / 512 and 24 V / 2.43 V * ..., behind 2351:1 and on 1 mOhm
            rate = self.voltage_v / 2351 * 2 if self.select.level else self.current_a * 0.001 * 24
            self.since_ms = self.since_ms + 100 if self.level == self.select.level else 0
            self.level = self.select.level
            if self.since_ms < 400:
                rate *= 3  # not settled
            self.other.pulses += rate / 2.43 * 3_579_000 / 512 / 10
            self.meter.sample(self.now_ms)
            counts = self.meter.take_counts()
            assert counts >= 0
            self.forward += counts
        return self


def test_readings_are_scaled_to_the_board():
    meter = Bench().run(8_000, FULL_POWER).meter
    assert abs(meter.voltage_mv - 230_000) < 1_000
    assert abs(meter.current_ma - 10_000) < 40
    assert abs(meter.power_mw - 2_300_000) < 25_000
    assert meter.frequency_mhz is None
    assert meter.is_live


def test_a_calibration_scales_readings_and_energy():
    bench = Bench(Calibration(10_000, 20_000, 30_000)).run(8_000, FULL_POWER)
    assert abs(bench.meter.voltage_mv - 232_300) < 1_000
    assert abs(bench.meter.current_ma - 10_200) < 40
    assert abs(bench.meter.power_mw - 2_369_000) < 25_000
    before = bench.forward
    bench.run(10_000, 100).run(500)
    assert abs(bench.forward - before - 1_030) <= 50


def test_energy_per_pulse_is_that_of_the_datasheet():
    # 48 * V1 * V2 / 2.43^2 * 3.579 MHz / 128 pulses a second, at 10 A on 1 mOhm and 230 V behind 2351:1
    pulses_per_s = 48 * 0.01 * 230 / 2351 / 2.43**2 * 3_579_000 / 128
    mwh = METER["energy_mwh_numerator"] / METER["energy_mwh_denominator"]
    assert abs(pulses_per_s * mwh * 3.6 - 2_300) < 0.01


def test_what_has_flowed_is_booked_through_many_wraps():
    bench = Bench().run(4_000).run(300_000, FULL_POWER).run(500)
    assert bench.forward == FULL_POWER * 300
    assert bench.meter.discarded == 0


def test_below_the_no_load_current_nothing_is_booked():
    bench = Bench()
    bench.current_a = 0.03
    bench.run(4_000)
    before = bench.forward
    assert bench.run(20_000, 2).forward == before


def test_no_pulses_are_no_voltage():
    bench = Bench().run(8_000, FULL_POWER)
    bench.voltage_v = bench.current_a = 0
    bench.run(8_000)
    assert (bench.meter.voltage_mv, bench.meter.current_ma, bench.meter.power_mw) == (0, 0, 0)


def test_more_than_the_greatest_power_books_nothing():
    bench = Bench().run(4_000)
    before = bench.forward
    bench.millipulses += 500_000
    bench.run(1_000)
    assert bench.forward == before
    assert bench.meter.discarded == 1


def test_without_the_chips_counters_nothing_may_be_billed():
    assert Bench().meter.BILLING is True
    counters, hlw8012.PCNT = hlw8012.PCNT, None
    try:
        bus = hlw8012.open_pulses(PINS)
    finally:
        hlw8012.PCNT = counters
    meter = hlw8012.HLW8012(bus, METER, Calibration())
    assert meter.BILLING is False
    pin = FakePin.all[PINS["pulse_power"]]
    for now_ms in range(0, 1_000, 100):
        for _ in range(10):
            pin.handler(pin)
        meter.sample(now_ms)
    assert meter.take_counts() == 70
    raises(AttributeError, getattr, meter, "take_over_current")
