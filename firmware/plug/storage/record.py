"""One record in one file: magic, sequence, length, payload, CRC-32. A file that was cut short or damaged reads as absent."""

import os
import struct
from binascii import crc32

from plug.errors import JournalError

_MAGIC = b"WSR1"
_HEADER = "<4sII"
_HEADER_SIZE = 12
_PIECE = 256
MAX_PAYLOAD = 4096


def write(path, sequence, payload):
    """Write a record and read it back; raise JournalError if flash did not keep it."""
    if len(payload) > MAX_PAYLOAD:
        raise JournalError(f"{path}: {len(payload)} bytes, more than {MAX_PAYLOAD}")
    header = struct.pack(_HEADER, _MAGIC, sequence, len(payload))
    tail = struct.pack("<I", crc32(payload, crc32(header)))
    with open(path, "wb") as file:
        file.write(header)
        file.write(payload)
        file.write(tail)
        file.flush()
    if not _holds(path, header, payload, tail):
        raise JournalError(f"{path}: flash did not keep what was written")


def _holds(path, *parts):
    """Compare a file with its parts piece by piece: a second copy of the payload would not always find room."""
    with open(path, "rb") as file:
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(part), _PIECE):
                piece = view[start : start + _PIECE]
                if file.read(len(piece)) != piece:
                    return False
        return not file.read(1)


def read(path):
    """Return (sequence, payload), or None where the file is missing, short or damaged."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_SIZE)
            if len(header) < _HEADER_SIZE:
                return None
            magic, sequence, length = struct.unpack(_HEADER, header)
            if magic != _MAGIC or length > MAX_PAYLOAD:
                return None
            payload = file.read(length)
            tail = file.read(5)
    except OSError:
        return None
    if len(payload) < length or tail != struct.pack("<I", crc32(payload, crc32(header))):
        return None
    return sequence, payload


def exists(path):
    """Tell whether a file is there, readable or not."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def make_folder(path):
    """Make a folder unless it is there."""
    if not exists(path):
        os.mkdir(path)
