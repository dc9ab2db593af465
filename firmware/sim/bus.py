"""Faults of a bus between processor and metering IC: answers that never come, flipped bits, lines that are stuck, a slave that is slow."""


class BusFaults:
    """`flip_ppm`: how many bytes in a million get one flipped bit; `stuck`: the byte that every read gives while lines are stuck, or None;
    `slow_us`: how much longer each transfer takes.
    """

    def __init__(self, seed):
        self.flip_ppm = self.slow_us = 0
        self.stuck = None
        self._random = seed * 2 + 1 & 0xFFFFFFFF

    @property
    def is_active(self):
        """Tell whether anything is wrong."""
        return self.stuck is not None or self.flip_ppm or self.slow_us

    def pass_on(self, data):
        """Return bytes as they arrive at the other end."""
        if not self.flip_ppm or not data:
            return data
        data = bytearray(data)
        for i in range(len(data)):
            if self._next() % 1_000_000 < self.flip_ppm:
                data[i] ^= 1 << self._next() % 8
        return bytes(data)

    def _next(self):
        """Return the next of a sequence of 24-bit numbers (a linear congruential generator without its weak low bits)."""
        self._random = self._random * 1_664_525 + 1_013_904_223 & 0xFFFFFFFF
        return self._random >> 8
