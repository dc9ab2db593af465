"""Field arithmetic of secp256k1: integers modulo p = 2^256 - 2^32 - 977, as a small machine that runs programs.

An element is 20 signed limbs of 13 bits, least significant first, each a 32-bit word. Every operation takes and leaves limbs between -4224 and 4224,
so that a column of a product, at most 20 * 4224^2 and what is folded into it, stays below 2^29. Elements are not unique: compare by `element`.

Viper's machine word has 32 or 64 bits, and a 32-bit load into 64 bits may or may not carry the sign. All sums and products are therefore right
modulo 2^32 only. A right shift needs more: before it 2^29 is added, which makes the 32-bit value positive, and after it a mask takes the bits
that can be set. Carries c are kept with what remains of this, _CARRY. Nothing here branches on a limb's value.
"""

import micropython
from micropython import const

P = 2**256 - 2**32 - 977
LIMBS = const(20)
SLOT_BYTES = const(80)
_CARRY = const(1 << 16)  # a carry of zero
_OFFSET = const((1 << 29) - (1 << 16) + (1 << 12))  # with a carry, 2^29; and half a limb, for limbs from -4096 to 4095
_BIAS = P << 5  # more than any element is below zero
_MASK = (1 << 264) - 1
FIRST_SLOT = const(4)  # the slots before it are scratch

# Operations of a program: four bytes (operation, target, a, b), targets and operands being slots; END needs no others.
MUL = const(0)  # a * b
SQR = const(1)  # a * a
END = const(2)
# Any other operation is (i << 4 | j), meaning i * a - j * b, with i in 1..4 and j in 1..8.


@micropython.viper
def run(a: ptr32, b: ptr32, c: int, slots: ptr32):
    """Run program `a` on `slots`; `b` and `c` are ignored.

    Arguments are where viper keeps what it uses most: its first three variables are registers.
    """
    program = ptr8(a)
    while program[0] != END:
        operation = int(program[0])
        target = ptr32(int(slots) + 80 * program[1])
        a = ptr32(int(slots) + 80 * program[2])
        b = ptr32(int(slots) + 80 * program[3])
        if operation <= SQR:
            # One Karatsuba step. Words of scratch: 0..39 the low and the high product, 40..59 the middle one, 60..79 the sums of halves.
            z = ptr32(int(slots) + 240)
            k = 0
            while k < 2:
                z[0] = a[0] + a[10]
                z[1] = a[1] + a[11]
                z[2] = a[2] + a[12]
                z[3] = a[3] + a[13]
                z[4] = a[4] + a[14]
                z[10] = b[0] + b[10]
                z[11] = b[1] + b[11]
                z[12] = b[2] + b[12]
                z[13] = b[3] + b[13]
                z[14] = b[4] + b[14]
                a = ptr32(int(a) + 20)
                b = ptr32(int(b) + 20)
                z = ptr32(int(z) + 20)
                k += 1
            a = ptr32(int(a) - 40)
            b = ptr32(int(b) - 40)
            z = slots
            k = 0
            while k < 3:
                if operation == MUL:
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
            slots[19] = 0
            slots[39] = 0
            slots[59] = 0
            a = slots
            b = ptr32(int(slots) + 160)
            k = 0
            while k < 4:
                b[0] -= a[0] + a[20]
                b[1] -= a[1] + a[21]
                b[2] -= a[2] + a[22]
                b[3] -= a[3] + a[23]
                b[4] -= a[4] + a[24]
                a = ptr32(int(a) + 20)
                b = ptr32(int(b) + 20)
                k += 1
            a = ptr32(int(slots) + 40)
            b = ptr32(int(slots) + 160)
            k = 0
            while k < 4:
                a[0] += b[0]
                a[1] += b[1]
                a[2] += b[2]
                a[3] += b[3]
                a[4] += b[4]
                a = ptr32(int(a) + 20)
                b = ptr32(int(b) + 20)
                k += 1

            # The product's upper half into 13 bits each, moved up by 2 words over zeros.
            slots[40] = 0
            slots[41] = 0
            a = ptr32(int(slots) + 80)
            b = ptr32(int(slots) + 168)
            c = _CARRY
            k = 0
            while k < 5:
                c += a[0] + _OFFSET
                b[0] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[1] + _OFFSET
                b[1] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[2] + _OFFSET
                b[2] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[3] + _OFFSET
                b[3] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                a = ptr32(int(a) + 16)
                b = ptr32(int(b) + 16)
                k += 1

            # Fold: 2^260 is 2^36 + 15632, in limbs -752, 2, 1024.
            a = slots
            b = ptr32(int(slots) + 160)
            z = target
            c = _CARRY
            k = 0
            while k < 5:
                c += a[0] + (b[0] << 10) + (b[1] << 1) - b[2] * 752 + _OFFSET
                z[0] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[1] + (b[1] << 10) + (b[2] << 1) - b[3] * 752 + _OFFSET
                z[1] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[2] + (b[2] << 10) + (b[3] << 1) - b[4] * 752 + _OFFSET
                z[2] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[3] + (b[3] << 10) + (b[4] << 1) - b[5] * 752 + _OFFSET
                z[3] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                a = ptr32(int(a) + 16)
                b = ptr32(int(b) + 16)
                z = ptr32(int(z) + 16)
                k += 1
            # Limbs 20 to 22 are left.
            c += (b[0] << 10) + (b[1] << 1) + _OFFSET
            limb_20 = (c & 0x1FFF) - 4096
            c = (c >> 13 & 0x1FFFF) + (b[1] << 10) + _OFFSET
            limb_21 = (c & 0x1FFF) - 4096
            limb_22 = (c >> 13 & 0x1FFFF) - _CARRY
        else:
            i = operation >> 4
            j = operation & 15
            z = target
            c = _CARRY
            k = 0
            while k < 5:
                c += a[0] * i - b[0] * j + _OFFSET
                z[0] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[1] * i - b[1] * j + _OFFSET
                z[1] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[2] * i - b[2] * j + _OFFSET
                z[2] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                c += a[3] * i - b[3] * j + _OFFSET
                z[3] = (c & 0x1FFF) - 4096
                c = c >> 13 & 0x1FFFF
                a = ptr32(int(a) + 16)
                b = ptr32(int(b) + 16)
                z = ptr32(int(z) + 16)
                k += 1
            limb_20 = c - _CARRY
            limb_21 = 0
            limb_22 = 0

        # Fold these again; the last carry is at most 38, and goes no further than limb 5.
        c = _CARRY
        c += target[0] - limb_20 * 752 + _OFFSET
        target[0] = (c & 0x1FFF) - 4096
        c = c >> 13 & 0x1FFFF
        c += target[1] + (limb_20 << 1) - limb_21 * 752 + _OFFSET
        target[1] = (c & 0x1FFF) - 4096
        c = c >> 13 & 0x1FFFF
        c += target[2] + (limb_20 << 10) + (limb_21 << 1) - limb_22 * 752 + _OFFSET
        target[2] = (c & 0x1FFF) - 4096
        c = c >> 13 & 0x1FFFF
        c += target[3] + (limb_21 << 10) + (limb_22 << 1) + _OFFSET
        target[3] = (c & 0x1FFF) - 4096
        c = c >> 13 & 0x1FFFF
        c += target[4] + (limb_22 << 10) + _OFFSET
        target[4] = (c & 0x1FFF) - 4096
        c = c >> 13 & 0x1FFFF
        target[5] += c - _CARRY
        program = ptr8(int(program) + 4)


@micropython.viper
def load(slots: ptr32, slot: int, source: ptr8, offset: int):
    """Read the 32 little-endian bytes at `offset` of `source` into a slot."""
    target = ptr32(int(slots) + 80 * slot)
    bits = 0
    count = 0
    carry = 0
    k = 0
    i = 0
    while k < LIMBS:
        while count < 13 and i < 32:
            bits |= source[offset + i] << count
            count += 8
            i += 1
        limb = (bits & 0x1FFF) + carry
        carry = (limb + 4096) >> 13
        target[k] = limb - (carry << 13)
        bits = bits >> 13
        count -= 13
        k += 1


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


def element(slots, slot, scratch):
    """The integer 0..P-1 in a slot; `scratch` is 33 bytes."""
    store(scratch, slots, slot)
    return (int.from_bytes(scratch, "little") + _BIAS & _MASK) % P
