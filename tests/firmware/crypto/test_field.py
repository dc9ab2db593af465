"""Field arithmetic against big integers, with limbs at the ends of their range: the one place where words could overflow."""

import struct

from plug.crypto.field import END, FIRST_SLOT, LIMBS, SLOT_BYTES, load
from plug.crypto.keccak import keccak256
from plug.crypto.p256_curve import CURVE as P256
from plug.crypto.secp256k1_curve import CURVE as K1

GREATEST = [8192] * (LIMBS - 1) + [560]  # before and after every operation
A, B, TARGET = FIRST_SLOT, FIRST_SLOT + 1, FIRST_SLOT + 2
LINEAR = (0x10, 0x11, 0x12, 0x18, 0x31, 0x33, 0x41, 0x48)
FIELDS = ((K1.field, 1), (P256.field, 2**260))  # with the factor by which numbers are kept


def new_slots():
    return bytearray((FIRST_SLOT + 3) * SLOT_BYTES)


def limbs_of(slots, slot):
    return struct.unpack_from(f"<{LIMBS}i", slots, slot * SLOT_BYTES)


def put(slots, slot, limbs):
    """Write limbs, return the number that they stand for."""
    struct.pack_into(f"<{LIMBS}i", slots, slot * SLOT_BYTES, *limbs)
    return sum(limb << 13 * k for k, limb in enumerate(limbs))


def extremes():
    """Yield lists of limbs, each 0 or the greatest: in groups, and many mixtures."""
    for group in (1, 2, 5, 10, LIMBS):
        for first in (0, 1):
            yield [limb if k // group + first & 1 else 0 for k, limb in enumerate(GREATEST)]
    for seed in range(10):
        noise = int.from_bytes(keccak256(bytes(seed)), "big")
        yield [limb if noise >> k & 1 else 0 for k, limb in enumerate(GREATEST)]


def check(field, slots, operation, expected):
    field.run(bytes((operation, TARGET, A, B, END)), slots)
    assert field.value(slots, TARGET, bytearray(33)) == expected % field.prime, operation
    assert all(0 <= limb <= GREATEST[k] for k, limb in enumerate(limbs_of(slots, TARGET))), operation


def test_operations_on_the_greatest_limbs():
    slots = new_slots()
    for field, factor in FIELDS:
        unit = pow(factor, field.prime - 2, field.prime)
        for left in extremes():
            for right in extremes():
                a, b = put(slots, A, left) * unit, put(slots, B, right) * unit
                check(field, slots, field.mul, a * b)
                check(field, slots, field.sqr, a * a)
                for operation in LINEAR:
                    check(field, slots, operation, (operation >> 4) * a - (operation & 15) * b)


def test_results_may_replace_operands():
    slots = new_slots()
    for field, _ in FIELDS:
        a, b = 12345678901234567890, 987654321
        field.put(slots, A, a)
        field.put(slots, B, b)
        field.run(bytes((field.mul, A, A, B, field.sqr, A, A, A, 0x12, B, B, B, 0x41, A, A, B, END)), slots)
        assert field.value(slots, A, bytearray(33)) == (4 * (a * b) ** 2 + b) % field.prime


def test_numbers_are_kept():
    slots = new_slots()
    for field, _ in FIELDS:
        p = field.prime
        for number in (0, 1, 8191, 8192, p - 1, 2**255, int.from_bytes(keccak256(b""), "big") % p):
            field.put(slots, A, number)
            assert field.value(slots, A, bytearray(33)) == number


def test_loaded_bytes_are_limbs_of_13_bits():
    slots = new_slots()
    for number in (0, 1, 8191, 8192, 2**255, 2**256 - 1, int.from_bytes(keccak256(b""), "big")):
        load(slots, A, b"xx" + number.to_bytes(32, "little"), 2)
        assert list(limbs_of(slots, A)) == [number >> 13 * k & 0x1FFF for k in range(LIMBS)]
