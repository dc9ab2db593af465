# board: bl0942_10a
"""The driver against a scripted line and a BL0942 that answers as its data sheet says."""

from drivers.scripted import Random
from drivers.scripted_uart import KINDS, Damage, Line, flipped
from plug.board import METER
from plug.drivers.bl0942 import BL0942
from plug.errors import MeterError
from plug.metering.calibration import Calibration
from run_in_micropython import raises

MWH_PER_PULSE = 187
FULL_POWER_MPS = 3_418  # thousandths of a pulse a second at 2300 W


class Chip:
    """Registers and pulse counter; `millipulses` flow by the test."""

    def __init__(self, line):
        self.line = line
        line.on_write = self.take
        self.codes = (2_512_132, 3_654_000, 1_433_900, 20_000)  # 10 A, 230 V, 2300 W, 50 Hz
        self.takes_writes = True
        self.asked = []
        self.reset()

    def reset(self):
        self.mode = 0x87
        self.protection = 0
        self.millipulses = 0

    def take(self, data):
        if data[0] == 0xA8:
            assert len(data) == 6
            assert ~sum(data[:5]) & 0xFF == data[5]
            if data[1] == 0x1D:
                self.protection = data[2]
            elif data[1] == 0x19 and self.protection == 0x55 and self.takes_writes:
                self.mode = data[2]
            return
        assert data[0] == 0x58
        self.asked.append(data[1])
        if data[1] == 0xAA:
            self.line.send(self.frame())
        elif data[1] == 0x19:
            body = bytes((self.mode, 0, 0))
            self.line.send(body + bytes((~(0x58 + 0x19 + sum(body)) & 0xFF,)))

    def frame(self):
        current, voltage, power, period = self.codes
        body = b"\x55" + b"".join((value & 0xFFFFFF).to_bytes(3, "little") for value in (current, voltage, current, power, self.millipulses // 1_000))
        body += period.to_bytes(2, "little") + bytes(4)
        return body + bytes((~(0x58 + sum(body)) & 0xFF,))


class Bench:
    def __init__(self, calibration=None):
        self.line = Line()
        self.chip = Chip(self.line)
        self.meter = BL0942(self.line, METER, calibration or Calibration())
        self.now_ms = 5_000
        self.forward = self.reverse = 0

    def started(self):
        self.meter.start()
        return self.run(1_000)

    def run(self, duration_ms, millipulses_per_s=0, quiet=False):
        for _ in range(duration_ms // 100):
            self.now_ms += 100
            self.chip.millipulses += millipulses_per_s // 10
            try:
                self.meter.sample(self.now_ms)
            except MeterError:
                if not quiet:
                    raise
            counts = self.meter.take_counts()
            self.forward += max(counts, 0)
            self.reverse -= min(counts, 0)
        return self


def test_start_counts_with_sign_and_leaves_the_registers_locked():
    bench = Bench()
    bench.meter.start()
    assert (bench.chip.mode, bench.chip.protection) == (0x07, 0)


def test_readings_are_scaled_to_the_board():
    meter = Bench().started().meter
    assert abs(meter.voltage_mv - 230_000) < 100
    assert abs(meter.current_ma - 10_000) < 2
    assert abs(meter.power_mw - 2_300_000) < 500
    assert meter.frequency_mhz == 50_000
    assert meter.is_live


def test_power_is_signed_and_a_calibration_scales_readings_and_energy():
    bench = Bench(Calibration(10_000, 20_000, 30_000))
    bench.chip.codes = (2_512_132, 3_654_000, -1_433_900, 0)
    meter = bench.started().meter
    assert abs(meter.voltage_mv - 232_300) < 100
    assert abs(meter.current_ma - 10_200) < 2
    assert abs(meter.power_mw + 2_369_000) < 500
    assert meter.frequency_mhz is None
    bench.run(100_000, 2_000).run(1_000)
    assert bench.forward == 206


def test_a_sample_never_waits_and_asks_for_all_and_the_mode_in_turns():
    bench = Bench().started()
    del bench.chip.asked[:]
    bench.run(400)
    assert sorted(bench.chip.asked) == [0x19, 0x19, 0xAA, 0xAA]


def test_what_has_flowed_is_booked_but_for_the_last_interval():
    for rate in (300, FULL_POWER_MPS, -300):
        bench = Bench().started().run(300_000, rate).run(1_000)
        booked = bench.forward - bench.reverse
        assert abs(booked - rate // 10 * 10 * 300 // 1_000) <= 1
        assert bench.meter.discarded == 0


def test_below_the_no_load_current_nothing_is_booked():
    bench = Bench()
    bench.chip.codes = (12_000, 3_654_000, 6_800, 20_000)  # 48 mA
    bench.started().run(60_000, 1_000)
    assert bench.meter.current_ma == 47
    assert bench.forward == 0


def test_a_silent_line_is_a_fault_after_a_second_and_keeps_the_energy():
    bench = Bench().started()
    bench.line.damage = lambda data: b""
    bench.run(800)
    assert bench.meter.is_live
    raises(MeterError, bench.run, 1_000)
    assert not bench.meter.is_live
    bench.chip.millipulses += 5_000
    bench.line.damage = lambda data: data
    bench.run(1_000, quiet=True).run(1_000)
    assert bench.meter.is_live
    assert bench.forward == 5
    assert bench.meter.failures >= 3


def test_an_ic_that_does_not_take_its_configuration_is_a_fault_and_books_nothing():
    bench = Bench()
    bench.chip.takes_writes = False
    bench.meter.start()
    raises(MeterError, bench.run, 3_000)
    bench.run(60_000, FULL_POWER_MPS, quiet=True)
    assert bench.forward == 0
    assert not bench.meter.is_live


def test_a_reset_books_nothing_and_configures_again():
    for before in (0, 700, 0xFFFFFE):
        bench = Bench().started()
        bench.chip.millipulses = before * 1_000
        bench.run(3_000)
        booked = bench.forward
        bench.chip.reset()
        bench.chip.millipulses = 1_000
        bench.run(2_000, quiet=True)
        assert bench.chip.mode == 0x07
        assert bench.forward <= booked, before
        assert bench.meter.discarded >= 1
        bench.run(60_000, 2_000).run(1_000)
        assert 118 <= bench.forward - booked <= 120


def test_the_counter_passes_its_end():
    bench = Bench().started()
    bench.chip.millipulses = 0xFFFFF0 * 1_000
    bench.run(2_000)
    before = bench.forward
    bench.run(60_000, 1_000).run(1_000)
    assert bench.forward - before == 60


def test_more_than_the_greatest_power_books_nothing():
    bench = Bench().started()
    bench.chip.millipulses += 50_000
    bench.run(1_000)
    assert (bench.forward, bench.meter.discarded) == (0, 1)


def test_an_answer_may_come_in_pieces():
    bench = Bench().started()
    meter, line = bench.meter, bench.line
    while bench.chip.asked[-1] != 0xAA:
        bench.run(100)
    answer, line.waiting = line.waiting, b""
    for piece in (answer[:10], answer[10:]):
        line.waiting = piece
        bench.now_ms += 40
        meter.sample(bench.now_ms)
    assert bench.chip.asked[-1] == 0x19
    assert meter.failures == 0


def test_what_has_waited_is_no_answer():
    bench = Bench().started()
    bench.line.waiting = bytes(200)
    bench.run(100)
    del bench.chip.asked[:]
    bench.run(200)
    assert 0x19 in bench.chip.asked


def test_every_single_bit_of_an_answer_may_be_wrong():
    for bit in range(8 * 23):
        bench = Bench().started().run(1_000, 2_000)
        hits = []

        def damage(data, bit=bit, hits=hits):
            if hits or bit >= 8 * len(data):
                return data
            hits.append(1)
            return flipped(data, bit)

        bench.line.damage = damage
        bench.run(3_000, 2_000).run(1_000)
        assert hits
        assert bench.forward == 8, bit
        assert bench.reverse == 0
        assert bench.meter.is_live


def test_no_damage_of_the_line_bills_more_than_has_flowed():
    for seed in range(200):
        random = Random(seed)
        bench = Bench().started()
        kinds = KINDS if seed % 11 == 10 else (KINDS[seed % 11],)
        bench.line.damage = Damage(random, kinds, (2, 3, 10, 50)[seed // 11 % 4])
        flowed = 0
        for _ in range(4):
            rate, duration_ms = random.below(FULL_POWER_MPS), 1_000 + 100 * random.below(50)
            flowed += rate // 10 * (duration_ms // 100)
            bench.run(duration_ms, rate, quiet=True)
            if random.below(4) == 0:
                bench.chip.reset()
        bench.line.damage = lambda data: data
        bench.run(2_000, quiet=True)
        assert bench.forward * 1_000 <= flowed + flowed // 1_000 + 1_000, (seed, bench.forward, flowed)  # 100.1 % and a pulse


def test_a_damaged_line_still_counts():
    for kinds in (("flip",), ("lost byte",), ("late",), ("garbage",)):
        bench = Bench().started()
        bench.line.damage = Damage(Random(3), kinds, 6)
        bench.run(60_000, 2_000, quiet=True)
        bench.line.damage = lambda data: data
        bench.run(1_000, quiet=True).run(1_000)
        assert 110 <= bench.forward <= 120, kinds


def test_a_frame_is_found_behind_rubbish():
    bench = Bench()
    bench.line.damage = lambda data: b"\x01\x02" + data
    bench.started().run(60_000, 2_000).run(1_000)
    assert (bench.meter.failures, bench.meter.voltage_mv // 1_000, bench.forward) == (0, 230, 120), bench.forward


def test_a_damaged_mode_is_no_reset():
    bench = Bench().started().run(2_000, 2_000)
    bench.line.damage = lambda data: flipped(data, 1) if len(data) == 4 else data
    bench.run(700, 2_000)
    assert bench.meter.failures >= 2
    bench.line.damage = lambda data: data
    bench.run(2_000, 2_000).run(1_000)
    assert bench.meter.discarded == 0
    assert bench.forward == 9
