"""The metering IC ADE7953 as its bus sees it: registers, widths, clear on read, reset, and what its channels measure.

Data sheet: Analog Devices ADE7953, rev. B. A register at 0x2xx (24 bit) is also at 0x3xx (32 bit, signed ones sign
extended). What the model does not know raises NotImplementedError: a silent wrong answer would be worse.
"""

from math import exp

ADDRESS = 0x38
START_UP_MS = 100
MAX_BUS_HZ = 400_000

_FULL_SCALE_V = 0.5 / 2**0.5  # sine of 500 mV peak
_FULL_SCALE_RMS = 9032007
_FULL_SCALE_POWER = 4862401
_FULL_SCALE_COUNTS_PER_S = 206900
_PERIOD_CLOCK_MHZ = 223_750_000  # in mHz
_UNITY_GAIN = 0x400000
_GAINS = (1, 2, 4, 8, 16, 22)
_RMS_TIME_CONSTANT_MS = 125.0  # settles to 2 % in the half second of the data sheet
_UNTUNED = 1.01  # our choice: the data sheet says only that 0x120 must be written for the stated accuracy
_VERSION = 0x03  # our choice: the data sheet gives none

_RMS = (0x31A, 0x31B, 0x31C)  # unsigned
_KEY, _TUNING = 0x0FE, 0x120
_RESET_PENDING = 1 << 20

# Power-on values of what can be written. Of the second line the model keeps the value and nothing else.
_POWER_ON = {
    0x001: 0x00, 0x004: 0x40, 0x007: 0x00, 0x008: 0x00, 0x040: 0x00, 0x102: 0x8004, 0x120: 0x0000, 0x203: 0x00E419,
    0x280: _UNITY_GAIN, 0x281: _UNITY_GAIN, 0x282: _UNITY_GAIN,
    0x009: 0x00, 0x101: 0x0000, 0x108: 0x0000, 0x201: 0x000000, 0x204: 0x00E419, 0x205: 0x000000, 0x224: 0xFFFFFF, 0x225: 0xFFFFFF, 0x22C: 0x100000,
}  # fmt: skip


class ADE7953Model:
    """One IC behind `front_end` (the settings' object); `noise(stream)` returns the noise of this moment in a reading, in -1..1."""

    def __init__(self, front_end, frequency_mhz, noise):
        ratio = front_end["divider_lower_ohm"] / (front_end["divider_upper_ohm"] + front_end["divider_lower_ohm"])
        self._input_v_per_v = ratio
        self._input_v_per_a = front_end["shunt_uohm"] / 1e6
        self._gain = 1 + front_end["gain_error_ppm"] / 1e6
        self._noise_level = front_end["noise_ppm"] / 1e6
        self._noise = noise
        self._period = _PERIOD_CLOCK_MHZ // frequency_mhz - 1
        self._voltage_rms_v = self._current_rms_a = self._power_w = 0.0
        self._dynamic = {
            0x10E: lambda: self._period,
            0x10A: lambda: 0x7FFF if self._power_w else 0,
            0x210: lambda: self._power(1),
            0x212: lambda: self._power(1),
            0x214: lambda: 0,
            0x21A: lambda: self._rms(2, self._current_rms_a * self._gain / self._full_scale_a, self._registers[0x280]),
            0x21B: lambda: 0,
            0x21C: lambda: self._rms(3, self._voltage_rms_v / self._full_scale_v, self._registers[0x281]),
            0x702: lambda: _VERSION,
        }
        self.reset(0)

    def reset(self, now_ms):
        """Go back to power-on registers; the bus is dead for the start-up time."""
        self._ready_ms = now_ms + START_UP_MS
        self._registers = dict(_POWER_ON)
        self._interrupts = _RESET_PENDING
        self._energy = {0x21E: 0.0, 0x220: 0.0, 0x222: 0.0, 0x21F: 0.0}  # active, reactive, apparent A; active B
        self._pointer = None
        self._unlocked = False
        self._last = (0, 0, 0)  # operation, address, data
        self._configure()

    def is_ready(self, now_ms):
        """Tell whether it acknowledges its address."""
        return now_ms >= self._ready_ms

    def measure(self, voltage_v, current_a, energy_j, elapsed_ms, noise):
        """Take in what flowed during the last `elapsed_ms`; voltage and current are those at its end, `noise` in -1..1 disturbs the energy."""
        power_w = energy_j * 1000 / elapsed_ms
        clip = 1.0
        if voltage_v > self._full_scale_v:
            clip = self._full_scale_v / voltage_v
        if current_a > self._full_scale_a:
            clip *= self._full_scale_a / current_a
        self._power_w = power_w * clip
        if power_w > self._no_load_w:
            counts = energy_j * clip * self._counts_per_j * (1 + self._noise_level * noise)
            self._energy[0x21E] += counts
            self._energy[0x222] += counts
        if self._voltage_rms_v != voltage_v or self._current_rms_a != current_a:
            follow = 1 - exp(-elapsed_ms / _RMS_TIME_CONSTANT_MS)
            self._voltage_rms_v = _approach(self._voltage_rms_v, voltage_v, follow)
            self._current_rms_a = _approach(self._current_rms_a, current_a, follow)

    def write(self, data, now_ms):
        """Take an I2C write: two bytes of register address, then the value or nothing."""
        if len(data) < 2:
            self._pointer = None
            return
        address = data[0] << 8 | data[1]
        self._pointer = address
        if len(data) == 2:
            return
        unlocked, self._unlocked = self._unlocked, False
        value = int.from_bytes(data[2:], "big")
        if len(data) - 2 != _width(address):
            raise NotImplementedError(f"ADE7953 model: {len(data) - 2} bytes written to register 0x{address:03X} of {_width(address)}")
        if address == _KEY:
            self._unlocked = value == 0xAD
        elif address != _TUNING or unlocked:
            self._store(_canonical(address), value & 0xFFFFFF, now_ms)
        self._last = (0xCA, address, value)

    def read(self, length):
        """Return `length` bytes of the register written last; past its end the bus floats high."""
        address = self._pointer
        if address is None:
            return b"\xff" * length
        width = _width(address)
        value = self._load(_canonical(address))
        if width == 4 and value & 0x800000 and 0x310 <= address < 0x324 and address not in _RMS:
            value |= 0xFF000000
        if address not in (0x0FD, 0x0FF, 0x1FE, 0x1FF, 0x2FF, 0x3FF):
            self._last = (0x35, address, value)
        data = value.to_bytes(width, "big")
        return data[:length] if length <= width else data + b"\xff" * (length - width)

    def _store(self, register, value, now_ms):
        protect = self._registers[0x040]
        if register not in self._registers:
            raise NotImplementedError(f"ADE7953 model: nothing known of writing register 0x{register:03X}")
        if register == 0x004 and value & ~0x40:
            raise NotImplementedError(f"ADE7953 model: line cycle accumulation (LCYCMODE 0x{value:02X})")
        if register != 0x040 and protect >> (register >> 8) & 1:
            return
        self._registers[register] = value
        if register == 0x102 and value & 0x80:  # software reset
            self.reset(now_ms)
        else:
            self._configure()

    def _load(self, register):
        if register in self._energy:
            return self._read_energy(register)
        if register in self._registers:
            return self._registers[register]
        if register in self._dynamic:
            return self._dynamic[register]()
        if register in (0x22D, 0x22E):
            value = self._interrupts
            if register == 0x22E:
                self._interrupts = 0
            return value
        last = {0x0FD: self._last[0], 0x1FE: self._last[1], 0x0FF: self._last[2], 0x1FF: self._last[2], 0x2FF: self._last[2]}
        if register in last:
            return last[register]
        raise NotImplementedError(f"ADE7953 model: nothing known of reading register 0x{register:03X}")

    def _read_energy(self, register):
        """Return the counter modulo 2^24; with RSTREAD set its whole counts are then gone, the fraction stays inside."""
        whole = int(self._energy[register])
        if self._registers[0x004] & 0x40:
            self._energy[register] -= whole
        return whole & 0xFFFFFF

    def _configure(self):
        """Work out what follows from the registers alone."""
        registers = self._registers
        self._full_scale_v = _FULL_SCALE_V / _gain(registers[0x007], 5) / self._input_v_per_v
        self._full_scale_a = _FULL_SCALE_V / _gain(registers[0x008], 6) / self._input_v_per_a
        gain = self._gain * registers[0x280] * registers[0x281] * registers[0x282] / float(_UNITY_GAIN) ** 3
        if registers[_TUNING] != 0x0030:
            gain *= _UNTUNED
        self._power_gain = gain
        full_scale_w = self._full_scale_v * self._full_scale_a
        self._counts_per_j = _FULL_SCALE_COUNTS_PER_S * gain / full_scale_w
        self._no_load_w = 0.0
        if not registers[0x001] & 1:  # equation 39: threshold register = 65536 - Y / 1.4, full scale over Y
            dynamic_range = (65536 - registers[0x203]) * 1.4
            self._no_load_w = full_scale_w / dynamic_range if dynamic_range > 0 else full_scale_w

    def _rms(self, stream, ratio, gain):
        return int(min(ratio, 1.0) * gain / _UNITY_GAIN * _FULL_SCALE_RMS * (1 + self._noise_level * self._noise(stream)))

    def _power(self, stream):
        ratio = self._power_w / (self._full_scale_v * self._full_scale_a)
        return int(ratio * self._power_gain * _FULL_SCALE_POWER * (1 + self._noise_level * self._noise(stream)))


def _approach(value, target, share):
    value += (target - value) * share
    return target if abs(target - value) < 1e-4 else value


def _gain(code, known):
    if code >= known:
        raise NotImplementedError(f"ADE7953 model: amplifier gain code {code}")
    return _GAINS[code]


def _width(address):
    """Return the bytes of a register: its upper address digit says it, 0x7xx and 0x8xx hold one byte."""
    return (address >> 8) + 1 if address < 0x400 else 1


def _canonical(address):
    return address - 0x100 if 0x300 <= address < 0x400 else address
