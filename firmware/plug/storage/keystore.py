"""The device key's one record in NVS: what a signer needs, the last epoch, the newest retirement. A change is one write, the old or the new whole.

Blob `key`, numbers little-endian: format version 1, signer's kind, length of the material (a byte each), epoch (8 bytes), host (20), material,
then, where a key was retired, its epoch (8), plug (20) and signature; CRC-32 of it all. Stock builds keep NVS in plain text (docs/keys.md).
"""

import struct
from binascii import crc32

from micropython import const

from plug.errors import KeystoreError

NO_HOST = bytes(20)
_KEY = "key"
_VERSION = const(1)
_HEAD = "<BBBQ20s"
_HEAD_BYTES = const(31)
_RETIREMENT = "<Q20s"
_RETIREMENT_BYTES = const(28)
_CRC_BYTES = const(4)
_MAX_BYTES = const(512)
_NOT_FOUND = const(-0x1102)  # ESP_ERR_NVS_NOT_FOUND
_CURE = "restart; if it stays, erase NVS, which gives the key up, but only when every receipt is settled"


class KeyRecord:
    """`kind` and `material` of the signer, the last `epoch`, the `host` (20 bytes) enrolled in it, `retirement` (epoch, plug, signature) or None."""

    def __init__(self, kind, material, epoch=0, host=NO_HOST, retirement=None):
        self.kind = kind
        self.material = material
        self.epoch = epoch
        self.host = host
        self.retirement = retirement

    def to_bytes(self):
        """Return the blob."""
        data = struct.pack(_HEAD, _VERSION, self.kind, len(self.material), self.epoch, self.host) + self.material
        if self.retirement is not None:
            data += struct.pack(_RETIREMENT, *self.retirement[:2]) + self.retirement[2]
        return data + struct.pack("<I", crc32(data))


def load(nvs, kind):
    """Return the KeyRecord in an `esp32.NVS` namespace, or None where there is none.

    Raises KeystoreError where it cannot be read, is damaged, of another format or of another signer than `kind`: a new key would orphan
    unpaid receipts.
    """
    buffer = bytearray(_MAX_BYTES)
    try:
        length = nvs.get_blob(_KEY, buffer)
    except OSError as error:
        if error.errno == _NOT_FOUND:
            return None
        raise KeystoreError(f"the device key cannot be read from NVS ({error}): {_CURE}")
    record = _parse(bytes(buffer[:length]))
    if record.kind != kind:
        raise KeystoreError(
            f"the device key in NVS is of signer {record.kind}, this board's signer is {kind}: install the firmware of the board that made it"
        )
    return record


def _parse(data):
    body = data[:-_CRC_BYTES]
    if len(body) < _HEAD_BYTES or crc32(body) != struct.unpack("<I", data[-_CRC_BYTES:])[0]:
        raise KeystoreError(f"the device key in NVS is damaged: {_CURE}")
    version, kind, length, epoch, host = struct.unpack(_HEAD, body)
    if version != _VERSION:
        raise KeystoreError(f"the device key in NVS has format {version}, this firmware knows {_VERSION}: install the firmware that wrote it")
    material = body[_HEAD_BYTES : _HEAD_BYTES + length]
    rest = body[_HEAD_BYTES + length :]
    retirement = struct.unpack(_RETIREMENT, rest) + (rest[_RETIREMENT_BYTES:],) if rest else None
    return KeyRecord(kind, material, epoch, host, retirement)


def store(nvs, record):
    """Keep a record in place of the one before; it is in flash when this returns. Raises KeystoreError: either may be found at the next start."""
    try:
        nvs.set_blob(_KEY, record.to_bytes())
        nvs.commit()
    except OSError as error:
        raise KeystoreError(f"the device key cannot be kept in NVS ({error}): restart, see whether it is the old or the new one, and try again")
