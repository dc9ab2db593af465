"""The combs' points, in files beside this module: 8 KB a curve are more than a small heap has to spare.

A line is a point's x and y, 32 little-endian bytes each, in hex: firmware/generate_secp256k1_table.py says which points.
"""

from binascii import hexlify, unhexlify
from hashlib import sha256

from micropython import const

_DIGITS = const(128)
_LINE = const(129)


class Table:
    """The table in the file `name` with this SHA-256 (hex). Raises OSError where there is none, ValueError where it is another one.

    Twice the same nonce, once with a damaged point, would give the secret away: that is why the file is checked.
    """

    def __init__(self, name, digest):
        self._file = open(f"{__file__.rpartition('/')[0]}/{name}", "rb")  # noqa: SIM115 - open as long as the firmware runs
        found = sha256()
        while True:
            piece = self._file.read(_DIGITS)
            if not piece:
                break
            found.update(piece)
        if hexlify(found.digest()).decode() != digest:
            raise ValueError(f"{name} is damaged: copy the firmware to the flash again")

    def point(self, index):
        """Point number `index`, x and y (64 bytes)."""
        self._file.seek(index * _LINE)
        return unhexlify(self._file.read(_DIGITS))
