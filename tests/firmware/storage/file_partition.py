"""A partition in a file (the heap has no room for one) with the semantics of NOR flash, a count of its erases, and faults on demand."""

SECTOR = 4096
_NAME = "partition.bin"


class FilePartition:
    """`stuck` is a position whose lowest bit reads as 0 once programmed; `broken` makes each call fail. Each new one takes the file."""

    def __init__(self, sectors=16):
        self._file = open(_NAME, "w+b")  # noqa: SIM115 - as long as the partition
        for _ in range(sectors * 16):
            self._file.write(b"\xff" * 256)
        self.erases = [0] * sectors
        self.writes = 0
        self.stuck = None
        self.broken = False

    def peek(self, position, length):
        """The bytes from `position` on."""
        self._file.seek(position)
        return self._file.read(length)

    def poke(self, position, data):
        """Set bytes to anything, as damage does."""
        self._file.seek(position)
        self._file.write(data)

    def flip(self, position):
        """Flip a bit."""
        self.poke(position, bytes([self.peek(position, 1)[0] ^ 0x10]))

    def readblocks(self, block, buf, offset):
        self._check()
        self._file.seek(block * SECTOR + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset):
        self._check()
        self.writes += 1
        position = block * SECTOR + offset
        old = self.peek(position, len(buf))
        new = bytearray(old)
        for index in range(len(new)):
            new[index] &= buf[index]
        self.poke(position, new)
        if self.stuck is not None and position <= self.stuck < position + len(buf):
            self.poke(self.stuck, bytes([self.peek(self.stuck, 1)[0] & 0xFE]))

    def ioctl(self, op, arg):
        self._check()
        if op == 4:
            return len(self.erases)
        if op == 5:
            return SECTOR
        if op == 6:
            self.writes += 1
            for offset in range(0, SECTOR, 256):
                self.poke(arg * SECTOR + offset, b"\xff" * 256)
            self.erases[arg] += 1
            return 0
        return None

    def _check(self):
        if self.broken:
            raise OSError(-0x107, "ESP_ERR_TIMEOUT")
