"""The deterministic nonces of RFC 6979, section 3.2, with HMAC-SHA-256 for a 256-bit order."""

from hashlib import sha256

from micropython import const

_BLOCK_BYTES = const(64)
_INNER_PAD = int.from_bytes(b"\x36" * _BLOCK_BYTES, "big")
_OUTER_PAD = int.from_bytes(b"\x5c" * _BLOCK_BYTES, "big")


def _hmac(key, *parts):
    """HMAC-SHA-256 (RFC 2104) of the joined `parts`; `key` is 32 bytes."""
    padded = int.from_bytes(key, "big") << 256
    inner = sha256((padded ^ _INNER_PAD).to_bytes(_BLOCK_BYTES, "big"))
    for part in parts:
        inner.update(part)
    outer = sha256((padded ^ _OUTER_PAD).to_bytes(_BLOCK_BYTES, "big"))
    outer.update(inner.digest())
    return outer.digest()


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
