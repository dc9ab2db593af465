"""The combs' points, in files beside this module: 8 KB a curve are more than a small heap has to spare.

A point is its x and y, 32 little-endian bytes each: firmware/generate_comb_tables.py says which points. firmware/build.py makes the files.
"""

from binascii import hexlify
from hashlib import sha256

from micropython import const

_POINT_BYTES = const(64)
_POINTS = const(128)


class Table:
    """The table in the file `name` with this SHA-256 (hex). Raises OSError where there is none, ValueError where it is another one.

    `last` is the point that was read last: to be overwritten after use, for which one it is says what a digit of a nonce was.
    Twice the same nonce, once with a damaged point, would give the secret away: that is why the file is checked.
    """

    def __init__(self, name, digest):
        self._file = open(f"{__file__.rpartition('/')[0]}/{name}", "rb")  # noqa: SIM115 - open as long as the firmware runs
        self.last = bytearray(_POINT_BYTES)
        found = sha256()
        for index in range(_POINTS):
            found.update(self.point(index))
        if hexlify(found.digest()).decode() != digest:
            raise ValueError(f"{name} is damaged: copy the firmware to the flash again")

    def point(self, index):
        """Point number `index`, x and y (64 bytes), in a buffer that the next call overwrites."""
        self._file.seek(index * _POINT_BYTES)
        if self._file.readinto(self.last) != _POINT_BYTES:
            raise OSError("a table beside plug/crypto ends too early: copy the firmware to the flash again")
        return self.last
