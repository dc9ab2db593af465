"""P-256 in plain integers, for the chips of the simulated board: slow, and independent of the firmware's (FIPS 186-5, SP 800-186)."""

import os

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def new_secret():
    """Return a private key."""
    while True:
        secret = int.from_bytes(os.urandom(32), "big")
        if 0 < secret < N:
            return secret


def multiply(scalar, point):
    """Return scalar * point as (x, y); neither 0 nor the order may be the scalar."""
    total = None
    for i in range(255, -1, -1):
        total = _double(total)
        if scalar >> i & 1:
            total = _add(total, point)
    x, y, z = total
    inverse = pow(z, P - 2, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def sign(secret, digest):
    """Return (r, s) of a digest (32 bytes); s is as it comes, high or low."""
    while True:
        k = new_secret()
        r = multiply(k, GENERATOR)[0] % N
        s = pow(k, N - 2, N) * (int.from_bytes(digest, "big") + r * secret) % N
        if r and s:
            return r, s


def _double(point):
    """Return twice a point in Jacobian coordinates, None at infinity; a = -3."""
    if point is None:
        return None
    x, y, z = point
    yy = y * y % P
    zz = z * z % P
    s = 4 * x * yy % P
    m = 3 * (x - zz) * (x + zz) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(point, other):
    """Return a point in Jacobian coordinates plus an affine one."""
    if point is None:
        return other[0], other[1], 1
    x, y, z = point
    zz = z * z % P
    h = (other[0] * zz - x) % P
    r = (other[1] * zz * z - y) % P
    if not h:
        return _double(point) if not r else None
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P
