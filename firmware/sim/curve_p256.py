"""P-256 in plain integers, for the chips of the simulated board: slow, and independent of the firmware's (FIPS 186-5, SP 800-186)."""

import os

PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def new_secret():
    """Return a private key."""
    while True:
        secret = int.from_bytes(os.urandom(32), "big")
        if 0 < secret < ORDER:
            return secret


def multiply(scalar, point):
    """Return scalar * point as (x, y); neither 0 nor the order may be the scalar."""
    total = None
    for i in range(255, -1, -1):
        total = _double(total)
        if scalar >> i & 1:
            total = _add(total, point)
    x, y, z = total
    inverse = pow(z, PRIME - 2, PRIME)
    square = inverse * inverse % PRIME
    return x * square % PRIME, y * square * inverse % PRIME


def sign(secret, digest):
    """Return (r, s) of a digest (32 bytes); s is as it comes, high or low."""
    while True:
        k = new_secret()
        r = multiply(k, GENERATOR)[0] % ORDER
        s = pow(k, ORDER - 2, ORDER) * (int.from_bytes(digest, "big") + r * secret) % ORDER
        if r and s:
            return r, s


def _double(point):
    """Return twice a point in Jacobian coordinates, None at infinity; a = -3."""
    if point is None:
        return None
    x, y, z = point
    yy = y * y % PRIME
    zz = z * z % PRIME
    s = 4 * x * yy % PRIME
    m = 3 * (x - zz) * (x + zz) % PRIME
    x3 = (m * m - 2 * s) % PRIME
    return x3, (m * (s - x3) - 8 * yy * yy) % PRIME, 2 * y * z % PRIME


def _add(point, other):
    """Return a point in Jacobian coordinates plus an affine one."""
    if point is None:
        return other[0], other[1], 1
    x, y, z = point
    zz = z * z % PRIME
    h = (other[0] * zz - x) % PRIME
    r = (other[1] * zz * z - y) % PRIME
    if not h:
        return _double(point) if not r else None
    hh = h * h % PRIME
    hhh = h * hh % PRIME
    v = x * hh % PRIME
    x3 = (r * r - hhh - 2 * v) % PRIME
    return x3, (r * (v - x3) - y * hhh) % PRIME, z * h % PRIME
