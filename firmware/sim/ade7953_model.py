"""The metering IC ADE7953 as its bus sees it: registers, widths, clear on read, reset, interrupts, checksum.

Data sheet: Analog Devices ADE7953, rev. B. A register at 0x2xx (24 bit) is also at 0x3xx (32 bit, signed ones sign
extended). What the model does not know raises NotImplementedError: a silent wrong answer would be worse.
"""

from binascii import crc32

from ade7953_measure import OVER_CURRENT, OVER_VOLTAGE, Measurement, amplification

ADDRESS = 0x38
START_UP_MS = 100
MAX_BUS_HZ = 400_000

_UNITY_GAIN = 0x400000
_VERSION = 0x03  # our choice: the data sheet gives none

_UNSIGNED = (0x31A, 0x31B, 0x31C)
_KEY, _TUNING, _CONFIG, _CRC = 0x0FE, 0x120, 0x102, 0x37F
_RESET_PENDING, _CRC_CHANGED = 1 << 20, 1 << 21
_KNOWN_INTERRUPTS = OVER_CURRENT | OVER_VOLTAGE | _RESET_PENDING | _CRC_CHANGED

# Power-on values of what can be written. Of the last line the model keeps the value and nothing else.
_POWER_ON = {
    0x001: 0x00, 0x004: 0x40, 0x007: 0x00, 0x008: 0x00, 0x040: 0x00, 0x102: 0x8004, 0x108: 0x0000, 0x120: 0x0000, 0x201: 0x000000,
    0x203: 0x00E419, 0x204: 0x00E419, 0x205: 0x000000, 0x224: 0xFFFFFF, 0x225: 0xFFFFFF, 0x22C: 0x100000,
    0x280: _UNITY_GAIN, 0x281: _UNITY_GAIN, 0x282: _UNITY_GAIN, 0x283: _UNITY_GAIN, 0x284: _UNITY_GAIN, 0x289: 0x000000,
    0x009: 0x00, 0x101: 0x0000,
}  # fmt: skip
_NOT_IN_CRC = (0x009, 0x101)
_AMPLIFIERS = {0x007: 5, 0x008: 6}  # and how many codes each knows


class ADE7953Model(Measurement):
    """One IC behind `front_end` (the settings' object); `noise(stream)` returns the noise of this moment in a reading, in -1..1.

    Without a `world` there is no over-current, over-voltage and ripple: these need the phase of the mains.
    """

    BUS = "i2c"
    ADDRESS = ADDRESS
    MAX_BUS_HZ = MAX_BUS_HZ

    def __init__(self, front_end, frequency_mhz, noise, world=None):
        super().__init__(front_end, frequency_mhz, noise, world)
        self._is_built = False
        self.reset(0)
        self._is_built = True

    def reset(self, now_ms):
        """Go back to power-on registers; the bus is dead for the start-up time."""
        self.ready_ms = now_ms + START_UP_MS
        self.registers = dict(_POWER_ON)
        self.interrupts = _RESET_PENDING
        self.energy = {0x21E: 0.0, 0x220: 0.0, 0x222: 0.0, 0x21F: 0.0}  # active, reactive, apparent A; active B
        self.peaks = [0.0, 0.0]
        self._pointer = None
        self._unlocked = False
        self._last = (0, 0, 0)  # operation, address, data
        self._crc = None
        self.configure()
        self._notify()

    def is_ready(self, now_ms):
        """Tell whether it acknowledges its address."""
        return now_ms >= self.ready_ms

    def is_interrupting(self, now_us):
        """Tell whether its interrupt pin is low; at the end of a reset it is."""
        return bool(self.interrupts & self.registers[0x22C]) and now_us >= self.ready_ms * 1000

    def corrupt(self, address, value):
        """Change a register of the configuration as a disturbance would: no protection, no key, no last operation."""
        register = _canonical(address)
        if register not in self.registers:
            raise ValueError(f"the ADE7953 model has no register 0x{address:03X} to corrupt")
        self.registers[register] = value & 0xFFFFFF
        self._changed()

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

    def read_at(self, address, length):
        """Return what a write of the register's address and a read give."""
        self._pointer = address
        return self.read(length)

    def read(self, length):
        """Return `length` bytes of the register written last; past its end the bus floats high."""
        address = self._pointer
        if address is None:
            return b"\xff" * length
        width = _width(address)
        value = self._load(_canonical(address) if address != _CRC else _CRC)
        if width == 4 and value & 0x800000 and _is_signed(address):
            value |= 0xFF000000
        if address not in (0x0FD, 0x0FF, 0x1FE, 0x1FF, 0x2FF, 0x3FF):
            self._last = (0x35, address, value)
        data = value.to_bytes(width, "big")
        return data[:length] if length <= width else data + b"\xff" * (length - width)

    def _store(self, register, value, now_ms):
        if register not in self.registers:
            raise NotImplementedError(f"ADE7953 model: nothing known of writing register 0x{register:03X}")
        unknown = {0x004: ~0x40, 0x201: ~0x3, 0x22C: ~_KNOWN_INTERRUPTS}.get(register, 0)
        if value & unknown or (register == 0x201 and value == 3):
            raise NotImplementedError(
                f"ADE7953 model: register 0x{register:03X} = 0x{value:X}; line cycles, other modes and interrupts are not there"
            )
        if register in _AMPLIFIERS:
            amplification(value, _AMPLIFIERS[register])  # refused before it is kept: later writes must not stumble over it
        if register != 0x040 and self.registers[0x040] >> (register >> 8) & 1:
            return
        self.registers[register] = value
        if register == _CONFIG and value & 0x80:  # software reset
            self.reset(now_ms)
        else:
            self._changed()

    def _changed(self):
        self.configure()
        crc = self._checksum()
        if crc and self._crc and crc != self._crc:
            self.interrupts |= _CRC_CHANGED
        self._crc = crc
        self._notify()

    def _checksum(self):
        """Return the CRC of the configuration, 0 while CONFIG does not enable it. That of the IC also takes in registers that are not documented."""
        if not self.registers[_CONFIG] & 0x100:
            return 0
        return crc32(b"".join(self.registers[key].to_bytes(3, "little") for key in sorted(self.registers) if key not in _NOT_IN_CRC))

    def _notify(self):
        if self._world and self._is_built:
            self._world.meter_changed()

    def _load(self, register):
        if register == 0x21A:
            return self.current_rms()
        if register == 0x21C:
            return self.voltage_rms()
        if register in self.energy:
            return self._read_energy(register)
        if register in self.registers:
            sign = (self._power_w < 0) << 10 | (self._reactive_w < 0) << 12 if register == 0x201 else 0
            return self.registers[register] | sign
        if register == 0x212:
            return self.active_power() & 0xFFFFFF
        if register == 0x214:
            return self.reactive_power() & 0xFFFFFF
        if register == 0x210:
            return self.apparent_power() & 0xFFFFFF
        if register == 0x10A:
            return self.power_factor() & 0xFFFF
        if register == 0x10E:
            return self.period
        if 0x226 <= register <= 0x229:
            return self.peak(register >= 0x228, register & 1)
        if register == 0x22D:
            return self.interrupts
        if register == 0x22E:
            value, self.interrupts = self.interrupts, 0
            self._notify()
            return value
        if register in (0x0FD, 0x1FE, 0x0FF, 0x1FF, 0x2FF):
            return self._last[{0x0FD: 0, 0x1FE: 1}.get(register, 2)]
        if register == _CRC:
            return self._checksum()
        if register == 0x702:
            return _VERSION
        if register == 0x21B:
            return 0
        raise NotImplementedError(f"ADE7953 model: nothing known of reading register 0x{register:03X}")

    def _read_energy(self, register):
        """Return the counter modulo 2^24; with RSTREAD set its whole counts are then gone, the fraction stays inside."""
        whole = int(self.energy[register])
        if self.registers[0x004] & 0x40:
            self.energy[register] -= whole
        return whole & 0xFFFFFF


def _is_signed(address):
    return (0x310 <= address < 0x324 and address not in _UNSIGNED) or 0x386 <= address <= 0x38B


def _width(address):
    """Return the bytes of a register: its upper address digit says it, 0x7xx and 0x8xx hold one byte."""
    return (address >> 8) + 1 if address < 0x400 else 1


def _canonical(address):
    return address - 0x100 if 0x300 <= address < 0x400 else address
