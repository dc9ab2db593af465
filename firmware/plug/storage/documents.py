"""Records of up to 3 KB under short keys, in a log that goes round its sectors and so wears them all alike.

A sector starts with a header, a record whose key is its sequence; the sequence also gives its place. Records follow, the newest of a key wins.
The sector after the newest one never holds anything that counts: to open it, it is erased, the live records of the one after it are copied
into it, and its header is written last, which makes the copies count and the originals not. Reading begins two sectors after the newest.
So a cut while opening leaves a sector without a header, to be opened again. A record that a cut tore ends its sector. More records are copied
ahead of need, so that a call erases one sector, not many.
"""

import struct
from binascii import crc32

from micropython import const

from plug.errors import JournalError, JournalFull
from plug.storage.flash import SECTOR, UNIT

MAX_KEY = const(12)
MAX_PAYLOAD = const(3072)
_LAYOUT = "<HBB12s"  # payload's length, key's length, kind, key; the CRC of these and the payload; payload
_BODY = const(16)
_HEAD = const(20)
_FIRST = const(32)  # offset of a sector's first record
_PUT, _REMOVE, _SECTOR = const(1), const(2), const(3)
_NAME = b"wattseal"  # of this format, in sector headers


def _size(length):
    """Return the flash that a record with a payload of that length takes."""
    return (_HEAD + length + UNIT - 1) // UNIT * UNIT


def _head(kind, key, payload):
    body = struct.pack(_LAYOUT, len(payload), len(key), kind, key)
    return body + struct.pack("<I", crc32(payload, crc32(body)))


def _sector_head(sequence):
    return _head(_SECTOR, struct.pack("<8sI", _NAME, sequence), b"")


class Documents:
    """`count` sectors of `flash` from `first` on. Call `load` first; where that says False, `start`."""

    def __init__(self, flash, first, count):
        self._flash = flash
        self._first = first
        self._count = count
        self._record = memoryview(bytearray(_HEAD))
        self._index = {}  # key -> sector << 16 | first unit << 8 | units
        self._live = bytearray(count)  # units of live records in a sector
        self._sequence = -1  # of the newest sector
        self._end = SECTOR  # where its next record goes; SECTOR when nothing more must be written to it
        # Even if every record takes more than half a sector, this much live data leaves at least two sectors free after a round of copying.
        self._most = (count - 2) // 2 * (SECTOR - _FIRST)
        self._most_for_new = self._most - 2 * (SECTOR - _FIRST)  # the rest is for records that grow

    # -- reading ---------------------------------------------------------------------------------------------------------------------

    def load(self):
        """Find all records; return False where no sector is ours. Raises JournalError where a sector that must be there is damaged."""
        newest = -1
        for sector in range(self._count):
            newest = max(newest, self._sequence_of(sector))
        if newest < 0:
            return False
        for sequence in range(max(0, newest + 2 - self._count), newest + 1):
            if self._sequence_of(sequence % self._count) != sequence:
                raise JournalError(
                    f"journal sector {sequence % self._count} is damaged: its records are unknown, the contactor stays open; replace the module"
                )
            last, end = self._scan(sequence % self._count)
        self._sequence = newest
        sector = newest % self._count
        self._renew(sector, 0, _FIRST)
        if last < end:
            self._renew(sector, last, end - last)
        if self._flash.is_erased(self._first + sector, end, SECTOR):
            self._end = end
        return True

    def _sequence_of(self, sector):
        """Return the sequence in a sector's header, or -1."""
        if self._read(sector, 0) != _SECTOR:
            return -1
        name, sequence = struct.unpack_from("<8sI", self._record, 4)
        return sequence if name == _NAME and sequence % self._count == sector else -1

    def _scan(self, sector):
        """Take a sector's records into the index; return the offset of the last one and where it ends."""
        last = offset = _FIRST
        while offset <= SECTOR - 2 * UNIT:
            kind = self._read(sector, offset)
            if kind not in (_PUT, _REMOVE):
                break
            length, key_length = struct.unpack_from("<HB", self._record)
            size = _size(length)
            self._note(bytes(self._record[4 : 4 + key_length]), sector, offset, 0 if kind == _REMOVE else size)
            last = offset
            offset += size
        for place in range(offset + UNIT, SECTOR - _HEAD, UNIT):
            if self._read(sector, place) in (_PUT, _REMOVE):  # nothing is ever written behind what a cut tore
                raise JournalError(
                    f"a record at {offset} in journal sector {sector} is damaged: it may be a receipt, the contactor stays open; replace the module"
                )
        return last, offset

    def _read(self, sector, offset):
        """Read a record's head into the buffer; return its kind, or 0 where no whole record is."""
        flash, record = self._flash, self._record
        flash.read(self._first + sector, offset, record)
        length, key_length, kind = struct.unpack_from("<HBB", record)
        if length > MAX_PAYLOAD or not 0 < key_length <= MAX_KEY or offset + _size(length) > SECTOR:
            return 0
        crc = crc32(record[:_BODY])
        for piece in flash.pieces(self._first + sector, offset + _HEAD, length):
            crc = crc32(piece, crc)
        return kind if struct.pack("<I", crc) == record[_BODY:] else 0

    def _note(self, key, sector, offset, size):
        """Let the index point to a record; of size 0 when the key was removed."""
        old = self._index.get(key)
        if old is not None:
            self._live[old >> 16] -= old & 255
        if size:
            self._index[key] = sector << 16 | offset // UNIT << 8 | size // UNIT
            self._live[sector] += size // UNIT
        elif old is not None:
            del self._index[key]

    def get(self, key, buffer=None):
        """Return a key's payload, bytes or where it fits a view of `buffer`, or None. Raises JournalError where flash lost it."""
        entry = self._index.get(key)
        if entry is None:
            return None
        sector, offset = entry >> 16, (entry >> 8 & 255) * UNIT
        if self._read(sector, offset) != _PUT:
            raise JournalError(f"record {key} in journal sector {sector} is damaged: replace the module")
        length = struct.unpack_from("<H", self._record)[0]
        if buffer is not None and length <= len(buffer):
            payload = buffer[:length]
            self._flash.read(self._first + sector, offset + _HEAD, payload)
            return payload
        payload = bytearray(length)
        self._flash.read(self._first + sector, offset + _HEAD, payload)
        return bytes(payload)

    def keys(self, prefix=b""):
        """Return the keys that begin with `prefix`, sorted."""
        return sorted(key for key in self._index if key.startswith(prefix))

    # -- writing ---------------------------------------------------------------------------------------------------------------------

    def start(self):
        """Open the first sector of an empty flash."""
        self._open()

    def could_be_start(self, buffer):
        """Tell whether `buffer`, what stands at the beginning of the first sector, can be left of a cut in `start`."""
        return all(buffer[place] & wanted == wanted for place, wanted in enumerate(_sector_head(0)))

    def has_room(self, length):
        """Tell whether a new record with a payload of `length` bytes would be taken; each record takes up to 35 bytes more than its payload."""
        return sum(self._live) * UNIT + _size(length) <= self._most_for_new

    def put(self, key, payload):
        """Keep `payload`, up to 3072 bytes, under `key`, 1 to 12 bytes; it is in flash when this returns.

        Raises JournalFull without room for a new key (or for one that grows by kilobytes), JournalError where flash does not keep it.
        """
        if not 0 < len(key) <= MAX_KEY or len(payload) > MAX_PAYLOAD:
            raise JournalError(f"record {key} of {len(payload)} bytes: a key has 1 to {MAX_KEY} bytes, a payload up to {MAX_PAYLOAD}")
        size = _size(len(payload))
        old = self._index.get(key)
        live = sum(self._live) * UNIT + size
        if live > self._most_for_new if old is None else live - (old & 255) * UNIT > self._most:
            raise JournalFull(f"the journal has no room for record {key} of {len(payload)} bytes: let sessions be settled first")
        self._append(_PUT, key, payload, size)

    def remove(self, key):
        """Forget a key; without effect where it is not kept. Raises JournalError."""
        if key in self._index:
            self._append(_REMOVE, key, b"", 0)

    def _append(self, kind, key, payload, size):
        parts = (_head(kind, key, payload), payload)
        for retry in (False, True):
            self._make_room(_size(len(payload)))
            sector, offset = self._sequence % self._count, self._end
            self._end = SECTOR  # should the write fail, nothing may follow it
            try:
                end = self._flash.write(self._first + sector, offset, parts)
                break
            except JournalError:
                if retry:
                    raise
        self._end = end
        self._note(key, sector, offset, size)

    def _make_room(self, size):
        """Open sectors until a record fits into the newest one; nearly always the first one does."""
        for opened in range(self._count + 1):
            if self._end + size <= SECTOR:
                return
            if opened:  # what had to be copied leaves too little: use that for what would be copied next
                self._fill(self._count - 1, SECTOR, 0)
            self._open()
            # Copying ahead, in the proportion in which the log is live, keeps a run of full sectors from being moved all at once.
            self._fill(self._count // 4, _FIRST + (SECTOR - _FIRST) * sum(self._live) * UNIT // (self._count * SECTOR), size)
        raise JournalFull("a round of the journal gave no room: let sessions be settled first")

    def _open(self):
        self._end = SECTOR
        sequence = self._sequence + 1
        sector = sequence % self._count
        moved = {}
        self._flash.erase(self._first + sector)
        end = _FIRST
        for key in self._in_sector((sequence + 1) % self._count):
            moved[key] = end
            end = self._copy(self._index[key], sector, end)
        self._flash.write(self._first + sector, 0, (_sector_head(sequence),))
        for key in moved:
            self._note(key, sector, moved[key], (self._index[key] & 255) * UNIT)
        self._sequence = sequence
        self._end = end

    def _fill(self, ahead, share, keep):
        """Copy the live records of up to `ahead` sectors, oldest first, until the newest one is full up to `share` or would not keep `keep` bytes."""
        sector = self._sequence % self._count
        for sequence in range(self._sequence + 2, self._sequence + 1 + ahead):
            for key in self._in_sector(sequence % self._count):
                entry = self._index[key]
                start, size = self._end, (entry & 255) * UNIT
                if start >= share or start + size + keep > SECTOR:
                    return
                self._end = SECTOR
                self._end = self._copy(entry, sector, start)
                self._note(key, sector, start, size)

    def _in_sector(self, sector):
        return [key for key in self._index if self._index[key] >> 16 == sector] if self._live[sector] else ()

    def _copy(self, entry, sector, offset):
        """Copy a record to `offset` of another sector; return where it ends. Raises JournalError where the record is damaged."""
        source, start = entry >> 16, (entry >> 8 & 255) * UNIT
        if self._read(source, start) != _PUT:
            raise JournalError(f"a record in journal sector {source} is damaged: it cannot be copied, replace the module")
        pieces = self._flash.pieces(self._first + source, start, (entry & 255) * UNIT)
        return self._flash.write(self._first + sector, offset, pieces)

    def _renew(self, sector, offset, size):
        """Program what stands there once more: after a cut bits may read well, but not for ever."""
        sector += self._first
        self._flash.write(sector, offset, self._flash.pieces(sector, offset, size))
