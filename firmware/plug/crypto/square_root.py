"""The square root modulo the prime of secp256k1, by one exponentiation: p is 3 modulo 4."""

from micropython import const

from plug.crypto.curve import borrow, give_back
from plug.crypto.field import END, FIRST_SLOT, MUL, SQR

_AT_ONCE = const(16)  # squarings in one program: a small piece of heap

# Slots: _ONES_n is the value to the power 2^n - 1.
_ONES_1 = FIRST_SLOT
_ONES_2 = FIRST_SLOT + 1
_ONES_3 = FIRST_SLOT + 2
_ONES_22 = FIRST_SLOT + 3
_ONES_44 = FIRST_SLOT + 4
_ONES_88 = FIRST_SLOT + 5
_WORK = FIRST_SLOT + 6

# The exponent (p + 1) / 4 is, from the top, 223 ones, a zero, 22 ones, four zeros, 2 ones and two zeros.
# Each step squares the result of the step before so often, multiplies by a slot and puts it into a slot.
_STEPS = (
    (1, _ONES_1, _ONES_2),
    (1, _ONES_1, _ONES_3),
    (3, _ONES_3, _WORK),  # 6 ones
    (3, _ONES_3, _WORK),  # 9
    (2, _ONES_2, _WORK),  # 11
    (11, _WORK, _ONES_22),
    (22, _ONES_22, _ONES_44),
    (44, _ONES_44, _ONES_88),
    (88, _ONES_88, _WORK),  # 176
    (44, _ONES_44, _WORK),  # 220
    (3, _ONES_3, _WORK),  # 223
    (23, _ONES_22, _WORK),
    (6, _ONES_2, _WORK),
)


def square_root_steps(curve, value):
    """A square root of `value` (0 <= value < P) modulo the prime P of `curve`, which must be secp256k1, or None if it has none; in steps.

    Nothing is wiped: no secret has a root to take.
    """
    field = curve.field
    number = bytearray(33)
    slots = borrow()
    try:
        field.put(slots, _ONES_1, value)
        source = _ONES_1
        for squarings, factor, target in _STEPS:
            field.run(bytes((SQR, target, source, source, END)), slots)
            square, end = bytes((SQR, target, target, target)), bytes((END,))
            for done in range(1, squarings, _AT_ONCE):
                field.run(square * min(_AT_ONCE, squarings - done) + end, slots)
            field.run(bytes((MUL, target, target, factor, END)), slots)
            source = target
            yield
        field.run(bytes((SQR, source, source, source)) * 2 + bytes((END,)), slots)
        root = field.value(slots, source, number)
    finally:
        give_back(slots)
    return root if root * root % field.prime == value else None
