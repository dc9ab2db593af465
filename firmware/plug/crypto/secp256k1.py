"""ECDSA on secp256k1: SEC 1, version 2, section 4.1, with the nonces of RFC 6979 and Ethereum's recoverable 65-byte signatures.

Byte strings are bytes or bytearray, numbers in them big-endian:
- secret: 32 bytes, 1..N-1; digest: 32 bytes; public key: 64 bytes, x || y, on the curve.
- signature: r || s, 64 bytes, or r || s || v, 65 bytes, where v is 0 or 1, the parity of y of the point with x = r. `sign` makes and
  `recover` takes s of at most N / 2 only.
A wrong type, length or range of a secret, digest or public key, and a wrong type or length of a signature, raises ValueError.

Each function has a stepping form, a generator that returns the result, with less than 10 ms on an ESP32 between two `yield`s; arguments are checked
before it is made. Close one that is not wanted any more (plug.crypto.steps).

Not constant-time: the arithmetic on Python integers (products modulo N, conversions, comparisons), and where the processor has a cache the loads from
the comb's table, whose place depends on the nonce. What multiplies the secret and the nonce is random (plug.crypto.ecdsa), and so are the coordinates
(plug.crypto.curve). The sequence of point operations and the field arithmetic do not depend on a secret. Plain Python instead of native code
(plug.crypto.plain) has none of that but the blinding of the secret.
Overwritten after use, also after an exception: coordinates, recoded scalars, limbs, HMAC's blocks. Not overwritable in MicroPython: integers and
bytes objects that held a nonce, an HMAC key or the secret stay on the heap until it is reused.
"""

from micropython import const

from plug.crypto import ecdsa
from plug.crypto.arithmetic import inverse, square_root_steps
from plug.crypto.ecdsa import checked
from plug.crypto.keccak import keccak256
from plug.crypto.secp256k1_curve import CURVE, N, P
from plug.crypto.steps import finish

_ADDRESS_BYTES = const(20)
_HALF_N = N >> 1


def public_key(secret):
    """The public key (64 bytes) of `secret`."""
    return finish(public_key_steps(secret))


def public_key_steps(secret):
    """public_key(secret) in steps."""
    return ecdsa.public_key_steps(CURVE, ecdsa.secret_scalar(CURVE, secret))


def sign(secret, digest):
    """The signature r || s || v (65 bytes) of `digest`; the same for the same arguments."""
    return finish(sign_steps(secret, digest))


def sign_steps(secret, digest):
    """sign(secret, digest) in steps."""
    return _sign(ecdsa.secret_scalar(CURVE, secret), secret, checked("digest", digest, 32))


def _sign(scalar, secret, digest):
    r, s, y = yield from ecdsa.sign_steps(CURVE, scalar, secret, digest, N)  # an x of N and above has no v of 0 or 1
    v = y & 1
    if s > _HALF_N:
        s = N - s
        v ^= 1
    return b"".join((r.to_bytes(32, "big"), s.to_bytes(32, "big"), bytes((v,))))


def verify(public, digest, signature):
    """Whether `signature` is one of `digest` by `public`. s may be high, as the standard allows and `recover` not; of 65 bytes, v must be right."""
    return finish(verify_steps(public, digest, signature))


def verify_steps(public, digest, signature):
    """verify(public, digest, signature) in steps."""
    point = ecdsa.decode_point(CURVE, public, "secp256k1")
    checked("digest", digest, 32)
    if len(checked("signature", signature, 64, 65)) == 65:
        return _verify_recoverable(bytes(public), digest, signature)
    return ecdsa.verify_steps(CURVE, point, digest, signature)


def _verify_recoverable(public, digest, signature):
    return (yield from _recover(digest, signature, N - 1)) == public


def recover(digest, signature):
    """The public key (64 bytes) that made the 65-byte `signature` of `digest`, or None if there is none, v is not 0 or 1, or s is not low."""
    return finish(recover_steps(digest, signature))


def recover_steps(digest, signature):
    """recover(digest, signature) in steps."""
    return _recover(checked("digest", digest, 32), checked("signature", signature, 65), _HALF_N)


def _recover(digest, signature, greatest_s):
    z = int.from_bytes(digest, "big")
    r, s = ecdsa.decode_pair(signature)
    v = signature[64]
    if v > 1 or not (0 < r < N and 0 < s <= greatest_s):
        return None
    y = yield from square_root_steps(CURVE, (r * r * r + 7) % P)
    if y is None:
        return None
    if y & 1 != v:
        y = P - y
    w = inverse(r, N)
    yield
    point = yield from CURVE.multiply_steps(-z * w % N, (r, y), s * w % N)
    return None if point is None else ecdsa.encode_pair(point)


def address(public):
    """The Ethereum address (20 bytes) of a public key; whether it is on the curve is not looked at."""
    return keccak256(checked("public key", public, 64))[-_ADDRESS_BYTES:]
