"""ECDSA on P-256 (FIPS 186-5), with the nonces of RFC 6979.

What plug.crypto.secp256k1 says about secrets, time and steps holds here.

Byte strings are bytes or bytearray, numbers in them big-endian:
- secret: 32 bytes, 1..N-1; digest: 32 bytes; public key: 64 bytes, x || y, on the curve; signature: r || s, 64 bytes, where s may be high.
A wrong type, length or range of a secret, digest or public key, and a wrong type or length of a signature, raises ValueError.
"""

from plug.crypto import ecdsa
from plug.crypto.ecdsa import checked
from plug.crypto.p256_curve import CURVE, P
from plug.crypto.steps import finish


def public_key(secret):
    """The public key (64 bytes) of `secret`."""
    return finish(public_key_steps(secret))


def public_key_steps(secret):
    """public_key(secret) in steps."""
    return ecdsa.public_key_steps(CURVE, ecdsa.secret_scalar(CURVE, secret))


def sign(secret, digest):
    """The signature r || s (64 bytes) of `digest`; the same for the same arguments."""
    return finish(sign_steps(secret, digest))


def sign_steps(secret, digest):
    """sign(secret, digest) in steps."""
    return _sign(ecdsa.secret_scalar(CURVE, secret), secret, checked("digest", digest, 32))


def _sign(scalar, secret, digest):
    r, s, _ = yield from ecdsa.sign_steps(CURVE, scalar, secret, digest, P)
    return ecdsa.encode_pair((r, s))


def verify(public, digest, signature):
    """Whether `signature` is one of `digest` by `public`."""
    return finish(verify_steps(public, digest, signature))


def verify_steps(public, digest, signature):
    """verify(public, digest, signature) in steps."""
    point = ecdsa.decode_point(CURVE, public, "P-256")
    return ecdsa.verify_steps(CURVE, point, checked("digest", digest, 32), checked("signature", signature, 64))
