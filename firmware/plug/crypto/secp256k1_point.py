"""Points of secp256k1, y^2 = x^3 + 7: an accumulator in Jacobian coordinates, and what signing and verifying need of it.

A point is an affine pair (x, y) of integers below P; None is the point at infinity.
"""

from array import array

from micropython import const

from plug.crypto.modular_inverse import inverse
from plug.crypto.secp256k1_field import END, FIRST_SLOT, MUL, SLOT_BYTES, SQR, P, element, load, run
from plug.crypto.secp256k1_table import TABLE
from plug.crypto.steps import finish

# The number of points, a prime: SEC 2, version 2, section 2.4.1.
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_SLOTS = FIRST_SLOT + 11
_X = FIRST_SLOT
_Y = FIRST_SLOT + 1
_Z = FIRST_SLOT + 2
_X2 = FIRST_SLOT + 3  # the affine point to add
_Y2 = FIRST_SLOT + 4
_A = FIRST_SLOT + 5
_B = FIRST_SLOT + 6
_C = FIRST_SLOT + 7
_POINT_BYTES = const(64)  # x, y in 32 little-endian bytes each
_TEETH = const(8)
_COLUMNS = const(32)
_ONE = (1).to_bytes(32, "little")
_HALF = (N + 1) >> 1  # modulo N
_ALL_ONES = (1 << 256) - 1


def _program(*steps):
    return b"".join(bytes(step) for step in steps) + bytes((END,))


# X' = (3 X^2)^2 - 8 X Y^2; Y' = 3 X^2 (4 X Y^2 - X') - 8 Y^4; Z' = 2 Y Z
_DOUBLE = _program(
    (MUL, _Z, _Y, _Z),
    (0x31, _Z, _Z, _Z),
    (SQR, _A, _X, _X),
    (0x41, _A, _A, _A),  # 3 X^2
    (SQR, _B, _Y, _Y),
    (MUL, _C, _X, _B),
    (SQR, _X, _A, _A),
    (0x18, _X, _X, _C),
    (0x41, _C, _C, _X),
    (MUL, _A, _A, _C),
    (SQR, _B, _B, _B),
    (0x18, _Y, _A, _B),
)
# H = X2 Z^2 - X in B, R = Y2 Z^3 - Y in C
_COMPARE = _program(
    (SQR, _A, _Z, _Z),
    (MUL, _B, _X2, _A),
    (MUL, _C, _Z, _A),
    (MUL, _C, _Y2, _C),
    (0x11, _B, _B, _X),
    (0x11, _C, _C, _Y),
)
# X' = R^2 - H^3 - 2 X H^2; Y' = R (X H^2 - X') - Y H^3; Z' = Z H
_ADD = _program(
    (MUL, _Z, _Z, _B),
    (SQR, _A, _B, _B),
    (MUL, _B, _B, _A),
    (MUL, _A, _X, _A),
    (SQR, _X, _C, _C),
    (0x11, _X, _X, _B),
    (0x12, _X, _X, _A),
    (0x11, _A, _A, _X),
    (MUL, _A, _A, _C),
    (MUL, _B, _Y, _B),
    (0x11, _Y, _A, _B),
)
_NEGATE = _program((0x12, _Y2, _Y2, _Y2))
_AFFINE = _program(  # with 1 / Z in A
    (SQR, _B, _A, _A),
    (MUL, _X, _X, _B),
    (MUL, _A, _A, _B),
    (MUL, _Y, _Y, _A),
)


class Accumulator:
    """A point to which affine points are added; starts at infinity. Every case of an addition is handled."""

    def __init__(self):
        self._slots = bytearray(_SLOTS * SLOT_BYTES)
        self._number = bytearray(33)
        self._empty = True

    def wipe(self):
        """Overwrite every coordinate; the accumulator is at infinity again."""
        for buffer in (self._slots, self._number):  # in place: no memory may be the reason why a secret stays
            for place in range(len(buffer)):
                buffer[place] = 0
        self._empty = True

    def double(self):
        """Add the point to itself."""
        if not self._empty:
            self._run(_DOUBLE)  # no point of this curve has y = 0

    def add(self, points, index, negative):
        """Add the point number `index` of `points` (64 bytes each: x, y little-endian), or its negative."""
        slots = self._slots
        offset = index * _POINT_BYTES
        load(slots, _X2, points, offset)
        load(slots, _Y2, points, offset + 32)
        if negative:
            self._run(_NEGATE)
        if self._empty:
            slots[_X * SLOT_BYTES : _Z * SLOT_BYTES] = slots[_X2 * SLOT_BYTES : _A * SLOT_BYTES]
            load(slots, _Z, _ONE, 0)
            self._empty = False
            return
        self._run(_COMPARE)
        if self._value(_B):
            self._run(_ADD)
        elif self._value(_C):
            self._empty = True
        else:
            self.double()

    def affine(self):
        """The point (x, y), or None for infinity."""
        if self._empty:
            return None
        load(self._slots, _A, inverse(self._value(_Z), P).to_bytes(32, "little"), 0)
        self._run(_AFFINE)
        load(self._slots, _Z, _ONE, 0)
        return self._value(_X), self._value(_Y)

    def _run(self, program):
        run(program, program, 0, self._slots)

    def _value(self, slot):
        """A slot's element, reduced to 0..P-1."""
        return element(self._slots, slot, self._number)


def multiply(base_scalar, point=None, scalar=0):
    """base_scalar * G + scalar * `point` as (x, y), or None for infinity; scalars are 0..N-1. Without `point` the same steps for every scalar."""
    return finish(multiply_steps(base_scalar, point, scalar))


def multiply_steps(base_scalar, point=None, scalar=0):
    """multiply(base_scalar, point, scalar) in steps."""
    accumulator = Accumulator()
    signs = bytearray(32)
    try:
        multiples, digits = None, b""
        if point is not None:
            multiples = yield from _odd_multiples_steps(point)
            digits = _signed_digits(scalar)
            yield
        # As 256 digits of +1 (a one) or -1 (a zero), the bits of this stand for base_scalar.
        signs[:] = ((base_scalar + _ALL_ONES) * _HALF % N).to_bytes(32, "little")
        for i in range(max(len(digits), _COLUMNS) - 1, -1, -1):
            accumulator.double()
            if i < len(digits) and digits[i]:
                accumulator.add(multiples, abs(digits[i]) >> 1, digits[i] < 0)
            if i < _COLUMNS:
                column = 0
                for tooth in range(_TEETH):
                    column |= (signs[(tooth << 2) + (i >> 3)] >> (i & 7) & 1) << tooth
                if column & 0x80:
                    accumulator.add(TABLE, column & 0x7F, False)
                else:
                    accumulator.add(TABLE, column ^ 0x7F, True)
            if not i & 1:
                yield
        return accumulator.affine()
    finally:
        accumulator.wipe()
        signs[:] = bytes(len(signs))


def _encode(point):
    x, y = point
    return x.to_bytes(32, "little") + y.to_bytes(32, "little")


def _odd_multiples_steps(point):
    """1, 3, 5 and 7 times `point`, as Accumulator.add reads them."""
    multiples = _encode(point)
    accumulator = Accumulator()
    accumulator.add(multiples, 0, False)
    accumulator.double()
    step = multiples
    twice = _encode(accumulator.affine())
    yield
    for _ in range(3):
        accumulator.add(step, 0, False)
        multiples += _encode(accumulator.affine())
        step = twice
        yield
    return multiples


def _signed_digits(scalar):
    """`scalar` as at most 257 digits, least significant first: 0 or odd, -7..7, at least three zeros after each odd one (width-4 NAF)."""
    digits = array("b", bytes(257))
    i = 0
    while scalar:
        if scalar & 1:
            digits[i] = (scalar + 8 & 15) - 8
            scalar -= digits[i]
        scalar >>= 1
        i += 1
    return digits
