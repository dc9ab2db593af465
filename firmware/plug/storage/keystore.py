"""The device key in NVS: made once, never leaves the plug. Stock builds keep NVS in plain text: flash encryption is the owner's step."""

import os

_KEY = "secret"


def load(nvs):
    """Return the 32-byte secret kept in an `esp32.NVS` namespace, or None where there is none."""
    secret = bytearray(32)
    try:
        return bytes(secret) if nvs.get_blob(_KEY, secret) == 32 else None
    except OSError:
        return None


def create(nvs):
    """Make a secret from the hardware generator, keep it, and return it."""
    secret = os.urandom(32)
    nvs.set_blob(_KEY, secret)
    nvs.commit()
    return secret
