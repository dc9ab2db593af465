"""The deterministic nonces of RFC 6979, section 3.2, with HMAC-SHA-256 for a 256-bit order."""

from hashlib import sha256

from micropython import const

_BLOCK_BYTES = const(64)
_KEY_BYTES = const(32)
_INNER_PAD = const(0x36)
_OUTER_PAD = const(0x5C)


class _Hmac:
    """HMAC-SHA-256 (RFC 2104) for keys of 32 bytes, with one pair of blocks for all of them."""

    def __init__(self):
        self._inner = bytearray(bytes((_INNER_PAD,)) * _BLOCK_BYTES)
        self._outer = bytearray(bytes((_OUTER_PAD,)) * _BLOCK_BYTES)

    def set_key(self, key):
        """Use `key` from now on."""
        inner, outer = self._inner, self._outer
        for i in range(_KEY_BYTES):
            inner[i] = key[i] ^ _INNER_PAD
            outer[i] = key[i] ^ _OUTER_PAD

    def digest(self, *parts):
        """The HMAC of the joined `parts`."""
        inner = sha256(self._inner)
        for part in parts:
            inner.update(part)
        outer = sha256(self._outer)
        outer.update(inner.digest())
        return outer.digest()

    def wipe(self):
        """Overwrite what the last key left."""
        for i in range(_KEY_BYTES):
            self._inner[i] = self._outer[i] = 0


def nonces(secret, digest, order):
    """Yield the nonces, integers 1..order-1, in the order in which a signer tries them; `secret` and `digest` are 32 bytes big-endian.

    Close the generator: it overwrites its blocks.
    """
    reduced = (int.from_bytes(digest, "big") % order).to_bytes(32, "big")
    value = b"\x01" * 32
    hmac = _Hmac()
    try:
        hmac.set_key(bytes(32))
        for separator in (b"\x00", b"\x01"):
            hmac.set_key(hmac.digest(value, separator, secret, reduced))
            value = hmac.digest(value)
        while True:
            value = hmac.digest(value)
            candidate = int.from_bytes(value, "big")
            if 0 < candidate < order:
                yield candidate
            hmac.set_key(hmac.digest(value, b"\x00"))
            value = hmac.digest(value)
    finally:
        hmac.wipe()
