"""Arithmetic modulo the primes of secp256k1 and P-256, as a small machine that runs programs.

An element is 20 limbs of 13 bits, least significant first, each a 32-bit word. Limbs are 0 to 8192, the last one 0 to 560, before and after every
operation. Elements are not unique: compare by Field.value. In Field.montgomery fields an element is 2^260 times the number that it stands for.

Viper's machine word has 32 or 64 bits, and a 32-bit load into 64 bits may or may not carry the sign. All sums and products are therefore right
modulo 2^32 only. What is shifted right is made of words without that bit and has not got it itself, or else a mask after the shift takes it away.
tests/host_tools/test_firmware_field_bounds.py proves this, and the limbs' bounds, for every line. Nothing here branches on a limb's value.
"""

import struct

import micropython
from micropython import const

LIMBS = const(20)
SLOT_BYTES = const(80)
FIRST_SLOT = const(5)  # the slots before it are scratch

# Operations of a program: four bytes (operation, target, a, b), targets and operands being slots; END needs no others.
MUL = const(0)  # a * b for secp256k1
SQR = const(1)  # a * a for secp256k1
MONTGOMERY_MUL = const(2)  # a * b / 2^260 for P-256
MONTGOMERY_SQR = const(3)
END = const(4)
# Any other operation is (i << 4 | j), meaning i * a - j * b, with i in 1..4 and j in 0..8.
_LIMB_BIAS = const(98304)  # at least 8 limbs, and what folding subtracts
_LAST_BIAS = const(4608)


@micropython.viper
def run(a: ptr32, b: ptr32, c: int, slots: ptr32):
    """Run program `a` on `slots` with a field's constants `b`; `c` is ignored.

    Arguments are where viper keeps what it uses most: its first variables are registers.
    """
    program = ptr8(a)
    constants = b
    while program[0] != END:
        operation = int(program[0])
        a = ptr32(int(slots) + 80 * program[2])
        if operation < END:
            # One Karatsuba step. Words of scratch: from 0 the low product, from 20 the high one, from 40 the middle one, from 60 sums of halves.
            b = slots
            b[60] = a[0] + a[10]
            b[61] = a[1] + a[11]
            b[62] = a[2] + a[12]
            b[63] = a[3] + a[13]
            b[64] = a[4] + a[14]
            b[65] = a[5] + a[15]
            b[66] = a[6] + a[16]
            b[67] = a[7] + a[17]
            b[68] = a[8] + a[18]
            b[69] = a[9] + a[19]
            if operation & 1 == 0:
                a = ptr32(int(slots) + 80 * program[3])
                b[70] = a[0] + a[10]
                b[71] = a[1] + a[11]
                b[72] = a[2] + a[12]
                b[73] = a[3] + a[13]
                b[74] = a[4] + a[14]
                b[75] = a[5] + a[15]
                b[76] = a[6] + a[16]
                b[77] = a[7] + a[17]
                b[78] = a[8] + a[18]
                b[79] = a[9] + a[19]
                b = a
                a = ptr32(int(slots) + 80 * program[2])
            z = slots
            k = 0
            while k < 3:
                if operation & 1 == 0:
                    z[0] = a[0] * b[0]
                    z[1] = a[0] * b[1] + a[1] * b[0]
                    z[2] = a[0] * b[2] + a[1] * b[1] + a[2] * b[0]
                    z[3] = a[0] * b[3] + a[1] * b[2] + a[2] * b[1] + a[3] * b[0]
                    z[4] = a[0] * b[4] + a[1] * b[3] + a[2] * b[2] + a[3] * b[1] + a[4] * b[0]
                    z[5] = a[0] * b[5] + a[1] * b[4] + a[2] * b[3] + a[3] * b[2] + a[4] * b[1] + a[5] * b[0]
                    z[6] = a[0] * b[6] + a[1] * b[5] + a[2] * b[4] + a[3] * b[3] + a[4] * b[2] + a[5] * b[1] + a[6] * b[0]
                    z[7] = a[0] * b[7] + a[1] * b[6] + a[2] * b[5] + a[3] * b[4] + a[4] * b[3] + a[5] * b[2] + a[6] * b[1] + a[7] * b[0]
                    z[8] = a[0] * b[8] + a[1] * b[7] + a[2] * b[6] + a[3] * b[5] + a[4] * b[4] + a[5] * b[3] + a[6] * b[2] + a[7] * b[1] + a[8] * b[0]
                    z[9] = (
                        a[0] * b[9]
                        + a[1] * b[8]
                        + a[2] * b[7]
                        + a[3] * b[6]
                        + a[4] * b[5]
                        + a[5] * b[4]
                        + a[6] * b[3]
                        + a[7] * b[2]
                        + a[8] * b[1]
                        + a[9] * b[0]
                    )
                    z[10] = (
                        a[1] * b[9] + a[2] * b[8] + a[3] * b[7] + a[4] * b[6] + a[5] * b[5] + a[6] * b[4] + a[7] * b[3] + a[8] * b[2] + a[9] * b[1]
                    )
                    z[11] = a[2] * b[9] + a[3] * b[8] + a[4] * b[7] + a[5] * b[6] + a[6] * b[5] + a[7] * b[4] + a[8] * b[3] + a[9] * b[2]
                    z[12] = a[3] * b[9] + a[4] * b[8] + a[5] * b[7] + a[6] * b[6] + a[7] * b[5] + a[8] * b[4] + a[9] * b[3]
                    z[13] = a[4] * b[9] + a[5] * b[8] + a[6] * b[7] + a[7] * b[6] + a[8] * b[5] + a[9] * b[4]
                    z[14] = a[5] * b[9] + a[6] * b[8] + a[7] * b[7] + a[8] * b[6] + a[9] * b[5]
                    z[15] = a[6] * b[9] + a[7] * b[8] + a[8] * b[7] + a[9] * b[6]
                    z[16] = a[7] * b[9] + a[8] * b[8] + a[9] * b[7]
                    z[17] = a[8] * b[9] + a[9] * b[8]
                    z[18] = a[9] * b[9]
                else:
                    z[0] = a[0] * a[0]
                    z[1] = a[0] * a[1] << 1
                    z[2] = (a[0] * a[2] << 1) + a[1] * a[1]
                    z[3] = (a[0] * a[3] + a[1] * a[2]) << 1
                    z[4] = ((a[0] * a[4] + a[1] * a[3]) << 1) + a[2] * a[2]
                    z[5] = (a[0] * a[5] + a[1] * a[4] + a[2] * a[3]) << 1
                    z[6] = ((a[0] * a[6] + a[1] * a[5] + a[2] * a[4]) << 1) + a[3] * a[3]
                    z[7] = (a[0] * a[7] + a[1] * a[6] + a[2] * a[5] + a[3] * a[4]) << 1
                    z[8] = ((a[0] * a[8] + a[1] * a[7] + a[2] * a[6] + a[3] * a[5]) << 1) + a[4] * a[4]
                    z[9] = (a[0] * a[9] + a[1] * a[8] + a[2] * a[7] + a[3] * a[6] + a[4] * a[5]) << 1
                    z[10] = ((a[1] * a[9] + a[2] * a[8] + a[3] * a[7] + a[4] * a[6]) << 1) + a[5] * a[5]
                    z[11] = (a[2] * a[9] + a[3] * a[8] + a[4] * a[7] + a[5] * a[6]) << 1
                    z[12] = ((a[3] * a[9] + a[4] * a[8] + a[5] * a[7]) << 1) + a[6] * a[6]
                    z[13] = (a[4] * a[9] + a[5] * a[8] + a[6] * a[7]) << 1
                    z[14] = ((a[5] * a[9] + a[6] * a[8]) << 1) + a[7] * a[7]
                    z[15] = (a[6] * a[9] + a[7] * a[8]) << 1
                    z[16] = (a[7] * a[9] << 1) + a[8] * a[8]
                    z[17] = a[8] * a[9] << 1
                    z[18] = a[9] * a[9]
                if k == 0:
                    a = ptr32(int(a) + 40)
                    b = ptr32(int(b) + 40)
                else:
                    a = ptr32(int(slots) + 240)
                    b = ptr32(int(slots) + 280)
                z = ptr32(int(z) + 80)
                k += 1

            # Add the middle product less the two others, 10 words up.
            a = slots
            a[19] = 0
            a[39] = 0
            a[59] = 0
            k = 0
            while k < 2:
                c = a[10] - a[20]
                a[10] = c - a[0] + a[40]
                a[20] = a[50] - a[30] - c
                c = a[11] - a[21]
                a[11] = c - a[1] + a[41]
                a[21] = a[51] - a[31] - c
                c = a[12] - a[22]
                a[12] = c - a[2] + a[42]
                a[22] = a[52] - a[32] - c
                c = a[13] - a[23]
                a[13] = c - a[3] + a[43]
                a[23] = a[53] - a[33] - c
                c = a[14] - a[24]
                a[14] = c - a[4] + a[44]
                a[24] = a[54] - a[34] - c
                a = ptr32(int(a) + 20)
                k += 1
            a = slots
            b = ptr32(int(slots) + 80 * program[1])
            c = 0
            k = 0
            if operation < MONTGOMERY_MUL:
                # Carry through the columns from 20 on: limbs of 2^260 and more, into words 60 to 79.
                while k < 4:
                    c = (c >> 13) + a[20]
                    a[60] = c & 0x1FFF
                    c = (c >> 13) + a[21]
                    a[61] = c & 0x1FFF
                    c = (c >> 13) + a[22]
                    a[62] = c & 0x1FFF
                    c = (c >> 13) + a[23]
                    a[63] = c & 0x1FFF
                    c = (c >> 13) + a[24]
                    a[64] = c & 0x1FFF
                    a = ptr32(int(a) + 20)
                    k += 1
                # Fold them: 2^260 is 2^36 + 15632.
                a = slots
                a[58] = 0
                a[59] = 0
                c = 0
                k = 0
                while k < 4:
                    c = (c >> 13) + a[0] + a[60] * 15632 + (a[58] << 10)
                    b[0] = c & 0x1FFF
                    c = (c >> 13) + a[1] + a[61] * 15632 + (a[59] << 10)
                    b[1] = c & 0x1FFF
                    c = (c >> 13) + a[2] + a[62] * 15632 + (a[60] << 10)
                    b[2] = c & 0x1FFF
                    c = (c >> 13) + a[3] + a[63] * 15632 + (a[61] << 10)
                    b[3] = c & 0x1FFF
                    c = (c >> 13) + a[4] + a[64] * 15632 + (a[62] << 10)
                    b[4] = c & 0x1FFF
                    a = ptr32(int(a) + 20)
                    b = ptr32(int(b) + 20)
                    k += 1
                # And what is 2^256 or more; left over are the last two limbs, moved up by 2^10.
                a = slots
                b = ptr32(int(b) - 80)
                b[19] = c & 0x1FF
                top = c >> 9
                c = b[0] + top * 977
                b[0] = c & 0x1FFF
                c = (c >> 13 & 0x7FFFF) + b[1] + a[78] * 1954
                b[1] = c & 0x1FFF
                c = (c >> 13) + b[2] + (top << 6) + a[79] * 1954
                b[2] = c & 0x1FFF
                c = (c >> 13) + b[3] + (a[78] << 7)
                b[3] = c & 0x1FFF
                c = (c >> 13) + b[4] + (a[79] << 7)
                b[4] = c & 0x1FFF
                b[5] = (c >> 13) + b[5]
            else:
                # Montgomery's reduction by 2^260. -1 / p is 1 modulo 2^13, so that each of the limbs 0 to 19 is itself the multiple of p to add, kept
                # in words 60 to 79 with zeros around; the fifth slot of scratch is always zero. p + 1 is 2^96 + 2^192 - 2^224 + 2^256, the last two
                # in limbs 17 to 19 as 8184, 8191, 511.
                z = ptr32(int(slots) + 240)
                a[41] = 0
                a[42] = 0
                a[43] = 0
                a[44] = 0
                a[45] = 0
                a[46] = 0
                a[47] = 0
                a[48] = 0
                a[49] = 0
                a[50] = 0
                a[51] = 0
                a[52] = 0
                a[53] = 0
                a[54] = 0
                a[55] = 0
                a[56] = 0
                a[57] = 0
                a[58] = 0
                a[59] = 0
                while k < 8:
                    if k == 4:
                        z = b
                    c = (c >> 13) + a[0] + (a[53] << 5) + (a[46] << 10) + a[43] * 8184 + a[42] * 8191 + a[41] * 511
                    z[0] = c & 0x1FFF
                    c = (c >> 13) + a[1] + (a[54] << 5) + (a[47] << 10) + a[44] * 8184 + a[43] * 8191 + a[42] * 511
                    z[1] = c & 0x1FFF
                    c = (c >> 13) + a[2] + (a[55] << 5) + (a[48] << 10) + a[45] * 8184 + a[44] * 8191 + a[43] * 511
                    z[2] = c & 0x1FFF
                    c = (c >> 13) + a[3] + (a[56] << 5) + (a[49] << 10) + a[46] * 8184 + a[45] * 8191 + a[44] * 511
                    z[3] = c & 0x1FFF
                    c = (c >> 13) + a[4] + (a[57] << 5) + (a[50] << 10) + a[47] * 8184 + a[46] * 8191 + a[45] * 511
                    z[4] = c & 0x1FFF
                    a = ptr32(int(a) + 20)
                    z = ptr32(int(z) + 20)
                    k += 1
        else:
            i = operation >> 4
            j = operation & 15
            b = ptr32(int(slots) + 80 * program[3])
            z = ptr32(int(slots) + 80 * program[1])
            c = a[19] * i - b[19] * j + constants[19]
            top = c >> 9
            last = c & 0x1FF
            c = top * constants[20]
            c = c + a[0] * i - b[0] * j + constants[0]
            z[0] = c & 0x1FFF
            c = (c >> 13) + a[1] * i - b[1] * j + constants[1]
            z[1] = c & 0x1FFF
            c = (c >> 13) + a[2] * i - b[2] * j + constants[2] + top * constants[21]
            z[2] = c & 0x1FFF
            c = (c >> 13) + a[3] * i - b[3] * j + constants[3]
            z[3] = c & 0x1FFF
            c = (c >> 13) + a[4] * i - b[4] * j + constants[4]
            z[4] = c & 0x1FFF
            c = (c >> 13) + a[5] * i - b[5] * j + constants[5]
            z[5] = c & 0x1FFF
            c = (c >> 13) + a[6] * i - b[6] * j + constants[6]
            z[6] = c & 0x1FFF
            c = (c >> 13) + a[7] * i - b[7] * j + constants[7] - top * constants[22]
            z[7] = c & 0x1FFF
            c = (c >> 13) + a[8] * i - b[8] * j + constants[8]
            z[8] = c & 0x1FFF
            c = (c >> 13) + a[9] * i - b[9] * j + constants[9]
            z[9] = c & 0x1FFF
            c = (c >> 13) + a[10] * i - b[10] * j + constants[10]
            z[10] = c & 0x1FFF
            c = (c >> 13) + a[11] * i - b[11] * j + constants[11]
            z[11] = c & 0x1FFF
            c = (c >> 13) + a[12] * i - b[12] * j + constants[12]
            z[12] = c & 0x1FFF
            c = (c >> 13) + a[13] * i - b[13] * j + constants[13]
            z[13] = c & 0x1FFF
            c = (c >> 13) + a[14] * i - b[14] * j + constants[14] - top * constants[23]
            z[14] = c & 0x1FFF
            c = (c >> 13) + a[15] * i - b[15] * j + constants[15]
            z[15] = c & 0x1FFF
            c = (c >> 13) + a[16] * i - b[16] * j + constants[16]
            z[16] = c & 0x1FFF
            c = (c >> 13) + a[17] * i - b[17] * j + constants[17] + top * constants[24]
            z[17] = c & 0x1FFF
            c = (c >> 13) + a[18] * i - b[18] * j + constants[18]
            z[18] = c & 0x1FFF
            z[19] = (c >> 13) + last
        program = ptr8(int(program) + 4)


@micropython.viper
def load(slots: ptr32, slot: int, source: ptr8, offset: int):
    """Read the 32 little-endian bytes at `offset` of `source` into a slot."""
    t = ptr32(int(slots) + 80 * slot)
    s = ptr8(int(source) + offset)
    k = 0
    while k < 2:
        t[0] = s[0] | (s[1] & 0x1F) << 8
        t[1] = s[1] >> 5 | s[2] << 3 | (s[3] & 3) << 11
        t[2] = s[3] >> 2 | (s[4] & 0x7F) << 6
        t[3] = s[4] >> 7 | s[5] << 1 | (s[6] & 0xF) << 9
        t[4] = s[6] >> 4 | s[7] << 4 | (s[8] & 1) << 12
        t[5] = s[8] >> 1 | (s[9] & 0x3F) << 7
        t[6] = s[9] >> 6 | s[10] << 2 | (s[11] & 7) << 10
        t[7] = s[11] >> 3 | s[12] << 5
        t = ptr32(int(t) + 32)
        s = ptr8(int(s) + 13)
        k += 1
    t[0] = s[0] | (s[1] & 0x1F) << 8
    t[1] = s[1] >> 5 | s[2] << 3 | (s[3] & 3) << 11
    t[2] = s[3] >> 2 | (s[4] & 0x7F) << 6
    t[3] = s[4] >> 7 | s[5] << 1


@micropython.viper
def store(target: ptr8, slots: ptr32, slot: int):
    """Write the integer that a slot's limbs stand for to 33 bytes of `target`, little-endian in two's complement; it is not reduced."""
    source = ptr32(int(slots) + 80 * slot)
    bits = 0
    count = 0
    carry = 0
    k = 0
    i = 0
    while k < LIMBS:
        carry += source[k]
        bits |= (carry & 0x1FFF) << count
        count += 13
        carry = ((carry >> 13 & 0x7FFFF) ^ 0x40000) - 0x40000
        while count >= 8:
            target[i] = bits
            bits = bits >> 8
            count -= 8
            i += 1
        k += 1
    target[i] = bits | (carry << count)


@micropython.viper
def clear(target: ptr8, length: int):
    """Overwrite `length` bytes with zeros, without allocating: it must not fail."""
    i = 0
    while i < length:
        target[i] = 0
        i += 1


class Field:
    """The integers modulo `prime`, 2^256 is `fold`, the coefficients of limbs 0, 2, -7, -14 and 17; with `montgomery` as products by 2^260."""

    def __init__(self, prime, fold, montgomery):
        self.prime = prime
        self.mul, self.sqr = (MONTGOMERY_MUL, MONTGOMERY_SQR) if montgomery else (MUL, SQR)
        self._factor = (1 << 260) % prime if montgomery else 1
        self._inverse_factor = pow(self._factor, prime - 2, prime)
        # A multiple of the prime whose limbs are large enough for every subtraction; then the coefficients of what 2^256 folds to.
        limbs = [_LIMB_BIAS] * (LIMBS - 1) + [_LAST_BIAS]
        rest = -sum([limb << 13 * k for k, limb in enumerate(limbs)]) % prime
        limbs = [limb + (rest >> 13 * k & 0x1FFF) for k, limb in enumerate(limbs)]
        self.constants = struct.pack("<25i", *limbs, *fold)

    def run(self, program, slots):
        """Run `program` on `slots`."""
        run(program, self.constants, 0, slots)

    def put(self, slots, slot, value):
        """Write a number 0..prime-1 into a slot."""
        load(slots, slot, (value * self._factor % self.prime).to_bytes(32, "little"), 0)

    def value(self, slots, slot, scratch):
        """The number 0..prime-1 in a slot; `scratch` is 33 bytes."""
        store(scratch, slots, slot)
        number = int.from_bytes(scratch, "little")
        return (number if self._factor == 1 else number * self._inverse_factor) % self.prime
