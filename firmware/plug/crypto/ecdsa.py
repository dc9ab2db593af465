"""ECDSA in steps on a curve of prime order with 256 bits: SEC 1, version 2, section 4.1, with the nonces of RFC 6979. Numbers are big-endian.

Blinding: s is computed with secret and nonce multiplied by a random number, which cancels. Without it the device multiplies the secret by r, which
everybody knows and which is another one in every receipt: the classic target for whoever can measure the device's current or time often enough.
"""

from os import urandom

from plug.crypto.arithmetic import inverse
from plug.crypto.rfc6979 import nonces


def checked(name, value, *lengths):
    """`value`, if it is bytes or a bytearray of one of these lengths. Raises ValueError, with `name`."""
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(f"{name}: expected bytes, got {type(value).__name__}")
    if len(value) not in lengths:
        raise ValueError(f"{name}: expected {' or '.join([str(length) for length in lengths])} bytes, got {len(value)}")
    return value


def secret_scalar(curve, secret):
    """The scalar of a secret (32 bytes). Raises ValueError."""
    scalar = int.from_bytes(checked("secret", secret, 32), "big")
    if not 0 < scalar < curve.order:
        raise ValueError("secret: not in 1 to N - 1; draw another")
    return scalar


def decode_point(curve, public, name):
    """The point of a public key (64 bytes, x || y). Raises ValueError, with the curve's `name`, if it is not on the curve."""
    x, y = decode_pair(checked("public key", public, 64))
    p = curve.prime
    if x >= p or y >= p or not _is_on(curve, x, y):
        raise ValueError(f"public key: not a point of {name}")
    return x, y


def _is_on(curve, x, y):
    return (x * x * x + curve.a * x + curve.b - y * y) % curve.prime == 0


def decode_pair(data):
    """Two numbers of 32 bytes each."""
    return int.from_bytes(data[:32], "big"), int.from_bytes(data[32:64], "big")


def encode_pair(pair):
    """Two numbers as 64 bytes."""
    return pair[0].to_bytes(32, "big") + pair[1].to_bytes(32, "big")


def public_key_steps(curve, scalar):
    """The public key (64 bytes) of a secret's scalar."""
    return encode_pair((yield from curve.multiply_steps(scalar)))


def sign_steps(curve, scalar, secret, digest, x_below):
    """r, s and the y of the nonce's point, whose x is below `x_below`, for a secret, its scalar and a digest (32 bytes)."""
    n = curve.order
    z = int.from_bytes(digest, "big")
    blind = int.from_bytes(urandom(32), "big") % n or 1
    blinded_scalar = scalar * blind % n
    candidates = nonces(secret, digest, n)
    try:
        for k in candidates:
            yield
            x, y = yield from curve.multiply_steps(k)
            yield
            r = x if x < n else x - n
            w = inverse(k * blind % n, n)
            yield
            s = w * (z * blind + r * blinded_scalar) % n
            if r and s and x < x_below:
                if not _is_on(curve, x, y):  # a signature with a damaged point and one with the right point would give the secret away
                    raise OSError("a signature went wrong: the table in flash or the memory is damaged; restart the plug")
                return r, s, y
    finally:
        candidates.close()


def verify_steps(curve, point, digest, signature):
    """Whether r || s, the first 64 bytes of `signature`, is a signature of `digest` (32 bytes) by the public key `point`."""
    n = curve.order
    z = int.from_bytes(digest, "big")
    r, s = decode_pair(signature)
    if not (0 < r < n and 0 < s < n):
        return False
    yield
    w = inverse(s, n)
    yield
    found = yield from curve.multiply_steps(z * w % n, point, r * w % n)
    return found is not None and found[0] % n == r
