"""The newest small value in a ring of slots: written often, so it wears a ring of sectors evenly.

A slot is 64 bytes: its number since the first one, the payload's length, the payload, CRC-32. Its place in the ring follows from its number.
A sector is erased when the ring comes round to it, just before its first slot is written. A slot that a power cut tore is skipped.
"""

import struct
from binascii import crc32

from micropython import const

from plug.errors import JournalError
from plug.storage.flash import BLANK, SECTOR

MAX_PAYLOAD = const(48)
_SLOT = const(64)
_SLOTS = const(64)  # in a sector
_LAYOUT = "<IB7x48s"
_CRC_AT = const(60)
_ATTEMPTS = const(3)


class Samples:
    """`count` sectors of `flash` from `first` on. `newest` is the newest payload, or None before the first `put`."""

    def __init__(self, flash, first, count):
        self._flash = flash
        self._first = first
        self._count = count
        self._slot = memoryview(bytearray(_SLOT))
        self._next = 0  # number of the slot to write
        self.newest = None

    def load(self):
        """Find the newest slot. Raises JournalError where slots were written but none can be read: their totals are not zero."""
        newest = -1
        for sector in range(self._count):
            number = self._first_number(sector)
            if number > newest:
                newest = number
        if newest < 0:
            self._next = self._check_unused()
            return
        number = newest
        for number in range(newest, newest - newest % _SLOTS + _SLOTS):
            if self._read(number) == number:
                self.newest = self._payload()
                newest = number
            if not self._is_erased():
                self._next = number + 1
        self._read(newest)
        self._flash.write(*self._place(newest), (self._slot,))  # a cut may have left bits that read well, but not for ever

    def put(self, payload):
        """Make `payload`, up to 48 bytes, the newest value; it is in flash when this returns. Raises JournalError."""
        if len(payload) > MAX_PAYLOAD:
            raise JournalError(f"a sample has {len(payload)} bytes, more than {MAX_PAYLOAD}")
        for attempt in range(_ATTEMPTS):
            number = self._next
            sector, offset = self._place(number)
            self._next += 1
            try:
                if offset == 0:
                    self._flash.erase(sector)
                body = struct.pack(_LAYOUT, number, len(payload), payload)
                self._flash.write(sector, offset, (body, struct.pack("<I", crc32(body))))
                break
            except JournalError:
                if attempt == _ATTEMPTS - 1:
                    raise
        self.newest = bytes(payload)

    def _place(self, number):
        """Return sector and offset of a slot."""
        return self._first + number // _SLOTS % self._count, number % _SLOTS * _SLOT

    def _read(self, number):
        """Read the slot in the place of `number`; return the number that it holds, or -1 where it holds none that belongs there."""
        self._flash.read(*self._place(number), self._slot)
        found, length = struct.unpack_from("<IB", self._slot)
        if length > MAX_PAYLOAD or (found - number) % (self._count * _SLOTS):
            return -1
        return found if struct.pack("<I", crc32(self._slot[:_CRC_AT])) == self._slot[_CRC_AT:] else -1

    def _payload(self):
        return bytes(self._slot[12 : 12 + self._slot[4]])

    def _is_erased(self):
        return self._slot == memoryview(BLANK)[:_SLOT]

    def _first_number(self, sector):
        """Return the number of a sector's first good slot, or -1."""
        for place in range(sector * _SLOTS, (sector + 1) * _SLOTS):
            number = self._read(place)
            if number >= 0 or self._is_erased():
                return number
        return -1

    def _check_unused(self):
        """Return the first free slot of a ring in which nothing was ever written to the end: torn slots stand only in its first sector."""
        free = 0
        for place in range(_SLOTS):
            self._read(place)
            if not self._is_erased():
                free = place + 1
        used = any(not self._flash.is_erased(self._first + sector, 0, SECTOR) for sector in range(1, self._count))
        if used or free == _SLOTS:
            raise JournalError("the journal's samples are all damaged: the energy total is unknown, the contactor stays open; replace the module")
        return free
