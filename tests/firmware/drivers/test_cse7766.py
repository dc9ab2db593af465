# board: cse7766_16a
"""The driver against a scripted line and a CSE7766 that sends as its manual says."""

from drivers.scripted import Random
from drivers.scripted_uart import KINDS, Damage, Line, flipped
from plug.board import METER
from plug.drivers.cse7766 import CSE7766
from plug.errors import MeterError
from plug.metering.calibration import Calibration
from run_in_micropython import raises

UJ_PER_PULSE = 5_195_000
COEFFICIENTS = (191_200, 16_140, UJ_PER_PULSE)
FULL_POWER = 708  # pulses a second at 3680 W


class Chip:
    """Sends a frame whenever the test says."""

    def __init__(self, line):
        self.line = line
        self.coefficients = COEFFICIENTS
        self.cycles = (831, 1_614, 2_258)  # 230 V, 10 A, 2300 W
        self.state = 0x55
        self.new = 0x70
        self.millipulses = 0

    def reset(self):
        self.millipulses = 0

    def send(self):
        pulses = self.millipulses // 1_000
        if not pulses & 0xFF:
            pulses ^= 0x15500  # not valid then
        body = b"".join(self.coefficients[i].to_bytes(3, "big") + self.cycles[i].to_bytes(3, "big") for i in range(3))
        body += bytes((self.new | (pulses >> 16 & 1) << 7,)) + (pulses & 0xFFFF).to_bytes(2, "big")
        self.line.send(bytes((self.state, 0x5A)) + body + bytes((sum(body) & 0xFF,)))


class Bench:
    def __init__(self, calibration=None):
        self.line = Line()
        self.chip = Chip(self.line)
        self.meter = CSE7766(self.line, METER, calibration or Calibration())
        self.now_ms = 5_000
        self.uj = 0

    def started(self, pulses=0):
        self.chip.millipulses = pulses * 1_000 + 1_000
        self.meter.start()
        return self.run(500)

    def run(self, duration_ms, pulses_per_s=0, quiet=False):
        for _ in range(duration_ms // 50):
            self.now_ms += 50
            self.chip.millipulses += pulses_per_s * 50
            self.chip.send()
            try:
                self.meter.sample(self.now_ms)
            except MeterError:
                if not quiet:
                    raise
            self.uj += max(self.meter.take_counts(), 0)
        return self

    @property
    def pulses(self):
        return self.uj // UJ_PER_PULSE


def test_readings_are_scaled_to_the_board():
    meter = Bench().started().meter
    assert abs(meter.voltage_mv - 230_084) < 2
    assert abs(meter.current_ma - 10_000) < 2
    assert abs(meter.power_mw - 2_300_708) < 2
    assert meter.frequency_mhz is None
    assert meter.is_live


def test_a_calibration_scales_readings_and_energy():
    bench = Bench(Calibration(10_000, 20_000, 30_000)).started()
    meter = bench.meter
    assert abs(meter.voltage_mv - 232_385) < 2
    assert abs(meter.current_ma - 10_200) < 2
    assert abs(meter.power_mw - 2_369_729) < 3
    bench.run(10_000, 100).run(500)
    assert bench.pulses == 1_030


def test_a_quantity_out_of_range_is_zero_and_an_old_cycle_is_not_taken():
    bench = Bench().started()
    bench.chip.new = 0x40
    bench.chip.cycles = (900, 1, 1)
    meter = bench.run(100).meter
    assert (meter.voltage_mv, meter.current_ma, meter.power_mw) == (212_444, 10_000, 2_300_708)
    bench.chip.state = 0xF6
    meter = bench.run(100).meter
    assert (meter.voltage_mv, meter.current_ma, meter.power_mw) == (212_444, 0, 0)
    bench.chip.state = 0xF8
    assert bench.run(100).meter.voltage_mv == 0


def test_an_ic_without_coefficients_is_a_fault():
    for state in (0xAA, 0xF1):
        bench = Bench()
        bench.chip.state = state
        bench.meter.start()
        raises(MeterError, bench.run, 1_000, FULL_POWER)
        assert (bench.uj, bench.meter.voltage_mv) == (0, None)


def test_what_has_flowed_is_booked_but_for_the_last_interval():
    for rate in (20, FULL_POWER):
        bench = Bench().started().run(20_000, rate).run(500)
        assert rate * 20 - rate // 5 <= bench.pulses <= rate * 20  # a frame whose low byte is zero is not valid


def test_below_the_no_load_current_nothing_is_booked():
    bench = Bench()
    bench.chip.cycles = (831, 330_000, 500_000)
    assert bench.started().run(5_000, 10).meter.current_ma == 48
    assert bench.uj == 0


def test_the_counter_passes_its_end_for_an_interval_at_most():
    for end in (0x10000, 0x20000):
        bench = Bench().started(end - 1_000)
        bench.run(10_000, 200).run(500)
        lost = 2_000 - bench.pulses
        assert 0 <= lost <= (0 if end == 0x10000 else 60)


def test_a_reset_is_never_taken_for_a_wrap():
    for before in (5, 40, 3_000, 0xFFFE, 0x1FFFE):
        for after in (1, 3, 20):
            bench = Bench().started(before)
            bench.chip.millipulses = after * 1_000
            bench.run(1_000)
            assert bench.pulses <= after, (before, after)
            bench.run(4_000, 100)
            assert bench.pulses <= after + 400


def test_a_silent_line_is_a_fault_after_half_a_second_and_keeps_the_energy():
    bench = Bench().started()
    bench.line.damage = lambda data: b""
    bench.run(450)
    assert bench.meter.is_live
    raises(MeterError, bench.run, 200)
    assert not bench.meter.is_live
    bench.chip.millipulses += 50_000
    bench.line.damage = lambda data: data
    bench.run(1_000)
    assert bench.meter.is_live
    assert bench.pulses == 50


def test_more_than_the_greatest_power_books_nothing():
    bench = Bench().started()
    bench.chip.millipulses += 500_000
    bench.run(1_000)
    assert (bench.uj, bench.meter.discarded) == (0, 1)


def test_coefficients_are_believed_when_two_frames_agree_and_none_but_these():
    bench = Bench()
    bench.meter.start()
    bench.chip.millipulses = 5_000
    bench.run(50)
    assert not bench.meter.is_live
    bench.run(250)
    bench.chip.coefficients = (191_200, 16_140, 2 * UJ_PER_PULSE)
    bench.run(50, 100)
    bench.chip.coefficients = COEFFICIENTS
    bench.run(450, 100).run(500)
    assert bench.uj == 50 * UJ_PER_PULSE


def test_frames_are_found_wherever_they_begin():
    for cut in range(1, 24):
        bench = Bench()
        bench.chip.millipulses = 9_000
        bench.chip.send()
        bench.line.waiting = bench.line.waiting[cut:]
        bench.run(500)
        assert bench.meter.is_live, cut


def test_every_single_bit_of_a_frame_may_be_wrong():
    for bit in range(8 * 24):
        bench = Bench().started(300).run(500, 200)
        bench.line.damage = lambda data, bit=bit: flipped(data, bit)
        bench.run(50, 200)
        bench.line.damage = lambda data: data
        bench.run(450, 200).run(500)
        assert bench.pulses == 200, bit
        assert bench.meter.is_live


def test_no_damage_of_the_line_bills_more_than_has_flowed():
    for seed in range(150):
        random = Random(seed)
        bench = Bench().started(random.below(0x20000))
        kinds = KINDS if seed % 11 == 10 else (KINDS[seed % 11],)
        bench.line.damage = Damage(random, kinds, (2, 3, 10, 50)[seed // 11 % 4])
        flowed = 0
        for _ in range(4):
            rate, duration_ms = random.below(FULL_POWER), 500 + 50 * random.below(50)
            flowed += rate * duration_ms
            bench.run(duration_ms, rate, quiet=True)
            if random.below(4) == 0:
                bench.chip.reset()
        bench.line.damage = lambda data: data
        bench.run(2_000, quiet=True)
        assert bench.pulses * 1_000 <= flowed + flowed // 1_000 + 13_000, (seed, bench.pulses, flowed)  # 100.1 % and 20 mWh


def test_a_damaged_line_still_counts():
    for kinds in (("flip",), ("lost byte",), ("late",), ("garbage",), ("repeated",)):
        bench = Bench().started(300)
        bench.line.damage = Damage(Random(3), kinds, 6)
        bench.run(20_000, 200, quiet=True)
        bench.line.damage = lambda data: data
        bench.run(1_000)
        assert 3_900 <= bench.pulses <= 4_000, kinds
