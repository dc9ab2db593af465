"""Field arithmetic against big integers, with limbs at the ends of their range: the one place where words could overflow."""

import struct

from plug.crypto.keccak import keccak256
from plug.crypto.secp256k1_field import END, FIRST_SLOT, LIMBS, MUL, SLOT_BYTES, SQR, P, element, load, run
from plug.crypto.square_root import square_root

LIMIT = 4224  # of a limb's size, before and after every operation
A, B, TARGET = FIRST_SLOT, FIRST_SLOT + 1, FIRST_SLOT + 2
LINEAR = (0x11, 0x12, 0x18, 0x31, 0x41, 0x48)


def new_slots():
    return bytearray((FIRST_SLOT + 3) * SLOT_BYTES)


def limbs_of(slots, slot):
    return struct.unpack_from(f"<{LIMBS}i", slots, slot * SLOT_BYTES)


def put(slots, slot, limbs):
    """Write limbs, return the number that they stand for."""
    struct.pack_into(f"<{LIMBS}i", slots, slot * SLOT_BYTES, *limbs)
    return sum(limb << 13 * k for k, limb in enumerate(limbs))


def extremes():
    """Yield lists of limbs, all of the greatest size: one sign, alternating in groups, and many mixtures."""
    for group in (1, 2, 5, 10, LIMBS):
        for sign in (1, -1):
            yield [sign * (LIMIT if k // group & 1 else -LIMIT) for k in range(LIMBS)]
    for seed in range(10):
        noise = int.from_bytes(keccak256(bytes(seed)), "big")
        yield [LIMIT if noise >> k & 1 else -LIMIT for k in range(LIMBS)]


def check(slots, operation, expected):
    program = bytes((operation, TARGET, A, B, END))
    run(program, program, 0, slots)
    assert element(slots, TARGET, bytearray(33)) == expected % P
    assert all(-LIMIT <= limb <= LIMIT for limb in limbs_of(slots, TARGET))


def test_operations_on_the_greatest_limbs():
    slots = new_slots()
    for left in extremes():
        for right in extremes():
            a, b = put(slots, A, left), put(slots, B, right)
            check(slots, MUL, a * b)
            check(slots, SQR, a * a)
            for operation in LINEAR:
                check(slots, operation, (operation >> 4) * a - (operation & 15) * b)


def test_results_may_replace_operands():
    slots = new_slots()
    a, b = put(slots, A, range(LIMBS)), put(slots, B, range(7, LIMBS + 7))
    program = bytes((MUL, A, A, B, SQR, A, A, A, 0x12, B, B, B, 0x41, A, A, B, END))
    run(program, program, 0, slots)
    assert element(slots, A, bytearray(33)) == (4 * (a * b) ** 2 + b) % P


def test_loaded_numbers_are_kept():
    slots = new_slots()
    for number in (0, 1, 4095, 4096, 8191, 8192, P - 1, P, P + 1, 2**255, 2**256 - 1, int.from_bytes(keccak256(b""), "big")):
        load(slots, A, b"xx" + number.to_bytes(32, "little"), 2)
        assert element(slots, A, bytearray(33)) == number % P
        assert all(-LIMIT <= limb <= LIMIT for limb in limbs_of(slots, A))


def test_square_roots():
    roots = 0
    for i in range(60):
        number = i if i < 20 else int.from_bytes(keccak256(bytes(i)), "big") % P
        assert square_root(number * number % P) in (number, P - number)
        other = square_root(number)
        roots += other is not None
        assert other is None or other * other % P == number
    assert 10 < roots < 50  # about half of all numbers have one
