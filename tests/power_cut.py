"""Flash as a power cut leaves it: the log of erases and programs that firmware/sim/flash.py writes, rebuilt at every operation, whole and torn.

    operations = read_log(Path("flash.log").read_bytes())
    for cut in cuts(operations, blank(0x40000), Random(1)):
        Path("flash.bin").write_bytes(cut.image())     # and boot on it

A program that is cut has done its bytes up to a quarter, a half or three quarters and random bits of the next one; an erase that is cut has set
a random share of all bits. `total` says how many cuts there are.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

SECTOR = 4096
HEADER = struct.Struct("<cII")
PROGRAM_QUARTERS = (1, 2, 3)
ERASE_SHARES = (4, 128, 250)  # of 256 bits that are set


@dataclass(frozen=True)
class Operation:
    """An erase of whole sectors, or a program of `data`."""

    offset: int
    length: int
    data: bytes | None = None

    def result(self, before: bytes) -> bytes:
        """What stands in the operation's place when it is done."""
        return b"\xff" * self.length if self.data is None else _and(before, self.data)


@dataclass(frozen=True)
class Cut:
    """Power was lost in operation `number`: in its place is `content`, elsewhere what the operations before it left in `flash`."""

    number: int
    name: str
    offset: int
    content: bytes
    flash: bytearray  # good until the next cut is asked for

    def image(self) -> bytearray:
        """Return the whole flash; it is the caller's."""
        image = bytearray(self.flash)
        image[self.offset : self.offset + len(self.content)] = self.content
        return image


def blank(size: int) -> bytearray:
    """Return an erased flash."""
    return bytearray(b"\xff" * size)


def read_log(log: bytes) -> list[Operation]:
    """Return the operations of a log."""
    operations = []
    start = 0
    while start < len(log):
        letter, offset, length = HEADER.unpack_from(log, start)
        start += HEADER.size
        if letter == b"P":
            operations.append(Operation(offset, length, log[start : start + length]))
            start += length
        elif letter == b"E":
            operations.append(Operation(offset, length))
        else:
            raise ValueError(f"flash log: unknown operation {letter!r} at byte {start - HEADER.size}")
    return operations


def apply(flash: bytearray, operation: Operation) -> None:
    """Carry an operation out."""
    place = slice(operation.offset, operation.offset + operation.length)
    flash[place] = operation.result(flash[place])


def cuts(operations: list[Operation], flash: bytearray, random: Random) -> Iterator[Cut]:
    """Yield every cut of the operations on `flash`, which moves along: before each, torn in each, and after the last."""
    for number, operation in enumerate(operations):
        before = bytes(flash[operation.offset : operation.offset + operation.length])
        yield Cut(number, "before", operation.offset, b"", flash)
        for name, content in _torn(operation, before, random):
            yield Cut(number, name, operation.offset, content, flash)
        apply(flash, operation)
    yield Cut(len(operations), "after", 0, b"", flash)


def total(operations: list[Operation]) -> int:
    """Return the number of cuts that `cuts` yields."""
    return 1 + sum(1 + len(ERASE_SHARES if operation.data is None else PROGRAM_QUARTERS) for operation in operations)


def _torn(operation: Operation, before: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    if operation.data is None:
        for share in ERASE_SHARES:
            yield f"erased {share}/256", _or(before, _random_bits(operation.length, share, random))
    else:
        for quarters in PROGRAM_QUARTERS:
            done = operation.length * quarters // 4
            last = operation.data[done] | random.getrandbits(8)
            data = operation.data[:done] + bytes([last]) + b"\xff" * (operation.length - done - 1)
            yield f"programmed {quarters}/4", _and(before, data)


def _random_bits(length: int, share: int, random: Random) -> bytes:
    """Return bytes in which `share` of 256 bits are set."""
    bits = 0
    for place in range(8):  # from the lowest binary digit of the share to the highest
        more = random.getrandbits(8 * length)
        bits = bits | more if share >> place & 1 else bits & more
    return bits.to_bytes(length, "big")


def _and(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") & int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _or(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") | int.from_bytes(other, "big")).to_bytes(len(one), "big")
