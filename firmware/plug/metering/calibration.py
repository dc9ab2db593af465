"""What makes one meter read right: gains, an offset and a phase from a reference meter, kept as canonical bytes."""

from binascii import crc32
from hashlib import sha256
from struct import pack, unpack

from micropython import const

from plug.errors import PlugError

_FORMAT = ">Biiiii"
_VERSION = const(1)
_LENGTH = const(25)
_PPM = const(1_000_000)
_MAX_GAIN_PPM = const(50_000)  # more than the tolerances of shunt, divider and reference explain
_MAX_OFFSET_MW = const(2_000)
_MAX_PHASE_NS = const(100_000)

_NAMES = ("voltage_gain_ppm", "current_gain_ppm", "power_gain_ppm", "power_offset_mw", "phase_ns")
_LIMITS = (_MAX_GAIN_PPM, _MAX_GAIN_PPM, _MAX_GAIN_PPM, _MAX_OFFSET_MW, _MAX_PHASE_NS)


class CalibrationError(PlugError):
    """A calibration is damaged, or corrects more than tolerances explain."""

    code = "calibration"


class Calibration:
    """Corrections to a meter's own readings: each gain in parts per million, an offset of the active power, and a phase.

    `power_gain_ppm` is the whole correction of power and energy. `phase_ns` is how much too late the meter sees the current, negative: too
    early. All 0: not calibrated. Offset and phase work only where the metering IC has registers for them. Raises CalibrationError.
    """

    def __init__(self, voltage_gain_ppm=0, current_gain_ppm=0, power_gain_ppm=0, power_offset_mw=0, phase_ns=0):
        values = (voltage_gain_ppm, current_gain_ppm, power_gain_ppm, power_offset_mw, phase_ns)
        for name, value, limit in zip(_NAMES, values, _LIMITS):  # noqa: B905 - not in MicroPython
            if not -limit <= value <= limit:
                raise CalibrationError(f"{name} is {value}: must be within +-{limit}; check shunt, divider, wiring and the reference meter")
        self.voltage_gain_ppm = voltage_gain_ppm
        self.current_gain_ppm = current_gain_ppm
        self.power_gain_ppm = power_gain_ppm
        self.power_offset_mw = power_offset_mw
        self.phase_ns = phase_ns

    @staticmethod
    def from_bytes(data):
        """Return the calibration that to_bytes() gave. Raises CalibrationError when the bytes are damaged."""
        if len(data) != _LENGTH or crc32(data[:-4]) != int.from_bytes(data[-4:], "big") or data[0] != _VERSION:
            raise CalibrationError(f"the stored calibration is damaged ({len(data)} bytes); calibrate again")
        return Calibration(*unpack(_FORMAT, data[:-4])[1:])

    def to_bytes(self):
        """Return the canonical bytes: version, the five numbers big-endian, CRC-32."""
        body = pack(_FORMAT, _VERSION, self.voltage_gain_ppm, self.current_gain_ppm, self.power_gain_ppm, self.power_offset_mw, self.phase_ns)
        return body + crc32(body).to_bytes(4, "big")

    def digest(self):
        """Return the SHA-256 of the canonical bytes."""
        return sha256(self.to_bytes()).digest()


def solve_gains(old, measured, reference):
    """Return `old` with new gains, from average (voltage_mv, current_ma, power_mw) at power factor 1 and the reference's. Raises CalibrationError."""
    return Calibration(
        _gain(old.voltage_gain_ppm, measured[0], reference[0]),
        _gain(old.current_gain_ppm, measured[1], reference[1]),
        _gain(old.power_gain_ppm, measured[2], reference[2]),
        old.power_offset_mw,
        old.phase_ns,
    )


def solve_phase(old, measured_mw, reference_mw, frequency_mhz):
    """Return `old` with a new phase, from the average power at power factor 0.5, current lagging, and the reference's. Raises CalibrationError.

    At 60 degrees a phase error of x radians changes the power by x times the tangent, the root of 3.
    """
    if reference_mw <= 0:
        raise CalibrationError(f"reference power is {reference_mw} mW: must be positive; check the load")
    low_ppm = (reference_mw - measured_mw) * _PPM // reference_mw
    phase_ns = low_ppm * 10_000_000_000 // (108_828 * frequency_mhz)  # 2 pi times the root of 3 is 10.8828
    return Calibration(old.voltage_gain_ppm, old.current_gain_ppm, old.power_gain_ppm, old.power_offset_mw, old.phase_ns + phase_ns)


def solve_offset(old, measured_mw, reference_mw):
    """Return `old` with a new offset, from the average power at a small load and the reference's. Raises CalibrationError."""
    offset_mw = old.power_offset_mw + reference_mw - measured_mw
    return Calibration(old.voltage_gain_ppm, old.current_gain_ppm, old.power_gain_ppm, offset_mw, old.phase_ns)


def _gain(old_ppm, measured, reference):
    if measured <= 0 or reference <= 0:
        raise CalibrationError(f"measured is {measured}, the reference {reference}: both must be positive; check load and wiring")
    return ((_PPM + old_ppm) * reference + measured // 2) // measured - _PPM
