"""The driver against a scripted bus: every transaction is recorded, every answer is set by the test."""

import sys

from plug.board import METER
from plug.errors import MeterError
from run_in_micropython import raises


class Time:
    """A clock that only the driver's waiting moves."""

    now_ms = 0

    @staticmethod
    def sleep_ms(duration_ms):
        Time.now_ms += duration_ms


sys.modules["time"] = Time
from plug.drivers.ade7953 import ADE7953  # noqa: E402

LCYCMODE = 0x004
WRITE_PROTECT = 0x040
IRMSA, VRMS, AWATT, AENERGYA = 0x31A, 0x31C, 0x312, 0x31E
VERSION = 0x702


class ScriptedI2C:
    """Holds register bytes as a chip after power-up would; `script` gives the next answers of a register, an exception is raised."""

    def __init__(self):
        self.log = []
        self.first_ms = None
        self.script = {}
        self.reset()

    def reset(self):
        self.registers = {
            0x001: b"\x00",
            LCYCMODE: b"\x40",
            0x007: b"\x00",
            0x008: b"\x00",
            WRITE_PROTECT: b"\x00",
            0x0FE: b"\x00",
            0x102: b"\x80\x04",
            0x120: b"\x00\x00",
            0x303: b"\x00\x00\xe4\x19",
            AENERGYA: b"\x00\x00\x00\x00",
            VERSION: b"\x03",
        }

    def energy(self, value):
        """Set the 24-bit energy register, sign-extended as the chip does in its 32-bit view."""
        value &= 0xFFFFFF
        self.registers[AENERGYA] = (value | (0xFF000000 if value & 0x800000 else 0)).to_bytes(4, "big")

    def _next(self, register):
        self.first_ms = Time.now_ms if self.first_ms is None else self.first_ms
        answers = self.script.get(register)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def readfrom_mem(self, address, register, count, *, addrsize):
        assert (address, addrsize) == (0x38, 16)
        self.log.append(("read", register, count))
        answer = self._next(register) or self.registers[register]
        assert len(answer) == count, (hex(register), count)
        return answer

    def writeto_mem(self, address, register, data, *, addrsize):
        assert (address, addrsize) == (0x38, 16)
        assert len(data) == len(self.registers[register]), hex(register)
        self.log.append(("write", register, bytes(data)))
        self._next(register)
        self.registers[register] = bytes(data)

    def writes(self):
        return [(register, data) for kind, register, data in self.log if kind == "write"]


def started():
    """Return a running driver and its bus; the first reading is taken at 1000 ms."""
    bus = ScriptedI2C()
    meter = ADE7953(bus, METER)
    meter.start()
    assert meter.read_counts(1_000) == 0
    return meter, bus


def nack():
    return OSError(19)


def test_start_writes_the_configuration_in_the_order_of_the_datasheet():
    bus = ScriptedI2C()
    ADE7953(bus, METER).start()
    assert bus.writes() == [
        (0x040, b"\x00"),
        (0x001, b"\x01"),
        (0x0FE, b"\xad"),  # the key, right before the register that it opens
        (0x120, b"\x00\x30"),
        (0x102, b"\x00\x04"),
        (0x007, b"\x00"),  # voltage gain 1
        (0x008, b"\x04"),  # current gain 16
        (0x303, b"\x00\x00\xfc\x3f"),  # 65536 - 1346 / 1.4
        (0x001, b"\x00"),
        (0x004, b"\x00"),  # read with reset off
        (0x040, b"\x07"),
    ]


def test_start_waits_for_the_chip():
    bus = ScriptedI2C()
    before_ms = Time.now_ms
    bus.script[VERSION] = [nack()]
    ADE7953(bus, METER).start()
    assert bus.first_ms - before_ms >= 100


def test_start_reads_back_every_register_it_has_written():
    bus = ScriptedI2C()
    ADE7953(bus, METER).start()
    last_write = max(i for i, entry in enumerate(bus.log) if entry[0] == "write")
    compared = {register for _, register, _ in bus.log[last_write:]}
    assert compared >= {register for register, _ in bus.writes()} - {0x0FE}  # the key is not kept


def test_start_reports_the_version():
    bus = ScriptedI2C()
    meter = ADE7953(bus, METER)
    meter.start()
    assert meter.version == 3


def test_each_register_that_reads_back_wrong_is_a_meter_fault():
    for register in (0x001, LCYCMODE, 0x007, 0x008, WRITE_PROTECT, 0x102, 0x120, 0x303):
        bus = ScriptedI2C()
        bus.script[register] = [None] * sum(1 for written in EXPECTED_WRITES if written == register) + [b"\x55" * len(bus.registers[register])]
        error = raises(MeterError, ADE7953(bus, METER).start)
        assert error.code == "meter_fault"
        assert f"0x{register:03x}" in str(error), error


EXPECTED_WRITES = (0x040, 0x001, 0x0FE, 0x120, 0x102, 0x007, 0x008, 0x303, 0x001, 0x004, 0x040)


def test_start_without_an_answer_is_a_meter_fault():
    bus = ScriptedI2C()
    bus.script[VERSION] = [nack(), nack(), nack()]
    assert "0x702" in str(raises(MeterError, ADE7953(bus, METER).start))


def test_start_may_be_called_again_after_a_fault():
    bus = ScriptedI2C()
    bus.script[0x102] = [nack(), nack(), nack()]
    meter = ADE7953(bus, METER)
    raises(MeterError, meter.start)
    meter.start()
    meter.read_counts(1_000)
    bus.energy(500)
    assert meter.read_counts(2_000) == 500


def test_the_first_reading_books_nothing():
    bus = ScriptedI2C()
    bus.energy(7_777)
    meter = ADE7953(bus, METER)
    meter.start()
    assert meter.read_counts(1_000) == 0


def test_counts_are_differences():
    meter, bus = started()
    for now_ms, energy, counts in ((2_000, 30_000, 30_000), (3_000, 30_000, 0), (4_000, 30_700, 700)):
        bus.energy(energy)
        assert meter.read_counts(now_ms) == counts
    assert meter.discarded == 0


def test_counts_pass_the_sign_and_the_end_of_the_register():
    for before, after, counts in ((0x7FFFF0, 0x800010, 0x20), (0xFFFFF0, 0x10, 0x20), (0x10, 0xFFFFF0, -0x20), (0x800010, 0x7FFFF0, -0x20)):
        bus = ScriptedI2C()
        bus.energy(before)
        meter = ADE7953(bus, METER)
        meter.start()
        meter.read_counts(0)
        bus.energy(after)
        assert meter.read_counts(1_000) == counts


def test_reverse_energy_is_negative():
    meter, bus = started()
    bus.energy(-1_234)
    assert meter.read_counts(2_000) == -1_234


def test_a_difference_beyond_the_greatest_power_books_nothing():
    # 1.5 times 2300 W is 46098 counts a second; 100 ms of jitter are allowed
    for jump, counts in ((50_000, 50_000), (51_000, 0), (-50_000, -50_000), (-51_000, 0), (1 << 22, 0)):
        meter, bus = started()
        bus.energy(jump)
        assert meter.read_counts(2_000) == counts
        bus.energy(jump + 10)
        assert meter.read_counts(3_000) == 10
        assert meter.discarded == (0 if counts else 1)


def test_a_chip_reset_books_nothing_and_configures_again():
    meter, bus = started()
    bus.energy(1_000_000)
    bus.log.clear()
    bus.reset()
    bus.energy(40)
    assert meter.read_counts(2_000) == 0
    assert [register for register, _ in bus.writes()] == list(EXPECTED_WRITES)
    assert meter.discarded == 1
    bus.energy(90)
    assert meter.read_counts(3_000) == 0  # the new baseline
    bus.energy(120)
    assert meter.read_counts(4_000) == 30


def test_a_chip_reset_between_energy_and_mode_books_nothing():
    meter, bus = started()
    bus.energy(40_000)
    bus.script[LCYCMODE] = [b"\x40"]
    assert meter.read_counts(2_000) == 0


def test_a_failed_configuration_is_repeated_at_the_next_reading():
    meter, bus = started()
    bus.reset()
    bus.script[0x008] = [None, b"\x00"]  # reads back wrong once
    raises(MeterError, meter.read_counts, 2_000)
    bus.log.clear()
    assert meter.read_counts(3_000) == 0
    assert [register for register, _ in bus.writes()] == list(EXPECTED_WRITES)
    meter.read_counts(4_000)
    bus.energy(25)
    assert meter.read_counts(5_000) == 25


def test_two_failed_reads_are_repeated():
    for register in (AENERGYA, LCYCMODE):
        meter, bus = started()
        bus.energy(321)
        bus.script[register] = [nack(), nack()]
        assert meter.read_counts(2_000) == 321


def test_three_failed_reads_are_a_fault_that_loses_no_energy():
    meter, bus = started()
    bus.energy(300)
    bus.script[AENERGYA] = [nack(), nack(), nack()]
    raises(MeterError, meter.read_counts, 2_000)
    bus.energy(700)
    assert meter.read_counts(3_000) == 700


def test_a_bit_error_on_the_bus_is_read_again():
    for wrong in (b"\x00\x10\x01\x2c", b"\xff\xff\x01\x2c"):
        meter, bus = started()
        bus.energy(300)
        bus.script[AENERGYA] = [None, wrong]
        assert meter.read_counts(2_000) == 300
        assert meter.discarded == 0


def test_energy_that_never_reads_alike_is_a_fault():
    meter, bus = started()
    bus.script[AENERGYA] = [b"\x00\x00\x00\x01", b"\x00\x40\x00\x00"] * 3
    raises(MeterError, meter.read_counts, 2_000)


def test_a_gap_over_30_s_books_nothing():
    for gap_ms, counts in ((30_000, 9_000), (30_001, 0), (-1, 0)):
        meter, bus = started()
        bus.energy(9_000)
        assert meter.read_counts(1_000 + gap_ms) == counts


def test_rms_is_scaled_to_the_board_and_rounded_down():
    meter, bus = started()
    bus.registers[VRMS] = (9_032_007).to_bytes(4, "big")
    bus.registers[IRMSA] = (9_032_007 // 2).to_bytes(4, "big")
    assert meter.read_rms() == (350_371, 22_096)


def test_power_is_scaled_to_the_board_and_signed():
    meter, bus = started()
    for raw, power_mw in ((b"\x00\x4a\x31\xc1", 15_484_375), (b"\x00\x00\x00\x00", 0), (b"\xff\xb5\xce\x3f", -15_484_375)):
        bus.registers[AWATT] = raw
        assert meter.read_power() == power_mw


def test_rms_and_power_without_an_answer_are_a_meter_fault():
    meter, bus = started()
    bus.script[VRMS] = [nack(), nack(), nack()]
    raises(MeterError, meter.read_rms)
    bus.script[AWATT] = [nack(), nack(), nack()]
    raises(MeterError, meter.read_power)
