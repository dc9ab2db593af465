"""What the drivers' tests share: a seeded generator, and an ADE7953 behind a bus that can do everything a bus should not."""

from binascii import crc32


class Random:
    """A linear congruential generator, so that both ports see the same."""

    def __init__(self, seed):
        self._state = seed

    def below(self, limit):
        """Return an integer from 0 to limit - 1."""
        self._state = (self._state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        return (self._state >> 8) % limit


POWER_ON = {
    0x001: b"\x00", 0x004: b"\x40", 0x007: b"\x00", 0x008: b"\x00", 0x040: b"\x00", 0x0FE: b"\x00",
    0x102: b"\x80\x04", 0x108: b"\x00\x00", 0x120: b"\x00\x00",
    0x301: b"\x00\x00\x00\x00", 0x303: b"\x00\x00\xe4\x19", 0x325: b"\x00\xff\xff\xff", 0x32C: b"\x00\x10\x00\x00",
    0x380: b"\x00\x40\x00\x00", 0x381: b"\x00\x40\x00\x00", 0x382: b"\x00\x40\x00\x00", 0x389: b"\x00\x00\x00\x00",
}  # fmt: skip
CONFIGURATION = tuple(sorted(set(POWER_ON) - {0x0FE}))


def signed32(value):
    """Return the 24-bit two's complement of a number, sign extended to 32 bits, as bytes."""
    value &= 0xFFFFFF
    return (value | (0xFF000000 if value & 0x800000 else 0)).to_bytes(4, "big")


class ADE7953Chip:
    """Registers as the data sheet has them, and an energy register that counts `rate` a second with the right configuration.

    `script` gives the next answers of a register: bytes, an exception to raise, or None for the real one. `fault` is asked at each
    transfer and may name one: see _faulty. `log` holds all transfers while it is a list.
    """

    def __init__(self):
        self.log = []
        self.script = {}
        self.fault = lambda: None
        self.random = Random(1)
        self.last = b"\x00"
        self.energy = 0  # in counts, times a thousand
        self.reset()

    def reset(self):
        self.registers = dict(POWER_ON)
        self.energy = 0
        self.dynamic = {0x10E: b"\x11\x79", 0x312: bytes(4), 0x31A: bytes(4), 0x31C: b"\x00\x5a\x79\x3b", 0x328: bytes(4), 0x702: b"\x03"}
        self.status = 1 << 20

    def flow(self, counts_per_s, elapsed_ms):
        """Let energy flow; counts are those of the right configuration."""
        pga = self.registers[0x008][0]
        self.energy += counts_per_s * elapsed_ms >> (4 - min(pga, 4))

    def checksum(self):
        """Return the checksum of the configuration; of its value the data sheet only says that it changes with each bit."""
        if not self.registers[0x102][0] & 1:
            return b"\xff\xff\xff\xff"
        return crc32(b"".join(self.registers[register] for register in CONFIGURATION)).to_bytes(4, "big")

    def load(self, register, count):
        if register in self.registers:
            return self.registers[register]
        if register in self.dynamic:
            return self.dynamic[register]
        if register in (0x31E, 0x21E):
            value = signed32(self.energy // 1000)
            if self.registers[0x004][0] & 0x40:
                self.energy = 0
            return value[-count:]
        if register == 0x37F:
            return self.checksum()
        if register in (0x32D, 0x32E):
            status = self.status.to_bytes(4, "big")
            if register == 0x32E:
                self.status = 0
            return status
        if register == 0x329:
            peak, self.dynamic[0x328] = self.dynamic[0x328], bytes(4)
            return peak
        return bytes(count)

    def store(self, register, data):
        protected = self.registers[0x040][0] >> (register >> 8) & 1 if register < 0x400 and register != 0x040 else 0
        if register in self.registers and len(data) == len(self.registers[register]) and not protected:
            self.registers[register] = bytes(data)

    def readfrom_mem(self, address, register, count, *, addrsize):
        assert (address, addrsize) == (0x38, 16)
        if self.log is not None:
            self.log.append(("read", register, count))
        answers = self.script.get(register)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        fault = self.fault()
        if fault:
            return self._faulty(fault, register, count)
        self.last = answer or self.load(register, count)
        assert len(self.last) == count, (hex(register), count)
        return self.last

    def writeto_mem(self, address, register, data, *, addrsize):
        assert (address, addrsize) == (0x38, 16)
        if self.log is not None:
            self.log.append(("write", register, bytes(data)))
        answers = self.script.get(register)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        fault = self.fault()
        if fault == "nack":
            raise OSError(19)
        if fault == "address":
            register ^= 1 << self.random.below(12)
        elif fault in ("flip", "stale"):
            data = self._flipped(data)
        elif fault in ("zeros", "ones"):
            return
        self.store(register, data)
        if fault == "late":
            raise OSError(110)

    def _flipped(self, data):
        data = bytearray(data)
        bit = self.random.below(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    def _faulty(self, fault, register, count):
        """nack: no answer; late: it is lost; flip: one bit of it is wrong; address: another register answers; stale: the last answer again."""
        if fault == "nack":
            raise OSError(19)
        if fault == "zeros":
            return bytes(count)
        if fault == "ones":
            return b"\xff" * count
        if fault == "stale":
            return (bytes(4) + self.last)[-count:]
        if fault == "address":
            register ^= 1 << self.random.below(12)
        data = (bytes(4) + self.load(register, count))[-count:]
        if fault == "late":
            raise OSError(110)
        return self._flipped(data) if fault == "flip" else data

    def writes(self):
        return [(register, data) for kind, register, data in self.log if kind == "write"]
