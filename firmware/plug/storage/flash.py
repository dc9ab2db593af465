"""NOR flash in sectors of 4 KB behind an `esp32.Partition`: every program and every erase is read back.

Programming clears bits, only an erase sets them, and a power cut leaves either half done. A program never crosses a page of 256 bytes
and keeps to units of 16 bytes.
"""

from micropython import const

from plug.errors import JournalError

SECTOR = const(4096)
UNIT = const(16)
BLANK = b"\xff" * 256  # erased bytes, to compare with
_PAGE = const(256)
_PIECE = const(256)
_COUNT, _SIZE, _ERASE = const(4), const(5), const(6)  # ioctl's operations


class Flash:
    """A partition's sectors. Methods raise JournalError when the chip reports an error or does not keep what it was given."""

    def __init__(self, partition):
        self._partition = partition
        self._page = memoryview(bytearray(_PAGE))
        self._check = memoryview(bytearray(_PAGE))
        self._piece = memoryview(bytearray(_PIECE))
        if partition.ioctl(_SIZE, 0) != SECTOR:
            raise JournalError(f"the journal partition has blocks of {partition.ioctl(_SIZE, 0)} bytes: open it with {SECTOR}")
        self.sectors = partition.ioctl(_COUNT, 0)

    def read(self, sector, offset, buffer):
        """Fill `buffer` from `offset` in `sector`."""
        try:
            self._partition.readblocks(sector, buffer, offset)
        except OSError as error:
            raise JournalError(f"flash sector {sector} cannot be read at {offset}: {error}; replace the module if it stays so")

    def pieces(self, sector, offset, length):
        """Yield `length` bytes as views of one small buffer, each good until the next."""
        while length > 0:
            piece = self._piece[: min(length, _PIECE)]
            self.read(sector, offset, piece)
            yield piece
            offset += _PIECE
            length -= _PIECE

    def is_erased(self, sector, start, end):
        """Tell whether all bits from byte `start` to byte `end` are set."""
        return all(piece == memoryview(BLANK)[: len(piece)] for piece in self.pieces(sector, start, end - start))

    def erase(self, sector):
        """Set all bits of a sector."""
        try:
            self._partition.ioctl(_ERASE, sector)
        except OSError as error:
            raise JournalError(f"flash sector {sector} cannot be erased: {error}; replace the module if it stays so")
        if not self.is_erased(sector, 0, SECTOR):
            raise JournalError(f"flash sector {sector} is not empty after an erase: it is worn out, replace the module")

    def write(self, sector, offset, parts):
        """Program buffers one after the other from `offset` on, filled up to a whole unit; return the offset behind them."""
        page = self._page
        room = _PAGE - offset % _PAGE
        used = 0
        for part in parts:
            view = memoryview(part)
            start = 0
            while start < len(part):
                count = min(len(part) - start, room - used)
                page[used : used + count] = view[start : start + count]
                start += count
                used += count
                if used == room:
                    self._program(sector, offset, used)
                    offset += used
                    room = _PAGE
                    used = 0
        if used:
            while used % UNIT:
                page[used] = 0xFF
                used += 1
            self._program(sector, offset, used)
        return offset + used

    def _program(self, sector, offset, length):
        data = self._page[:length]
        try:
            self._partition.writeblocks(sector, data, offset)
        except OSError as error:
            raise JournalError(f"flash sector {sector} cannot be programmed at {offset}: {error}; replace the module if it stays so")
        check = self._check[:length]
        self.read(sector, offset, check)
        if check != data:
            raise JournalError(
                f"flash sector {sector} did not keep what was written at {offset}: it may be worn out, replace the module if it stays so"
            )
