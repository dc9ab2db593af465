"""The device key in NVS: made once, never leaves the plug. Stock builds keep NVS in plain text: flash encryption is the owner's step."""

import os

from micropython import const

from plug.errors import JournalError

_KEY = "secret"
_NOT_FOUND = const(-0x1102)  # ESP_ERR_NVS_NOT_FOUND


def load(nvs):
    """Return the 32-byte secret kept in an `esp32.NVS` namespace, or None where there is none.

    Raises JournalError where something else is kept, or it cannot be read: a new key would orphan unpaid receipts.
    """
    secret = bytearray(32)
    try:
        length = nvs.get_blob(_KEY, secret)
    except OSError as error:
        if error.errno == _NOT_FOUND:
            return None
        raise JournalError(f"the device key cannot be read from NVS ({error}): restart; erase NVS only when every receipt is settled")
    if length != len(secret):
        raise JournalError(f"NVS keeps a device key of {length} bytes, not 32: erase it only when every receipt is settled")
    return bytes(secret)


def create(nvs):
    """Make a secret from the hardware generator, keep it, and return it."""
    secret = os.urandom(32)
    nvs.set_blob(_KEY, secret)
    nvs.commit()
    return secret
