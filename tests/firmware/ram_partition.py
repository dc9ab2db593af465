"""A flash partition in memory for tests: the block device of `esp32.Partition`, with the rule of NOR flash that a program only clears bits."""


class RamPartition:
    """`count` sectors of 4096 bytes; `erases` counts them by sector, `on_write()` is called before each erase and program."""

    SECTOR = 4096

    def __init__(self, count):
        self.sectors = [bytearray(b"\xff" * self.SECTOR) for _ in range(count)]
        self.erases = [0] * count
        self.on_write = lambda: None

    def readblocks(self, block, buffer, offset=0):
        data = self.sectors[block]
        assert offset + len(buffer) <= self.SECTOR
        buffer[:] = memoryview(data)[offset : offset + len(buffer)]

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        assert offset + len(buffer) <= self.SECTOR
        self.on_write()
        sector = self.sectors[block]
        for index, value in enumerate(buffer):
            sector[offset + index] &= value

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.sectors)
        if operation == 5:
            return self.SECTOR
        if operation == 6:
            self.on_write()
            self.sectors[argument][:] = b"\xff" * self.SECTOR
            self.erases[argument] += 1
        return 0
