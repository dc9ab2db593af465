"""ECDSA on secp256k1: SEC 1, version 2, section 4.1, with the nonces of RFC 6979 and Ethereum's recoverable 65-byte signatures.

Byte strings are bytes or bytearray, numbers in them big-endian:
- secret: 32 bytes, 1..N-1; digest: 32 bytes; public key: 64 bytes, x || y, on the curve.
- signature: r || s, 64 bytes, or r || s || v, 65 bytes, where v is 0 or 1, the parity of y of the point with x = r, and s is at most N / 2.
A wrong type, length or range of a secret, digest or public key, and a wrong type or length of a signature, raises ValueError.

Each function has a stepping form, a generator that returns the result, with less than 10 ms on an ESP32 between two `yield`s; arguments are checked
before it is made. Close one that is not wanted any more (plug.crypto.steps).

Not constant-time: the arithmetic on Python integers (the nonce's and the secret's products modulo N, conversions, comparisons) and the loads
from the comb's table, whose place depends on the nonce. The sequence of point operations and the field arithmetic do not depend on a secret.
Overwritten after use, also after an exception: coordinates, recoded scalars, limbs. Not overwritable in MicroPython: integers and bytes objects
that held a nonce, an HMAC key or the secret stay on the heap until it is reused.
"""

from micropython import const

from plug.crypto.keccak import keccak256
from plug.crypto.modular_inverse import inverse
from plug.crypto.rfc6979 import nonces
from plug.crypto.secp256k1_curve import CURVE, N, P
from plug.crypto.square_root import square_root_steps
from plug.crypto.steps import finish

_ADDRESS_BYTES = const(20)
_HALF_N = N >> 1


def public_key(secret):
    """The public key (64 bytes) of `secret`."""
    return finish(public_key_steps(secret))


def public_key_steps(secret):
    """public_key(secret) in steps."""
    return _public_key(_secret_scalar(secret))


def _public_key(scalar):
    return _encode_point((yield from CURVE.multiply_steps(scalar)))


def sign(secret, digest):
    """The signature r || s || v (65 bytes) of `digest`; the same for the same arguments."""
    return finish(sign_steps(secret, digest))


def sign_steps(secret, digest):
    """sign(secret, digest) in steps."""
    return _sign(_secret_scalar(secret), secret, _checked("digest", digest, 32))


def _sign(d, secret, digest):
    z = int.from_bytes(digest, "big")
    candidates = nonces(secret, digest, N)
    try:
        for k in candidates:
            yield
            r, y = yield from CURVE.multiply_steps(k)
            yield
            s = inverse(k, N) * (z + r * d) % N
            if r < N and s:  # r of N and above has no v of 0 or 1
                break
    finally:
        candidates.close()
    v = y & 1
    if s > _HALF_N:
        s = N - s
        v ^= 1
    return _encode_point((r, s)) + bytes((v,))


def verify(public, digest, signature):
    """Whether `signature` is one of `digest` by `public`. Of 65 bytes, v must be right and s low; of 64 bytes, s may be high."""
    return finish(verify_steps(public, digest, signature))


def verify_steps(public, digest, signature):
    """verify(public, digest, signature) in steps."""
    point = _decode_point(public)
    z = int.from_bytes(_checked("digest", digest, 32), "big")
    if len(_checked("signature", signature, 64, 65)) == 65:
        return _verify_recoverable(public, z, signature)
    return _verify(point, z, *_decode_pair(signature))


def _verify_recoverable(public, z, signature):
    return (yield from _recover(z, *_decode_pair(signature), signature[64])) == bytes(public)


def _verify(point, z, r, s):
    if not (0 < r < N and 0 < s < N):
        return False
    w = inverse(s, N)
    yield
    found = yield from CURVE.multiply_steps(z * w % N, point, r * w % N)
    return found is not None and found[0] % N == r


def recover(digest, signature):
    """The public key (64 bytes) that made the 65-byte `signature` of `digest`, or None if there is none, v is not 0 or 1, or s is not low."""
    return finish(recover_steps(digest, signature))


def recover_steps(digest, signature):
    """recover(digest, signature) in steps."""
    z = int.from_bytes(_checked("digest", digest, 32), "big")
    return _recover(z, *_decode_pair(_checked("signature", signature, 65)), signature[64])


def _recover(z, r, s, v):
    if v > 1 or not (0 < r < N and 0 < s <= _HALF_N):
        return None
    y = yield from square_root_steps((r * r * r + 7) % P)
    if y is None:
        return None
    if y & 1 != v:
        y = P - y
    w = inverse(r, N)
    yield
    point = yield from CURVE.multiply_steps(-z * w % N, (r, y), s * w % N)
    return None if point is None else _encode_point(point)


def address(public):
    """The Ethereum address (20 bytes) of a public key; whether it is on the curve is not looked at."""
    return keccak256(_checked("public key", public, 64))[-_ADDRESS_BYTES:]


def _checked(name, value, *lengths):
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(f"{name}: expected bytes, got {type(value).__name__}")
    if len(value) not in lengths:
        raise ValueError(f"{name}: expected {' or '.join(str(length) for length in lengths)} bytes, got {len(value)}")
    return value


def _secret_scalar(secret):
    scalar = int.from_bytes(_checked("secret", secret, 32), "big")
    if not 0 < scalar < N:
        raise ValueError("secret: not in 1 to N - 1; draw another")
    return scalar


def _decode_point(public):
    x, y = _decode_pair(_checked("public key", public, 64))
    if x >= P or y >= P or (x * x * x + 7 - y * y) % P:
        raise ValueError("public key: not a point of secp256k1")
    return x, y


def _decode_pair(data):
    return int.from_bytes(data[:32], "big"), int.from_bytes(data[32:64], "big")


def _encode_point(point):
    x, y = point
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")
