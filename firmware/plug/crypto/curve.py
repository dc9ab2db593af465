"""Points of an elliptic curve y^2 = x^3 + a * x + b of prime order, a = 0 or a = -3: sums of multiples, for signing and verifying.

A point is an affine pair (x, y) of integers below the field's prime; None is the point at infinity.

Blinding: the accumulator's coordinates are multiplied by powers of a random number, so that no intermediate value can be foreseen from outside,
even by somebody who guesses a part of the scalar.
"""

from os import urandom

from micropython import const

from plug.crypto.field import END, FIRST_SLOT, SLOT_BYTES, Field, clear, load
from plug.crypto.modular_inverse import inverse
from plug.crypto.recode import COLUMNS, columns, digits
from plug.crypto.steps import finish

# Slots: an accumulator in Jacobian coordinates, the affine point to add, work; then odd multiples of a point.
_X = FIRST_SLOT
_Y = FIRST_SLOT + 1
_Z = FIRST_SLOT + 2
_X2 = FIRST_SLOT + 3
_Y2 = FIRST_SLOT + 4
_A = FIRST_SLOT + 5
_B = FIRST_SLOT + 6
_C = FIRST_SLOT + 7
_SLOTS = FIRST_SLOT + 8
_MULTIPLES = const(4)  # 1, 3, 5 and 7 times the point: x and y each, from _SLOTS on, then x of their endomorphisms
_ENDOMORPHISMS = _SLOTS + 2 * _MULTIPLES
_PRODUCTS = _ENDOMORPHISMS + _MULTIPLES
_SLOTS_WITH_MULTIPLES = _PRODUCTS + _MULTIPLES
_COPY = const(0x10)
_NEGATE = const(0x12)  # of twice the same slot
_ALL_ONES = (1 << 256) - 1

# Made at boot and lent to one computation after the other: on a heap in splinters a piece of 2 KB may not be there any more.
_areas = [bytearray(_SLOTS_WITH_MULTIPLES * SLOT_BYTES)]


def borrow():
    """Slots for a computation: those made at boot, or new ones while another computation has them."""
    return _areas.pop() if _areas else bytearray(_SLOTS_WITH_MULTIPLES * SLOT_BYTES)


def give_back(slots):
    """Keep `slots`, wiped, for the next computation."""
    if not _areas:
        _areas.append(slots)


def _program(*steps):
    return b"".join([bytes(step) for step in steps]) + bytes((END,))


class Curve:
    """The curve with a, 0 or -3, and b over Field(prime, fold, montgomery), of `order` points.

    `table` is its comb, a plug.crypto.table.Table. `split`, if the curve has an endomorphism (x, y) -> (beta * x, y), takes a scalar
    0..order-1 apart into two of at most 128 bits, each with its sign: (scalar, negative).
    """

    def __init__(self, prime, fold, montgomery, a, b, order, table, split=None, beta=0):
        field = Field(prime, fold, montgomery)
        mul, sqr = field.mul, field.sqr
        self.field = field
        self.prime = prime
        self.a = a
        self.b = b
        self.order = order
        self._half = (order + 1) >> 1  # modulo the order
        self.table = table
        self.split = split
        self.beta = beta
        # X' = M^2 - 8 X Y^2; Y' = M (4 X Y^2 - X') - 8 Y^4; Z' = 2 Y Z; M is 3 X^2 or, for a = -3, 3 (X - Z^2) (X + Z^2)
        factors = ((sqr, _A, _Z, _Z), (0x11, _B, _X, _A), (0x21, _A, _X, _B), (mul, _A, _A, _B)) if a else ((sqr, _A, _X, _X),)
        self.double = _program(
            *factors,
            (0x30, _A, _A, _A),
            (mul, _Z, _Y, _Z),
            (0x31, _Z, _Z, _Z),
            (sqr, _B, _Y, _Y),
            (mul, _C, _X, _B),
            (sqr, _X, _A, _A),
            (0x18, _X, _X, _C),
            (0x41, _C, _C, _X),
            (mul, _A, _A, _C),
            (sqr, _B, _B, _B),
            (0x18, _Y, _A, _B),
        )
        # H = X2 Z^2 - X in B, R = +-Y2 Z^3 - Y in C
        self.compare = [
            _program(
                (sign, _Y2, _Y2, _Y2),
                (sqr, _A, _Z, _Z),
                (mul, _B, _X2, _A),
                (mul, _C, _Z, _A),
                (mul, _C, _Y2, _C),
                (0x11, _B, _B, _X),
                (0x11, _C, _C, _Y),
            )
            for sign in (_COPY, _NEGATE)
        ]
        # X' = R^2 - H^3 - 2 X H^2; Y' = R (X H^2 - X') - Y H^3; Z' = Z H
        self.add = _program(
            (mul, _Z, _Z, _B),
            (sqr, _A, _B, _B),
            (mul, _B, _B, _A),
            (mul, _A, _X, _A),
            (sqr, _X, _C, _C),
            (0x11, _X, _X, _B),
            (0x12, _X, _X, _A),
            (0x11, _A, _A, _X),
            (mul, _A, _A, _C),
            (mul, _B, _Y, _B),
            (0x11, _Y, _A, _B),
        )
        # (X2, Y2, 1) as (X2 Z^2, Y2 Z^3, Z)
        self.scale = _program(
            (sqr, _A, _Z, _Z),
            (mul, _X, _X2, _A),
            (mul, _A, _A, _Z),
            (mul, _Y, _Y2, _A),
        )
        self.compare_and_add = [compare[:-1] + self.add for compare in self.compare]

    def multiply(self, base_scalar, point=None, scalar=0):
        """base_scalar * G + scalar * `point` as (x, y), or None for infinity; scalars are 0..order-1. Without `point` the steps never differ."""
        return finish(self.multiply_steps(base_scalar, point, scalar))

    def multiply_steps(self, base_scalar, point=None, scalar=0):
        """multiply(base_scalar, point, scalar) in steps."""
        signs = bytearray(32)
        teeth = bytearray(COLUMNS)
        accumulator = Accumulator(self)
        try:
            # As 256 digits of +1 (a one) or -1 (a zero), the bits of this stand for base_scalar.
            signs[:] = ((base_scalar + _ALL_ONES) * self._half % self.order).to_bytes(32, "little")
            columns(teeth, signs)
            if point is None:
                streams = ()
            else:
                yield from accumulator.put_multiples_steps(point)
                streams = [digits(*part) for part in (self.split(scalar) if self.split else ((scalar, False),))]
            numbers = range(len(streams))
            yield
            # An addition of equal points, or of a point and its negative, makes Z zero for good: then all again, looking at every addition.
            for careful in (False, True):
                accumulator.start(careful)
                for i in range(len(streams[0]) - 1 if streams else COLUMNS - 1, -1, -1):
                    accumulator.double()
                    for number in numbers:
                        digit = streams[number][i]
                        if digit:
                            accumulator.add_multiple(number, digit)
                    if i < COLUMNS:
                        accumulator.add(self.table.point(teeth[i] & 0x7F), teeth[i] >> 7)
                    if i % 3 == 0:
                        yield
                result = accumulator.affine()
                if result:
                    break
            return result
        finally:
            accumulator.wipe()
            give_back(accumulator.slots)
            clear(self.table.last, len(self.table.last))
            clear(signs, len(signs))
            clear(teeth, len(teeth))


class Accumulator:
    """A point to which affine points are added; starts at infinity."""

    def __init__(self, curve):
        self._curve = curve
        self._field = curve.field
        self._number = bytearray(33)
        self.start(True)
        self.slots = borrow()  # last: what fails before it takes none away

    def start(self, careful):
        """Go to infinity; `careful` says whether every case of an addition must be handled."""
        self._empty = True
        self._careful = careful

    def wipe(self):
        """Overwrite every coordinate; the accumulator is at infinity again."""
        clear(self.slots, len(self.slots))
        clear(self._number, len(self._number))
        self._empty = True

    def double(self):
        """Add the point to itself."""
        if not self._empty:
            self._run(self._curve.double)  # a curve of odd order has no point with y = 0

    def add(self, point, negative):
        """Add a point (x, y, each 32 bytes little-endian as the field keeps them), or if `negative` its negative."""
        load(self.slots, _X2, point, 0)
        load(self.slots, _Y2, point, 32)
        self._add(negative)

    def add_multiple(self, endomorphism, digit):
        """Add an odd multiple of put_multiples' point, or of its endomorphism if that is 1, by a digit of plug.crypto.recode."""
        index = digit - 1 >> 1
        x = _ENDOMORPHISMS + index if endomorphism else _SLOTS + 2 * index
        self._copy(_X2, x)
        self._copy(_Y2, _SLOTS + 2 * index + 1)
        self._add(digit - 1 & 1)

    def affine(self):
        """The point (x, y), or None for infinity, or if an addition was not looked at that had to be."""
        if self._empty:
            return None
        p = self._field.prime
        w = inverse(self._value(_Z), p)
        if not w:
            return None
        ww = w * w % p
        return self._value(_X) * ww % p, self._value(_Y) * ww * w % p

    def put_multiples_steps(self, point):
        """Write 1, 3, 5 and 7 times `point`, and their endomorphisms, into their slots.

        Twice the point is (X, Y, Z); on the curve whose points are (x Z^2, y Z^3), where additions are the same, it is affine: no inverse is needed
        until the multiples are all there, and then one for all of them (Montgomery's trick).
        """
        field, slots, mul, sqr = self._field, self.slots, self._field.mul, self._field.sqr
        x, y, weight, product = _SLOTS, _SLOTS + 1, _ENDOMORPHISMS, _PRODUCTS
        field.put(slots, _X, point[0])
        field.put(slots, _Y, point[1])
        field.put(slots, _Z, 1)
        self._copy(x, _X)
        self._copy(y, _Y)
        self._run(self._curve.double)
        self._copy(_B, _X)
        self._copy(_C, _Y)
        self._copy(product, _Z)
        self._copy(_X2, x)
        self._copy(_Y2, y)
        self._run(self._curve.scale)
        self._copy(_X2, _B)
        self._copy(_Y2, _C)
        field.put(slots, _Z, 1)
        for i in range(1, _MULTIPLES):
            self._run(self._curve.compare_and_add[0])
            self._copy(x + 2 * i, _X)
            self._copy(y + 2 * i, _Y)
            self._run(_program((mul, weight + i, product, _Z)))
            if i == 1:
                self._copy(product + 1, weight + 1)
            else:
                self._run(_program((mul, product + i, product + i - 1, weight + i)))
        yield
        field.put(slots, _C, inverse(self._value(product + _MULTIPLES - 1), field.prime))
        yield
        for i in range(_MULTIPLES - 1, 0, -1):
            if i == 1:
                self._copy(_A, _C)
            else:
                self._run(_program((mul, _A, _C, product + i - 1), (mul, _C, _C, weight + i)))
            xi, yi = x + 2 * i, y + 2 * i
            self._run(_program((sqr, _B, _A, _A), (mul, xi, xi, _B), (mul, _A, _A, _B), (mul, yi, yi, _A)))
        field.put(slots, _A, self._curve.beta)
        for i in range(_MULTIPLES):
            self._run(_program((mul, _ENDOMORPHISMS + i, x + 2 * i, _A)))

    def _add(self, negative):
        if self._empty:
            self._run(self._curve.compare[negative])  # for the sign
            self._field.put(self.slots, _Z, int.from_bytes(urandom(32), "big") % self._field.prime or 1)
            self._run(self._curve.scale)
            self._empty = False
        elif not self._careful:
            self._run(self._curve.compare_and_add[negative])
        else:
            self._run(self._curve.compare[negative])
            if self._value(_B):
                self._run(self._curve.add)
            elif self._value(_C):
                self._empty = True
            else:
                self.double()

    def _copy(self, target, source):
        self.slots[target * SLOT_BYTES : (target + 1) * SLOT_BYTES] = self.slots[source * SLOT_BYTES : (source + 1) * SLOT_BYTES]

    def _run(self, program):
        self._field.run(program, self.slots)

    def _value(self, slot):
        return self._field.value(self.slots, slot, self._number)
