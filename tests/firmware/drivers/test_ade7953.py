"""The driver against a scripted bus: every transfer is recorded, every answer can be set, and every fault of a bus can be had."""

from drivers.scripted import ADE7953Chip, Random, signed32
from plug.board import METER
from plug.drivers.ade7953 import ADE7953
from plug.errors import MeterError
from plug.metering.calibration import Calibration
from run_in_micropython import raises

LCYCMODE, WRITE_PROTECT = 0x004, 0x040
IRMSA, VRMS, AWATT, AENERGYA, CRC, VERSION = 0x31A, 0x31C, 0x312, 0x31E, 0x37F, 0x702
PERIOD, OILVL, IAPEAK, IRQSTATA, RSTIRQSTATA = 0x10E, 0x325, 0x328, 0x32D, 0x32E
OVER_CURRENT = 1 << 13
FULL_POWER = 30_732  # counts a second at 2300 W: 20.79 uWh each
MAX_POWER = 46_098

WRITES = [
    (0x040, b"\x00"),
    (0x001, b"\x01"),
    (0x301, b"\x00\x00\x00\x00"),
    (0x0FE, b"\xad"),  # the key, right before the register that it opens
    (0x120, b"\x00\x30"),
    (0x102, b"\x01\x04"),
    (0x007, b"\x00"),  # voltage gain 1
    (0x008, b"\x04"),  # current gain 16
    (0x108, b"\x00\x00"),
    (0x380, b"\x00\x40\x00\x00"),
    (0x381, b"\x00\x40\x00\x00"),
    (0x382, b"\x00\x40\x00\x00"),
    (0x389, b"\x00\x00\x00\x00"),
    (0x325, b"\x00\x4f\x58\x80"),  # 50 A of 62.5 A: 5200000
    (0x32C, b"\x00\x00\x20\x00"),  # over-current of channel A and nothing else
    (0x303, b"\x00\x00\xfc\x3f"),  # 65536 - 1346 / 1.4
    (0x001, b"\x00"),
    (0x004, b"\x00"),  # read with reset off
    (0x040, b"\x07"),
]
COMPARED = {register for register, _ in WRITES} - {0x0FE, 0x301}  # a key is not kept, the other holds status bits too


class Bench:
    """A driver and its chip on a clock that this moves by ten milliseconds a sample."""

    def __init__(self, scale=METER, calibration=None):
        self.chip = ADE7953Chip()
        self.meter = ADE7953(self.chip, scale, calibration or Calibration())
        self.interval_ms = scale["sample_interval_ms"]
        self.now_ms = 1_000
        self.forward = self.reverse = 0  # what was booked

    def started(self):
        self.meter.start()
        self.run(500)
        assert self.meter.is_live
        self.chip.log = None
        return self

    def run(self, duration_ms, counts_per_s=0, quiet=False):
        """Sample for that long; with `quiet` a MeterError is no surprise."""
        for _ in range(duration_ms // self.interval_ms):
            self.now_ms += self.interval_ms
            self.chip.flow(counts_per_s, self.interval_ms)
            try:
                self.meter.sample(self.now_ms)
            except MeterError:
                if not quiet:
                    raise
            counts = self.meter.take_counts()
            if counts > 0:
                self.forward += counts
            else:
                self.reverse -= counts
        return self


def nack():
    return OSError(19)


def test_start_writes_the_configuration_in_the_order_of_the_datasheet():
    bench = Bench()
    bench.meter.start()
    assert bench.chip.writes() == WRITES
    assert [entry[1] for entry in bench.chip.log[-2:]] == [0x32E, 0x329]  # what the reset left pending


def test_start_reads_back_every_register_it_has_written():
    bench = Bench()
    bench.meter.start()
    last_write = max(i for i, entry in enumerate(bench.chip.log) if entry[0] == "write")
    assert {register for _, register, _ in bench.chip.log[last_write:]} >= COMPARED


def test_each_register_that_reads_back_wrong_is_a_meter_fault():
    written = [register for register, _ in WRITES]
    for register in COMPARED:
        bench = Bench()
        wrong = b"\x55" * len(bench.chip.registers[register])
        bench.chip.script[register] = [None] * written.count(register) + [wrong]
        error = raises(MeterError, bench.meter.start)
        assert error.code == "meter_fault"
        assert f"0x{register:03x}" in str(error), error


def test_a_calibration_reaches_the_registers():
    bench = Bench(calibration=Calibration(10_000, -20_000, 30_000, -15, 5_000))
    bench.meter.start()
    registers = {register: int.from_bytes(data, "big") for register, data in bench.chip.writes()}
    unity = 0x400000
    assert registers[0x381] == unity * 101 // 100
    assert registers[0x380] == unity * 98 // 100
    # power goes through both and is corrected to 1.03 in all
    assert abs(registers[0x380] * registers[0x381] * registers[0x382] - unity**3 * 103 // 100) < unity**2 * 2
    assert registers[0x389] == 0x100000000 - 2_412  # -15 mW of 15484.375 W is -4.71 of 4862401, in steps of 1/512
    assert registers[0x108] == 4  # 5 us in steps of 1.119 us
    bench = Bench(calibration=Calibration(phase_ns=-5_000))
    bench.meter.start()
    assert dict(bench.chip.writes())[0x108] == b"\x02\x05"  # sign and magnitude


def test_without_a_guard_for_it_over_current_stays_off():
    scale = dict(METER)
    del scale["over_current_ma"]
    bench = Bench(scale)
    bench.meter.start()
    registers = dict(bench.chip.writes())
    assert (registers[OILVL], registers[0x32C]) == (b"\x00\xff\xff\xff", bytes(4))


def test_start_reports_a_plausible_version_only():
    bench = Bench().started()
    assert bench.meter.version == 3
    for idle in (b"\x00", b"\xff"):
        bench = Bench()
        bench.chip.dynamic[VERSION] = idle
        assert "version" in str(raises(MeterError, bench.meter.start))


def test_another_version_is_another_ic():
    bench = Bench().started()
    bench.chip.script[VERSION] = [b"\x07"]
    bench.run(200)  # read wrong once
    bench.chip.dynamic[VERSION] = b"\x07"
    raises(MeterError, bench.run, 200)
    assert not bench.meter.is_live
    bench.chip.dynamic[VERSION] = b"\x03"
    bench.chip.log = []
    bench.run(200)
    assert bench.chip.writes() == WRITES
    assert bench.meter.discarded == 1


def test_start_without_an_answer_is_a_meter_fault_and_may_be_repeated():
    bench = Bench()
    bench.chip.script[VERSION] = [nack(), nack(), nack()]
    assert "0x702" in str(raises(MeterError, bench.meter.start))
    bench.chip.script[0x102] = [nack(), nack(), nack()]
    raises(MeterError, bench.meter.start)
    bench.started().run(1_000, 5_000)
    assert bench.run(200).forward == 5_000


def test_nothing_is_known_before_the_first_samples():
    meter = Bench().meter
    assert (meter.voltage_mv, meter.current_ma, meter.power_mw, meter.frequency_mhz, meter.is_live) == (None, None, None, None, False)


def test_what_has_flowed_is_booked_but_for_the_last_interval():
    for power in (200, FULL_POWER, -200):
        bench = Bench().started().run(10_000, power)
        booked = bench.forward - bench.reverse
        assert 0 <= (power * 10 - booked) * (1 if power > 0 else -1) <= abs(power) // 5
        bench.run(300)
        assert bench.forward - bench.reverse == power * 10
        assert bench.meter.discarded == 0


def test_counts_pass_the_sign_and_the_end_of_the_register():
    for before in (0x7FFFF0, 0xFFFFF0):
        bench = Bench()
        bench.chip.energy = before * 1_000
        bench.meter.start()
        bench.run(500).run(1_000, 700).run(300)
        assert (bench.forward, bench.reverse) == (700, 0)


def test_forward_and_reverse_never_cancel():
    bench = Bench().started()
    bench.meter.take_counts = lambda: 0  # nobody takes them for a while
    bench.run(1_000, 5_000).run(1_000, -3_000).run(300)
    del bench.meter.take_counts
    first, second = bench.meter.take_counts(), bench.meter.take_counts()
    assert 4_500 <= first <= 5_000  # the interval in which it turned may get lost
    assert -3_000 <= second <= -2_500


def test_a_difference_beyond_the_greatest_power_books_nothing():
    # 1.5 times 2300 W is 4609 counts in 100 ms; 20 ms of jitter are allowed
    for jump, is_booked in ((5_000, True), (5_700, False), (-5_000, True), (-5_700, False), (1 << 22, False)):
        bench = Bench().started()
        bench.chip.energy += jump * 1_000
        bench.run(500)
        assert bench.forward - bench.reverse == (jump if is_booked else 0)
        bench.run(1_000, 1_000).run(300)
        assert bench.meter.discarded == (0 if is_booked else 1)
        assert bench.forward - bench.reverse <= (jump if is_booked else 0) + 1_000


def test_a_gap_over_30_s_books_nothing():
    for gap_ms, is_booked in ((29_000, True), (30_100, False), (-2_000, False)):
        bench = Bench().started()
        bench.now_ms += gap_ms
        bench.chip.energy += 9_000_000
        bench.run(500)
        assert bench.forward == (9_000 if is_booked else 0)


def test_a_chip_reset_books_nothing_and_configures_again():
    bench = Bench().started().run(1_000, 5_000)
    bench.chip.log = []
    bench.chip.reset()
    bench.chip.energy = 40_000
    bench.run(1_000)
    assert bench.chip.writes() == WRITES
    assert bench.forward <= 5_000
    assert bench.meter.discarded == 1
    before = bench.forward
    bench.run(1_000, 1_000).run(300)
    assert bench.forward == before + 1_000


def test_a_chip_reset_between_energy_and_its_check_books_nothing():
    bench = Bench().started()
    for register, answers in ((LCYCMODE, [b"\x40", b"\x40"]), (CRC, [b"\xff\xff\xff\xff"] * 2)):
        bench.chip.script[register] = answers
        bench.chip.energy += 300_000
        before = bench.forward
        bench.run(100)
        bench.chip.energy += 20_000
        bench.run(500)
        assert bench.forward <= before + 20


def test_one_wrong_reading_of_mode_or_checksum_is_no_reset():
    for register, answer in ((LCYCMODE, b"\x40"), (CRC, b"\x01\x02\x03\x04")):
        bench = Bench().started()
        bench.chip.script[register] = [answer]
        bench.chip.energy += 300_000
        assert bench.run(500).forward == 300
        assert bench.meter.discarded == 0


def test_a_changed_configuration_books_nothing_and_is_put_right():
    for register in (0x382, 0x303, 0x108):
        bench = Bench().started().run(1_000, 5_000)
        data = bytearray(bench.chip.registers[register])
        data[-1] ^= 1
        bench.chip.registers[register] = bytes(data)
        before = bench.forward
        bench.run(200, 5_000)
        assert bench.forward <= before + 1_000
        assert dict(WRITES)[register] == bench.chip.registers[register]
        assert bench.meter.discarded == 1


def test_the_checksum_is_not_taken_right_after_configuring():
    bench = Bench()
    bench.meter.start()
    bench.chip.log = []
    bench.run(50)
    assert CRC not in [register for _, register, _ in bench.chip.log]


def test_a_checksum_that_reads_wrong_once_is_not_kept():
    bench = Bench()
    bench.meter.start()
    bench.chip.script[CRC] = [b"\x01\x02\x03\x04"]
    bench.run(500)
    assert bench.meter.discarded == 0


def test_a_slow_board_does_not_take_the_checksum_right_after_configuring_either():
    bench = Bench(dict(METER, sample_interval_ms=100)).started()
    bench.chip.reset()
    bench.chip.script[0x008] = [None, b"\x00"]  # reads back wrong once
    raises(MeterError, bench.run, 100)
    bench.chip.log = []
    bench.run(100)
    assert bench.chip.writes() == WRITES
    assert CRC not in [register for _, register, _ in bench.chip.log]
    assert bench.run(200).meter.is_live


def test_a_failed_configuration_is_repeated_at_the_next_sample():
    bench = Bench().started()
    bench.chip.reset()
    bench.chip.script[0x008] = [None, b"\x00"]  # reads back wrong once
    raises(MeterError, bench.run, 200)
    assert not bench.meter.is_live
    bench.run(1_000)
    assert bench.meter.is_live
    assert bench.run(1_000, 1_000).run(300).forward == 1_000


def test_two_failed_transfers_are_repeated_and_counted():
    for register in (AENERGYA, LCYCMODE, CRC, IRMSA, VRMS, AWATT, PERIOD, VERSION):
        bench = Bench().started()
        bench.chip.script[register] = [nack(), nack()]
        bench.chip.energy += 321_000
        assert bench.run(500).forward == 321
        assert bench.meter.failures == 2


def test_three_failed_transfers_are_a_fault_that_loses_no_energy():
    for register in (AENERGYA, LCYCMODE, IRMSA, VRMS):
        bench = Bench().started()
        bench.chip.script[register] = [nack(), nack(), nack()]
        bench.chip.energy += 300_000
        raises(MeterError, bench.run, 100)
        assert not bench.meter.is_live
        bench.chip.energy += 400_000
        assert bench.run(500).forward == 700
        assert bench.meter.is_live


def test_after_a_fault_the_configuration_is_checked_before_anything_is_believed():
    bench = Bench().started()
    bench.chip.script[IRMSA] = [nack(), nack(), nack()]
    raises(MeterError, bench.run, 10)
    bench.chip.reset()
    bench.chip.log = []
    bench.run(10)
    assert bench.chip.writes() == WRITES
    registers = [register for _, register, _ in bench.chip.log]
    assert registers.index(LCYCMODE) < registers.index(IRMSA)


def test_a_bus_that_reads_the_same_everywhere_is_a_fault_and_books_nothing():
    for fault in ("zeros", "ones"):
        bench = Bench().started().run(1_000, 5_000)
        bench.chip.fault = lambda fault=fault: fault
        before = bench.forward
        bench.run(1_000, 5_000, quiet=True)
        assert not bench.meter.is_live
        assert bench.forward <= before + 1_000
        bench.chip.fault = lambda: None
        bench.run(3_000, 5_000)
        assert bench.meter.is_live
        assert bench.forward <= 25_000


def test_energy_that_never_reads_alike_is_a_fault():
    bench = Bench().started()
    bench.chip.script[AENERGYA] = [signed32(1), signed32(0x400000)] * 3
    raises(MeterError, bench.run, 100)


def test_every_single_bit_of_an_energy_reading_may_be_wrong():
    for bit in range(32):
        for reading in (0, 1):
            bench = Bench().started().run(1_000, 900)
            bench.chip.script[AENERGYA] = [None] * reading
            wrong = bytearray(signed32(bench.chip.energy // 1_000 + 45))
            wrong[bit // 8] ^= 1 << bit % 8
            bench.chip.script[AENERGYA].append(bytes(wrong))
            bench.run(500, 900).run(300)
            assert bench.reverse == 0, bit
            assert bench.forward == 1_350, (bit, bench.forward)


def test_a_wrong_reading_that_both_agree_on_is_dropped():
    # The same error twice in a row: nothing in the bus shows it, but the next reading does.
    for error in (7, 90, 900, 4_000, -7, -60, -900, -4_000, 1 << 20):
        bench = Bench().started().run(1_000, 900)
        wrong = signed32(bench.chip.energy // 1_000 + error)
        bench.chip.script[AENERGYA] = [wrong, wrong]
        bench.run(500, 900).run(500)
        assert bench.forward <= 1_350, error
        assert bench.reverse == 0, error


def faults_at_random(random, kinds, one_in):
    return lambda: kinds[random.below(len(kinds))] if random.below(one_in) == 0 else None


def test_no_mix_of_bus_faults_bills_more_than_has_flowed():
    faults = ("nack", "late", "flip", "address", "stale", "zeros", "ones")
    for seed in range(150):
        random = Random(seed)
        bench = Bench()
        bench.chip.random = random
        bench.started()
        kinds = faults if seed % 8 == 7 else (faults[seed % 8],)
        one_in = (3, 10, 40, 200)[seed // 8 % 4]
        flowed = 0
        for _ in range(6):
            bench.chip.fault = faults_at_random(random, kinds, one_in)
            power = random.below(FULL_POWER) if random.below(3) else random.below(300)
            duration_ms = 200 + 10 * random.below(30)
            flowed += power * duration_ms // 1_000
            bench.run(duration_ms, power, quiet=True)
            if random.below(4) == 0:
                bench.chip.reset()
        bench.chip.fault = lambda: None
        bench.run(1_000, quiet=True)
        most = flowed + flowed // 1_000 + 962  # 100.1 % and 20 mWh
        assert bench.forward <= most, (seed, kinds, one_in, bench.forward, flowed)


def test_resets_at_any_moment_bill_no_more_than_has_flowed():
    for when in range(0, 120):
        bench = Bench()
        bench.started().run(300, FULL_POWER)
        reads = [0]

        def reset_at(bench=bench, reads=reads, when=when):
            reads[0] += 1
            if reads[0] == when:
                bench.chip.reset()

        bench.chip.fault = reset_at
        bench.run(700, FULL_POWER, quiet=True)
        bench.run(300, quiet=True)
        assert bench.forward <= FULL_POWER
        assert bench.forward >= FULL_POWER // 3


def test_rms_is_scaled_to_the_board_and_rounded_down():
    bench = Bench().started()
    bench.chip.dynamic[VRMS] = (9_032_007).to_bytes(4, "big")
    bench.chip.dynamic[IRMSA] = (9_032_007 // 2).to_bytes(4, "big")
    bench.run(20)
    assert (bench.meter.voltage_mv, bench.meter.current_ma) == (350_371, 22_096)


def test_rms_beyond_the_inputs_is_a_fault():
    bench = Bench().started()
    bench.chip.dynamic[IRMSA] = (12_000_000).to_bytes(4, "big")
    raises(MeterError, bench.run, 20)


def test_power_is_scaled_to_the_board_and_signed():
    bench = Bench().started()
    for raw, power_mw in ((b"\x00\x4a\x31\xc1", 15_484_375), (b"\x00\x00\x00\x00", 0), (b"\xff\xb5\xce\x3f", -15_484_375)):
        bench.chip.dynamic[AWATT] = raw
        bench.run(100)
        assert bench.meter.power_mw == power_mw


def test_frequency_needs_a_voltage():
    bench = Bench().started()
    for period, frequency_mhz in ((4_474, 50_000), (3_728, 60_002), (10_000, None), (0, None)):
        bench.chip.dynamic[PERIOD] = period.to_bytes(2, "big")
        bench.run(100)
        assert bench.meter.frequency_mhz == frequency_mhz
    bench.chip.dynamic[PERIOD] = (4_474).to_bytes(2, "big")
    bench.chip.dynamic[VRMS] = bytes(4)
    assert bench.run(200).meter.frequency_mhz is None


def test_a_sample_costs_few_transfers_and_current_is_in_each():
    bench = Bench().started()
    for _ in range(20):
        bench.chip.log = []
        bench.run(10)
        registers = [register for _, register, _ in bench.chip.log]
        assert registers.count(IRMSA) == 1
        assert len(registers) <= 5


def test_a_slow_board_reads_everything_in_each_sample():
    bench = Bench(dict(METER, sample_interval_ms=100)).started()
    bench.chip.log = []
    bench.run(100, 5_000)
    assert {register for _, register, _ in bench.chip.log} == {AENERGYA, LCYCMODE, CRC, IRMSA, VRMS, AWATT, PERIOD, VERSION}
    assert bench.run(900, 5_000).run(200).forward == 5_000


def test_over_current_is_reported_once_with_its_peak():
    bench = Bench().started()
    assert bench.meter.take_over_current() is None
    bench.chip.status |= OVER_CURRENT
    bench.chip.dynamic[IAPEAK] = (6_500_000 * 4 // 5 + 1).to_bytes(4, "big")
    assert bench.meter.take_over_current() == 50_000
    assert bench.meter.take_over_current() is None
    assert bench.chip.dynamic[IAPEAK] == bytes(4)


def test_a_bus_that_reads_ones_is_no_over_current():
    bench = Bench().started()
    bench.chip.fault = lambda: "ones"
    raises(MeterError, bench.meter.take_over_current)


def test_over_current_is_never_lost_by_a_transfer_that_fails():
    bench = Bench().started()
    bench.chip.status |= OVER_CURRENT
    bench.chip.script[IRQSTATA] = [nack(), nack(), nack()]
    raises(MeterError, bench.meter.take_over_current)
    bench.chip.script[RSTIRQSTATA] = [nack(), nack(), nack()]
    assert bench.meter.take_over_current() is not None  # could not be cleared
    assert bench.meter.take_over_current() is not None
    assert bench.meter.take_over_current() is None


def test_a_reading_of_more_than_24_bits_is_a_fault():
    for register in (IRMSA, VRMS):
        bench = Bench().started()
        bench.chip.dynamic[register] = b"\x01\x00\x10\x00"
        raises(MeterError, bench.run, 100)
