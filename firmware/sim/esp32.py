"""MicroPython's `esp32.NVS` and `esp32.Partition`.

NVS keeps blobs and 32-bit integers in nvs.json in the working directory once committed. The only partition is `journal`, kept by flash.py.
"""

import json
import os
from binascii import hexlify, unhexlify

import flash

_FILE = "nvs.json"
_MAX_NAME = 15
_NOT_FOUND, _KEY_TOO_LONG, _INVALID_LENGTH = -0x1102, -0x1109, -0x110C

_namespaces = None  # {namespace: {"blob:key" or "i32:key": hex digits or int}}, shared by all NVS objects


def __getattr__(name):
    """Load the pulse counter when it is first asked for."""
    if name != "PCNT":
        raise AttributeError(f"module 'esp32' has no attribute '{name}'")
    from counter import PCNT

    return PCNT


class NVS:
    """One namespace. Methods raise OSError with ESP-IDF's codes, -4354 for a key that is not there."""

    def __init__(self, namespace):
        global _namespaces
        if len(namespace) > _MAX_NAME:
            raise OSError(_KEY_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        if _namespaces is None:
            _namespaces = _load()
        self._entries = _namespaces.setdefault(namespace, {})

    def set_i32(self, key, value):
        """Set an integer."""
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        self._entries[_name("i32", key)] = value

    def get_i32(self, key):
        """Return an integer."""
        return self._entry("i32", key)

    def set_blob(self, key, value):
        """Set a blob from a buffer."""
        self._entries[_name("blob", key)] = hexlify(value).decode()

    def get_blob(self, key, buffer):
        """Fill the buffer's beginning with a blob and return its length; -4364 when the buffer is too short."""
        blob = unhexlify(self._entry("blob", key))
        if len(blob) > len(buffer):
            raise OSError(_INVALID_LENGTH, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(blob)] = blob
        return len(blob)

    def erase_key(self, key):
        """Remove a key of either kind."""
        names = [name for name in (_name("blob", key), _name("i32", key)) if name in self._entries]
        if not names:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        for name in names:
            del self._entries[name]

    def commit(self):
        """Write what was set; a process that ends before has lost it."""
        with open(_FILE + ".new", "w") as file:
            json.dump(_namespaces, file)
        os.rename(_FILE + ".new", _FILE)

    def _entry(self, kind, key):
        name = _name(kind, key)
        if name not in self._entries:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return self._entries[name]


def _load():
    try:
        with open(_FILE) as file:
            return json.load(file)
    except OSError:  # a new flash
        return {}


def _name(kind, key):
    if len(key) > _MAX_NAME:
        raise OSError(_KEY_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
    return kind + ":" + key


_INVALID_ARG, _INVALID_SIZE = -0x102, -0x104
_ENOENT = 2


class Partition:
    """The partition `journal`. Methods raise OSError with ESP-IDF's codes, -258 for a place outside it and -260 for an end outside it."""

    BOOT, RUNNING = 0, 1
    TYPE_APP, TYPE_DATA = 0, 1

    def __init__(self, id, block_size=flash.SECTOR):
        if id != "journal":
            raise OSError(_ENOENT)
        if block_size != flash.SECTOR:
            raise NotImplementedError("blocks of another size than a sector")

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None, block_size=flash.SECTOR):
        """Return the partitions with that type, subtype (255: any) and label (None: any)."""
        there = type == Partition.TYPE_DATA and subtype in (0xFF, 0x06) and label in (None, "journal")
        return [Partition("journal", block_size)] if there else []

    def info(self):
        """Return (type, subtype, address, size, label, encrypted)."""
        return (1, 0x06, 0x3C0000, flash.SIZE, "journal", False)

    def readblocks(self, block_num, buf, offset=0):
        """Fill `buf` from a block on."""
        start = block_num * flash.SECTOR + offset
        _check_range(start, len(buf))
        flash.read(start, buf)

    def writeblocks(self, block_num, buf, offset=None):
        """Program `buf` from a block on; without an offset erase its blocks before."""
        start = block_num * flash.SECTOR + (offset or 0)
        if offset is None:
            _check_range(start, len(buf))
            if len(buf) % flash.SECTOR:
                raise OSError(_INVALID_SIZE, "ESP_ERR_INVALID_SIZE")
            for block in range(len(buf) // flash.SECTOR):
                flash.erase(block_num + block)
        else:
            _check_range(start, len(buf))
        flash.program(start, buf)

    def ioctl(self, op, arg=0):
        """Return the number of blocks (4) or their size (5), erase block `arg` (6), do nothing (1 to 3); None for what it does not know."""
        if op in (1, 2, 3):
            return 0
        if op == 4:
            return flash.SIZE // flash.SECTOR
        if op == 5:
            return flash.SECTOR
        if op == 6:
            _check_range(arg * flash.SECTOR, flash.SECTOR)
            flash.erase(arg)
            return 0
        return None


def _check_range(start, length):
    if not 0 <= start <= flash.SIZE:
        raise OSError(_INVALID_ARG, "ESP_ERR_INVALID_ARG")
    if start + length > flash.SIZE:
        raise OSError(_INVALID_SIZE, "ESP_ERR_INVALID_SIZE")
