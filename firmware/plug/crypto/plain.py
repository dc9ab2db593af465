"""Points, inverses and roots with Python's integers, for processors without native code: what plug.crypto.curve and others do, several times slower.

Nothing here is constant-time, and what it computes with cannot be overwritten.
"""

from micropython import const

from plug.crypto.steps import finish

_TABLE_HALF = const(128)
_COLUMNS = const(32)
_BITS = const(16)  # of an exponent between two steps
_ALL_ONES = (1 << 256) - 1


class Curve:
    """See plug.crypto.curve.Curve. A scalar is not split: one doubling a bit."""

    def __init__(self, prime, fold, montgomery, a, b, order, table, split=None, beta=0):
        self.prime = prime
        self.a = a
        self.b = b
        self.order = order
        self._table = table
        self._unit = pow((1 << 260) % prime, prime - 2, prime) if montgomery else 1

    def multiply(self, base_scalar, point=None, scalar=0):
        """base_scalar * G + scalar * `point` as (x, y), or None for infinity; scalars are 0..order-1."""
        return finish(self.multiply_steps(base_scalar, point, scalar))

    def multiply_steps(self, base_scalar, point=None, scalar=0):
        """multiply(base_scalar, point, scalar) in steps."""
        signs = (base_scalar + _ALL_ONES) * ((self.order + 1) >> 1) % self.order
        total = (0, 1, 0)
        for i in range(255 if point else _COLUMNS - 1, -1, -1):
            total = self._double(total)
            if scalar >> i & 1:
                total = self._add(total, point)
            if i < _COLUMNS:
                total = self._add(total, self._entry(signs >> i))
            yield
        x, y, z = total
        if not z:
            return None
        w = inverse(z, self.prime)
        yield
        ww = w * w % self.prime
        return x * ww % self.prime, y * ww * w % self.prime

    def _entry(self, signs):
        """The comb's point for every 32nd bit of `signs`."""
        column = 0
        for tooth in range(8):
            column |= (signs >> 32 * tooth & 1) << tooth
        negative = column < _TABLE_HALF
        p = self.prime
        entry = self._table.point((column ^ 0x7F if negative else column) & 0x7F)
        x = int.from_bytes(entry[:32], "little") * self._unit % p
        y = int.from_bytes(entry[32:], "little") * self._unit % p
        return x, p - y if negative else y

    def _double(self, point):
        x, y, z = point
        if not z:
            return point
        p = self.prime
        yy = y * y % p
        s = 4 * x * yy % p
        m = 3 * x * x
        if self.a:
            zz = z * z % p
            m += self.a * zz * zz
        m %= p
        x3 = (m * m - 2 * s) % p
        return x3, (m * (s - x3) - 8 * yy * yy) % p, 2 * y * z % p

    def _add(self, point, affine):
        x, y, z = point
        x2, y2 = affine
        if not z:
            return x2, y2, 1
        p = self.prime
        zz = z * z % p
        h = (x2 * zz - x) % p
        r = (y2 * zz * z - y) % p
        if not h:
            return (0, 1, 0) if r else self._double(point)
        hh = h * h % p
        hhh = h * hh % p
        v = x * hh % p
        x3 = (r * r - hhh - 2 * v) % p
        return x3, (r * (v - x3) - y * hhh) % p, h * z % p


def inverse(value, modulus):
    """1 / `value` modulo the prime `modulus`, by Euclid; 0 for 0."""
    a, b, u, v = value % modulus, modulus, 1, 0
    while a > 1:
        q, rest = divmod(b, a)
        a, b, u, v = rest, a, v - q * u, u
    return u % modulus if a else 0


def square_root_steps(curve, value):
    """A square root of `value` modulo the curve's prime, which is 3 modulo 4, or None if it has none; in steps."""
    p = curve.prime
    exponent = (p + 1) >> 2
    root = 1
    for i in range(256 - _BITS, -1, -_BITS):
        for j in range(i + _BITS - 1, i - 1, -1):
            root = root * root % p
            if exponent >> j & 1:
                root = root * value % p
        yield
    return root if root * root % p == value else None
