# needs: sim
"""The metering IC's model against figures worked out from the data sheet by hand."""

from ade7953_model import ADE7953Model
from run_in_micropython import raises

FRONT_END = {"shunt_uohm": 500, "divider_upper_ohm": 990000, "divider_lower_ohm": 1000, "gain_error_ppm": 0, "noise_ppm": 0}

# 0.353553 V rms full scale; 991 : 1 divider; 500 uOhm shunt behind a gain of 16.
FULL_SCALE_W = 350.3714 * 44.19417
WH_PER_COUNT = FULL_SCALE_W / (206900 * 3600)


def write(meter, register, width, value):
    meter.write(register.to_bytes(2, "big") + value.to_bytes(width, "big"), 1000)


def read(meter, register, width):
    meter.write(register.to_bytes(2, "big"), 1000)
    return int.from_bytes(meter.read(width), "big")


def started(**front_end):
    """A meter set up as a driver should: tuned, shunt gain 16, reading does not clear the energy."""
    meter = ADE7953Model(dict(FRONT_END, **front_end), 50000, lambda stream: 0.5)
    write(meter, 0x0FE, 1, 0xAD)
    write(meter, 0x120, 2, 0x0030)
    write(meter, 0x008, 1, 4)
    write(meter, 0x004, 1, 0x00)
    return meter


def charge(meter, voltage_v, current_a, seconds):
    for _ in range(seconds):
        meter.measure(voltage_v, current_a, voltage_v * current_a, 1000, 0.5)


def close(value, expected, ppm):
    assert abs(value - expected) <= abs(expected) * ppm / 1e6, (value, expected)


def test_answers_100_ms_after_power_on():
    meter = ADE7953Model(FRONT_END, 50000, lambda stream: 0)
    assert not meter.is_ready(99)
    assert meter.is_ready(100)


def test_energy_counts_are_the_true_energy():
    meter = started()
    charge(meter, 230, 10, 60)
    close(read(meter, 0x31E, 4) * WH_PER_COUNT, 230 * 10 / 60, 2)


def test_gain_error_is_the_stated_one():
    meter = started(gain_error_ppm=-2000)
    charge(meter, 230, 10, 60)
    close(read(meter, 0x31E, 4) * WH_PER_COUNT, 230 * 10 / 60 * 0.998, 2)


def test_noise_moves_the_energy_by_its_level_at_most():
    meter = started(noise_ppm=400)
    charge(meter, 230, 10, 60)
    close(read(meter, 0x31E, 4) * WH_PER_COUNT, 230 * 10 / 60 * 1.0002, 2)


def test_reading_clears_the_energy_after_power_on():
    meter = started()
    write(meter, 0x004, 1, 0x40)
    charge(meter, 230, 10, 10)
    first = read(meter, 0x31E, 4)
    assert first > 0
    assert read(meter, 0x31E, 4) == 0
    charge(meter, 230, 10, 10)
    assert abs(read(meter, 0x31E, 4) - first) <= 1, "the fraction of a count must not be lost or doubled"


def test_reading_keeps_the_energy_without_rstread():
    meter = started()
    charge(meter, 230, 10, 10)
    assert read(meter, 0x31E, 4) == read(meter, 0x31E, 4) > 0


def test_energy_wraps_at_24_bits_and_is_signed():
    meter = started()
    values = []
    for _ in range(60):
        charge(meter, 230, 10, 10)
        values.append(read(meter, 0x31E, 4))
    assert any(value >= 0xFF800000 for value in values), "the upper half must read as negative"
    assert all(value < 0x800000 or value >= 0xFF800000 for value in values)
    counts = sum((values[i] - values[i - 1]) % (1 << 24) for i in range(1, len(values)))
    assert counts > 1 << 24
    close(counts * WH_PER_COUNT, 230 * 10 * 590 / 3600, 2)


def test_24_bit_and_32_bit_addresses_hold_the_same():
    meter = started()
    charge(meter, 230, 10, 150)
    assert read(meter, 0x31E, 4) == read(meter, 0x21E, 3)
    charge(meter, 230, 10, 150)
    assert read(meter, 0x31E, 4) == 0xFF000000 | read(meter, 0x21E, 3)
    for register in (0x212, 0x21A, 0x21C, 0x203):
        assert read(meter, register, 3) == read(meter, register + 0x100, 4) != 0


def test_rms_is_unsigned():
    meter = started()
    charge(meter, 345, 0, 5)
    assert 0x800000 < read(meter, 0x31C, 4) == read(meter, 0x21C, 3)


def test_a_short_read_gets_the_leading_bytes_and_a_long_one_a_floating_bus():
    meter = started()
    meter.write(b"\x03\x03", 1000)
    assert meter.read(4) == b"\x00\x00\xe4\x19"
    assert meter.read(2) == b"\x00\x00"
    assert meter.read(6) == b"\x00\x00\xe4\x19\xff\xff"


def test_power_and_rms_readings():
    meter = started()
    charge(meter, 230, 10, 5)
    close(read(meter, 0x312, 4), 230 * 10 / FULL_SCALE_W * 4862401, 10)
    close(read(meter, 0x31C, 4), 230 / 350.3714 * 9032007, 5)
    close(read(meter, 0x31A, 4), 10 / 44.19417 * 9032007, 5)


def test_rms_lags_half_a_second_and_power_does_not():
    meter = started()
    charge(meter, 230, 0, 5)
    meter.measure(230, 10, 230.0, 100, 0)
    assert read(meter, 0x31A, 4) < 0.7 * 10 / 44.19417 * 9032007
    close(read(meter, 0x312, 4), 230 * 10 / FULL_SCALE_W * 4862401, 10)
    for _ in range(5):
        meter.measure(230, 10, 230.0, 100, 0)
    close(read(meter, 0x31A, 4), 10 / 44.19417 * 9032007, 20000)


def test_gain_registers_scale_what_they_should():
    meter = started()
    charge(meter, 230, 10, 5)
    power, voltage, current = read(meter, 0x312, 4), read(meter, 0x31C, 4), read(meter, 0x31A, 4)
    write(meter, 0x380, 4, 0x200000)
    close(read(meter, 0x31A, 4), current / 2, 2)
    close(read(meter, 0x312, 4), power / 2, 2)
    write(meter, 0x382, 4, 0x200000)
    close(read(meter, 0x312, 4), power / 4, 3)
    assert read(meter, 0x31C, 4) == voltage


def test_below_the_no_load_threshold_no_energy_counts():
    threshold_w = FULL_SCALE_W / 10000  # 0x00E419 at power-on
    meter = started()
    charge(meter, 230, 0.9 * threshold_w / 230, 100)
    assert read(meter, 0x31E, 4) == 0
    write(meter, 0x001, 1, 1)
    charge(meter, 230, 0.9 * threshold_w / 230, 100)
    close(read(meter, 0x31E, 4) * WH_PER_COUNT, 0.9 * threshold_w / 36, 1000)


def test_inputs_over_full_scale_are_clipped():
    meter = started()
    charge(meter, 230, 88.38834, 60)
    close(read(meter, 0x31E, 4) * WH_PER_COUNT, 230 * 44.19417 / 60, 5)


def test_tuning_needs_the_key_right_before_it():
    meter = started()
    write(meter, 0x120, 2, 0x0000)
    assert read(meter, 0x120, 2) == 0x0030
    write(meter, 0x0FE, 1, 0xAD)
    write(meter, 0x004, 1, 0x00)
    write(meter, 0x120, 2, 0x0000)
    assert read(meter, 0x120, 2) == 0x0030


def test_an_untuned_meter_reads_high():
    meter = ADE7953Model(FRONT_END, 50000, lambda stream: 0)
    write(meter, 0x008, 1, 4)
    charge(meter, 230, 10, 60)
    assert read(meter, 0x31E, 4) * WH_PER_COUNT > 230 * 10 / 60 * 1.005


def test_reset_restores_the_power_on_registers():
    meter = started()
    charge(meter, 230, 10, 10)
    meter.reset(5000)
    assert not meter.is_ready(5099)
    assert read(meter, 0x004, 1) == 0x40
    assert read(meter, 0x008, 1) == 0
    assert read(meter, 0x102, 2) == 0x8004
    assert read(meter, 0x31E, 4) == 0
    assert read(meter, 0x32E, 4) == 1 << 20, "RSTIRQSTATA tells the reset"
    assert read(meter, 0x32E, 4) == 0, "once"


def test_write_protection_covers_its_widths_only():
    meter = started()
    write(meter, 0x040, 1, 0x01)
    write(meter, 0x008, 1, 5)
    write(meter, 0x303, 4, 0x1234)
    assert read(meter, 0x008, 1) == 4
    assert read(meter, 0x303, 4) == 0x1234
    write(meter, 0x040, 1, 0x00)
    write(meter, 0x008, 1, 5)
    assert read(meter, 0x008, 1) == 5


def test_line_period():
    assert read(started(), 0x10E, 2) == 4474  # 223750 Hz / 50 Hz - 1


def test_last_operation_registers():
    meter = started()
    write(meter, 0x102, 2, 0x0004)
    assert (read(meter, 0x0FD, 1), read(meter, 0x1FE, 2), read(meter, 0x1FF, 2)) == (0xCA, 0x102, 0x0004)
    read(meter, 0x004, 1)
    assert (read(meter, 0x0FD, 1), read(meter, 0x1FE, 2)) == (0x35, 0x004)


def test_what_is_not_modelled_is_refused():
    meter = started()
    raises(NotImplementedError, read, meter, 0x2FE, 3)
    raises(NotImplementedError, write, meter, 0x286, 3, 1)
    raises(NotImplementedError, write, meter, 0x004, 1, 0x01)
    raises(NotImplementedError, write, meter, 0x102, 1, 0x04)
    raises(NotImplementedError, write, meter, 0x008, 1, 6)


def test_reactive_and_apparent_power_and_the_power_factor():
    meter = started()
    for _ in range(10):
        meter.measure(230, 10, 230 * 8.0, 1000, 0, 6.0)  # power factor 0.8, lagging
    close(read(meter, 0x312, 4), 230 * 8 / FULL_SCALE_W * 4862401, 10)
    close(read(meter, 0x314, 4), 230 * 6 / FULL_SCALE_W * 4862401, 10)
    close(read(meter, 0x310, 4), 230 * 10 / FULL_SCALE_W * 4862401, 10)
    close(read(meter, 0x10A, 2), 0.8 * 0x7FFF, 200)
    close(read(meter, 0x320, 4) * WH_PER_COUNT, 230 * 6 * 10 / 3600, 100)
    close(read(meter, 0x322, 4) * WH_PER_COUNT, 230 * 10 * 10 / 3600, 100)
    meter.measure(230, 10, 230 * 8.0, 1000, 0, -6.0)
    close(0x10000 - read(meter, 0x10A, 2), 0.8 * 0x7FFF, 200)
    assert read(meter, 0x301, 4) == 1 << 12, "VARSIGN_A"


def test_a_phase_error_shows_at_half_power_and_phcala_takes_it_away():
    meter = started(phase_error_ns=-100_000)  # the current looks later than it is: 1.8 degrees at 50 Hz
    expected = 230 * 5 / FULL_SCALE_W * 4862401

    def power():
        meter.measure(230, 10, 230 * 5.0, 1000, 0, 10 * 0.75**0.5)
        return read(meter, 0x312, 4)

    close(power(), expected * (1 - 0.0314159 * 3**0.5), 1000)
    write(meter, 0x108, 2, 89)  # 100 us at 893,850 steps a second
    close(power(), expected, 1000)
    write(meter, 0x108, 2, 0x200 | 89)
    assert power() < expected * 0.9


def test_offset_and_accumulation_modes():
    meter = started()
    write(meter, 0x389, 4, 512 * 100)
    charge(meter, 230, 10, 1)
    close(read(meter, 0x312, 4), 230 * 10 / FULL_SCALE_W * 4862401 + 100, 10)
    write(meter, 0x389, 4, 0)
    for mode, share in ((0, -1), (1, 0), (2, 1)):
        meter = started(gain_error_ppm=-2_000_000)  # the shunt the wrong way round
        write(meter, 0x301, 4, mode)
        charge(meter, 230, 10, 10)
        counts = read(meter, 0x31E, 4)
        counts -= (counts >> 31) << 32
        assert abs(counts * WH_PER_COUNT - share * 230 * 10 * 10 / 3600) < 0.01, mode


def test_peaks_stay_until_their_reset_register_is_read():
    meter = started()
    charge(meter, 230, 20, 1)
    charge(meter, 230, 10, 1)
    peak = read(meter, 0x328, 4)
    close(peak, 20 / 44.19417 * 6_500_000, 10)
    assert read(meter, 0x329, 4) == peak
    charge(meter, 230, 10, 1)
    close(read(meter, 0x328, 4), 10 / 44.19417 * 6_500_000, 10)
    close(read(meter, 0x327, 4), 230 / 350.3714 * 6_500_000, 10)


def test_the_checksum_follows_the_configuration_only():
    meter = started()
    assert read(meter, 0x37F, 4) == 0, "not enabled"
    write(meter, 0x102, 2, 0x0104)
    before = read(meter, 0x37F, 4)
    charge(meter, 230, 10, 10)
    assert read(meter, 0x37F, 4) == before != 0
    meter.corrupt(0x380, 0x400001)
    assert read(meter, 0x37F, 4) != before
    assert read(meter, 0x32D, 4) & 1 << 21, "the CRC interrupt"
    meter.corrupt(0x380, 0x400000)
    assert read(meter, 0x37F, 4) == before
    raises(ValueError, meter.corrupt, 0x386, 1)


def test_ideal_energy_is_what_the_counts_stand_for():
    meter = started(gain_error_ppm=5000)
    charge(meter, 230, 10, 60)
    counts = read(meter, 0x31E, 4)
    assert abs(counts * WH_PER_COUNT * 3600 - meter.ideal_j) < WH_PER_COUNT * 3600 * 1.5
    before = meter.ideal_j
    charge(meter, 230, 0.9 * FULL_SCALE_W / 10000 / 230, 60)
    assert meter.ideal_j == before, "below no load"
    meter.reset(60_000)
    assert meter.ideal_j == before, "a reset forgets the counts, not what they were"
