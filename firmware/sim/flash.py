"""The part of the flash chip that holds the partition `journal`: NOR flash in the file flash.bin of the working directory.

Programming only clears bits, erasing sets a sector of 4 KB. Every operation is in the file when it returns; a kill tears none.
WATTSEAL_FLASH_LOG names a file to which each erase and program is appended: one letter, E or P, offset and length as little-endian
32-bit numbers, and for P the data as given to the chip. tests/power_cut.py makes images of flash from it.
"""

import os
import struct
from array import array

FILE = "flash.bin"
SIZE = 0x40000
SECTOR = 4096
_PAGE = 256
_ERASE_US = 45_000  # W25Q32JV data sheet, AC characteristics, typical: sector erase, page program
_PROGRAM_US = 300
_READ_US = 1_000  # 4 KB at 40 MHz in dual mode, with what the driver adds

on_time = None  # function of microseconds, called with what an operation takes
erases = array("I", bytes(4 * (SIZE // SECTOR)))  # of this process, by sector

_file = None
_log = None


def read(offset, buffer):
    """Fill `buffer` from `offset`."""
    file = _open()
    file.seek(offset)
    file.readinto(buffer)
    _take(_READ_US * len(buffer) // SECTOR)


def program(offset, data):
    """Clear the bits that `data` has as 0."""
    _note(b"P", offset, len(data), data)
    file = _open()
    view = memoryview(data)
    for start in range(0, len(data), _PAGE):
        piece = view[start : start + _PAGE]
        file.seek(offset + start)
        old = bytearray(len(piece))
        file.readinto(old)
        if old != b"\xff" * len(old):
            for index, byte in enumerate(piece):
                old[index] &= byte
            piece = old
        file.seek(offset + start)
        file.write(piece)
    _take(_PROGRAM_US * ((len(data) + _PAGE - 1) // _PAGE))


def erase(sector):
    """Set all bits of a sector."""
    _note(b"E", sector * SECTOR, SECTOR, b"")
    file = _open()
    file.seek(sector * SECTOR)
    for _ in range(SECTOR // _PAGE):
        file.write(b"\xff" * _PAGE)
    erases[sector] += 1
    _take(_ERASE_US)


def reboot():
    """Open the files anew at the next operation."""
    global _file, _log
    for file in (_file, _log):
        if file:
            file.close()
    _file = _log = None


def _open():
    global _file
    if _file is None:
        try:
            _file = open(FILE, "r+b")  # noqa: SIM115 - open until a reboot
        except OSError:  # a new chip
            _file = open(FILE, "w+b")  # noqa: SIM115
        missing = SIZE - _file.seek(0, 2)
        if missing < 0 or missing % SIZE:
            raise ValueError(f"{FILE} is no image of {SIZE} bytes: remove it")
        for _ in range(missing // _PAGE):
            _file.write(b"\xff" * _PAGE)
    return _file


def _note(letter, offset, length, data):
    global _log
    if _log is None:
        path = os.getenv("WATTSEAL_FLASH_LOG")
        _log = open(path, "ab") if path else False  # noqa: SIM115
    if _log:
        _log.write(letter + struct.pack("<II", offset, length) + data)


def _take(us):
    if on_time:
        on_time(us)
