"""The deterministic nonces of RFC 6979, section 3.2, with HMAC-SHA-256 for a 256-bit order."""

from hashlib import sha256

_BLOCK_BYTES = 64


def _hmac(key, *parts):
    """HMAC-SHA-256 (RFC 2104) of the joined `parts`; `key` is at most 64 bytes."""
    pad = bytearray(_BLOCK_BYTES)
    try:
        for i in range(_BLOCK_BYTES):
            pad[i] = 0x36 ^ (key[i] if i < len(key) else 0)
        inner = sha256(pad)
        for part in parts:
            inner.update(part)
        for i in range(_BLOCK_BYTES):
            pad[i] ^= 0x36 ^ 0x5C
        outer = sha256(pad)
        outer.update(inner.digest())
        return outer.digest()
    finally:
        pad[:] = bytes(_BLOCK_BYTES)


def nonces(secret, digest, order):
    """Yield the nonces, integers 1..order-1, in the order in which a signer tries them; `secret` and `digest` are 32 bytes big-endian."""
    reduced = (int.from_bytes(digest, "big") % order).to_bytes(32, "big")
    value = b"\x01" * 32
    key = bytes(32)
    for separator in (b"\x00", b"\x01"):
        key = _hmac(key, value, separator, secret, reduced)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        candidate = int.from_bytes(value, "big")
        if 0 < candidate < order:
            yield candidate
        key = _hmac(key, value, b"\x00")
        value = _hmac(key, value)
