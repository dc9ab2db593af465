"""Recoverable ECDSA on secp256k1 in plain big-integer Python, for MicroPython: what tests/bench.py measures plug.crypto beside.

The textbook's way (SEC 1, version 2): double-and-add in Jacobian coordinates, both scalars of a recovery in one pass,
inverses by Euclid. The nonces of RFC 6979 come from the firmware, which also makes them of plain Python. For measuring only: it checks no argument.
"""

from plug.crypto.rfc6979 import nonces

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def sign(secret, digest):
    """The signature r || s || v (65 bytes) of `digest`."""
    d = int.from_bytes(secret, "big")
    z = int.from_bytes(digest, "big")
    k = next(nonces(secret, digest, N))
    r, y = _multiply(k, G, 0, G)
    s = _inverse(k, N) * (z + r * d) % N
    v = y & 1
    if 2 * s > N:
        s = N - s
        v ^= 1
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))


def recover(digest, signature):
    """The public key (64 bytes) that made a valid signature."""
    z = int.from_bytes(digest, "big")
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:64], "big")
    y = pow(r * r * r + 7, (P + 1) // 4, P)
    if y & 1 != signature[64]:
        y = P - y
    w = _inverse(r, N)
    x, y = _multiply(-z * w % N, G, s * w % N, (r, y))
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _multiply(a, first, b, second):
    """The sum a * first + b * second as (x, y), with one doubling a bit for both (Shamir's trick)."""
    both = _affine(*_add(first[0], first[1], 1, second[0], second[1])) if b else None
    x, y, z = 0, 1, 0
    for i in range(255, -1, -1):
        x, y, z = _double(x, y, z)
        bit_a, bit_b = a >> i & 1, b >> i & 1
        if bit_a or bit_b:
            point = both if bit_a and bit_b else first if bit_a else second
            x, y, z = _add(x, y, z, point[0], point[1])
    return _affine(x, y, z)


def _double(x, y, z):
    if not z:
        return x, y, z
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(x, y, z, x2, y2):
    """(x, y, z) plus the affine (x2, y2); the two differ for all but a chance of 2^-128."""
    if not z:
        return x2, y2, 1
    zz = z * z % P
    h = (x2 * zz - x) % P
    r = (y2 * zz * z - y) % P
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, h * z % P


def _affine(x, y, z):
    w = _inverse(z, P)
    ww = w * w % P
    return x * ww % P, y * ww * w % P


def _inverse(value, modulus):
    a, b, u, v = value % modulus, modulus, 1, 0
    while a > 1:
        q = b // a
        a, b, u, v = b - q * a, a, v - q * u, u
    return u % modulus
