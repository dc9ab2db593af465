"""A calibration's bytes, its bounds, and what the solver makes of readings of a meter with known errors."""

from hashlib import sha256
from math import cos, pi

from plug.metering.calibration import Calibration, CalibrationError, solve_gains, solve_offset, solve_phase
from run_in_micropython import raises

NAMES = ("voltage_gain_ppm", "current_gain_ppm", "power_gain_ppm", "power_offset_mw", "phase_ns")
LIMITS = (50_000, 50_000, 50_000, 2_000, 100_000)


def numbers(calibration):
    return tuple(getattr(calibration, name) for name in NAMES)


def test_nothing_said_corrects_nothing():
    assert numbers(Calibration()) == (0, 0, 0, 0, 0)


def test_bytes_come_back_as_they_went():
    for values in ((0, 0, 0, 0, 0), LIMITS, tuple(-limit for limit in LIMITS), (1, -2, 3, -4, 5)):
        data = Calibration(*values).to_bytes()
        assert numbers(Calibration.from_bytes(data)) == values
        assert Calibration.from_bytes(data).to_bytes() == data
        assert len(data) == 25


def test_the_bytes_are_canonical():
    assert Calibration(1, -2, 3, -4, 5).to_bytes()[:-4] == b"\x01\0\0\0\x01\xff\xff\xff\xfe\0\0\0\x03\xff\xff\xff\xfc\0\0\0\x05"
    assert Calibration(7).digest() == sha256(Calibration(7).to_bytes()).digest()
    assert Calibration(7).digest() != Calibration(8).digest()


def test_every_changed_bit_is_found():
    data = Calibration(1, -2, 3, -4, 5).to_bytes()
    for bit in range(8 * len(data)):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        assert raises(CalibrationError, Calibration.from_bytes, bytes(wrong)).code == "calibration"
    for wrong in (b"", data[:-1], data + b"\0"):
        raises(CalibrationError, Calibration.from_bytes, wrong)


def test_more_than_tolerances_explain_is_refused():
    for index, limit in enumerate(LIMITS):
        for value in (limit + 1, -limit - 1):
            values = [0] * 5
            values[index] = value
            assert NAMES[index] in str(raises(CalibrationError, Calibration, *values))


def test_gains_make_the_readings_those_of_the_reference():
    truth = (230_000, 9_500, 2_185_000)
    for errors_ppm in ((10_000, -20_000, 30_000), (-700, 0, 45_000), (0, 0, 0)):
        measured = tuple(truth[i] * (1_000_000 + errors_ppm[i]) // 1_000_000 for i in range(3))
        new = solve_gains(Calibration(power_offset_mw=3, phase_ns=4), measured, truth)
        for i in range(3):
            assert abs(measured[i] * (1_000_000 + numbers(new)[i]) // 1_000_000 - truth[i]) <= 1 + truth[i] // 100_000
        assert numbers(new)[3:] == (3, 4)
        # what it reads now differs by what it was corrected by: the second time changes little
        again = solve_gains(new, truth, truth)
        assert numbers(again) == numbers(new)


def test_phase_makes_up_for_a_current_seen_too_late():
    for delay_ns, frequency_hz in ((3_000, 50), (-3_000, 50), (10_000, 60), (0, 50)):
        angle = pi / 3 + 2 * pi * frequency_hz * delay_ns / 1e9
        measured_mw = int(2_000_000 * cos(angle))
        new = solve_phase(Calibration(), measured_mw, 1_000_000, frequency_hz * 1_000)
        assert abs(new.phase_ns - delay_ns) <= abs(delay_ns) // 50 + 5, (delay_ns, new.phase_ns)
    assert solve_phase(Calibration(1, 2, 3, 4, 500), 1_000_000, 1_000_000, 50_000).phase_ns == 500


def test_offset_is_what_is_missing():
    assert solve_offset(Calibration(), 23_100, 23_000).power_offset_mw == -100
    assert solve_offset(Calibration(1, 2, 3, 40, 5), 23_100, 23_150).power_offset_mw == 90


def test_a_wrong_load_or_wiring_is_refused():
    raises(CalibrationError, solve_gains, Calibration(), (230_000, 10_000, -2_300_000), (230_000, 10_000, 2_300_000))
    raises(CalibrationError, solve_gains, Calibration(), (230_000, 10_000, 2_300_000), (230_000, 10_000, 0))
    raises(CalibrationError, solve_gains, Calibration(), (115_000, 10_000, 2_300_000), (230_000, 10_000, 2_300_000))
    raises(CalibrationError, solve_phase, Calibration(), 500_000, 1_000_000, 50_000)
    raises(CalibrationError, solve_phase, Calibration(), 500_000, 0, 50_000)
    raises(CalibrationError, solve_offset, Calibration(), 23_000, 50_000)
