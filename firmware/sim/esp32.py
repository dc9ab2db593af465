"""MicroPython's `esp32.NVS`: keys with a blob or a 32-bit integer, kept in nvs.json in the working directory once committed."""

import json
import os
from binascii import hexlify, unhexlify

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
