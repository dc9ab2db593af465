"""The device key in NVS: made once, never leaves the plug. Stock builds keep NVS in plain text: flash encryption is the owner's step."""

import os

from plug.errors import JournalError

_KEY = "secret"


def load_or_create(nvs, first_boot):
    """Return the 32-byte secret kept in an `esp32.NVS` namespace, making it from the hardware generator at the first boot.

    Raises JournalError where a plug that has a journal has no readable key: a new one would orphan its unpaid receipts.
    """
    secret = bytearray(32)
    try:
        if nvs.get_blob(_KEY, secret) == 32:
            return bytes(secret)
    except OSError:
        pass
    if not first_boot:
        raise JournalError("the device key is missing or damaged, but a journal is there: erase both only when every receipt is settled")
    secret = os.urandom(32)
    nvs.set_blob(_KEY, secret)
    nvs.commit()
    return secret
