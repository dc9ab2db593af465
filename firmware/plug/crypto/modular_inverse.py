"""The inverse modulo a prime below 2^256: Bernstein and Yang's division steps (2019), in the variant that needs at most 590 of them for 256 bits.

The steps neither branch nor index by the value; the Python integers around them are not constant-time.
"""

import micropython
from micropython import const

from plug.crypto.field import SLOT_BYTES, clear, load, store

_BATCHES = const(46)  # of 13 steps: 598
_F = const(0)
_G = const(1)
_D = const(2)
_E = const(3)
_MODULUS = const(4)
_SLOTS = const(5)


@micropython.viper
def _divide(slots: ptr32, modulus_inverse: int):
    """Run all steps. `slots` are f, g, d, e and the modulus, 20 limbs of 13 bits each; `modulus_inverse` is 1 / modulus modulo 2^13.

    At the end f is 1 or -1, g is 0 and d * f is the inverse of the first g, if d was 0 and e 1. Limbs come and go in 13 bits, the last one with the
    sign. d and e stay below 24 times the modulus. Signs are taken from bit 31, see plug.crypto.field.
    """
    zeta = -1
    batch = 0
    while batch < _BATCHES:
        # 13 steps on the low bits of f and g, collected in the matrix (u, v; q, r).
        f = slots[0] & 0x1FFF
        g = slots[20] & 0x1FFF
        u = 1
        v = 0
        q = 0
        r = 1
        i = 0
        while i < 13:
            negative = zeta >> 15  # all ones or zero, as the masks below
            odd = 0 - (g & 1)
            g += ((f ^ negative) - negative) & odd
            q += ((u ^ negative) - negative) & odd
            r += ((v ^ negative) - negative) & odd
            swap = negative & odd
            zeta = (zeta ^ swap) - 1
            f += g & swap
            u += q & swap
            v += r & swap
            g = g >> 1
            u = u << 1
            v = v << 1
            i += 1

        # (f, g) and (d, e) times the matrix, divided by 2^13; multiples of the modulus make that exact for d and e.
        p = slots
        carry_f = 0
        carry_g = 0
        carry_d = 0
        carry_e = 0
        add_d = 0
        add_e = 0
        i = 0
        while i < 20:
            f = p[0]
            g = p[20]
            carry_f += u * f + v * g
            carry_g += q * f + r * g
            f = p[40]
            g = p[60]
            carry_d += u * f + v * g
            carry_e += q * f + r * g
            if i == 0:
                add_d = (((0 - carry_d * modulus_inverse) & 0x1FFF) ^ 0x1000) - 0x1000
                add_e = (((0 - carry_e * modulus_inverse) & 0x1FFF) ^ 0x1000) - 0x1000
            else:
                previous = ptr32(int(p) - 4)
                previous[0] = carry_f & 0x1FFF
                previous[20] = carry_g & 0x1FFF
            carry_d += add_d * p[80]
            carry_e += add_e * p[80]
            if i > 0:
                previous = ptr32(int(p) - 4)
                previous[40] = carry_d & 0x1FFF
                previous[60] = carry_e & 0x1FFF
            carry_f = ((carry_f >> 13 & 0x7FFFF) ^ 0x40000) - 0x40000
            carry_g = ((carry_g >> 13 & 0x7FFFF) ^ 0x40000) - 0x40000
            carry_d = ((carry_d >> 13 & 0x7FFFF) ^ 0x40000) - 0x40000
            carry_e = ((carry_e >> 13 & 0x7FFFF) ^ 0x40000) - 0x40000
            p = ptr32(int(p) + 4)
            i += 1
        p = ptr32(int(p) - 4)
        p[0] = carry_f
        p[20] = carry_g
        p[40] = carry_d
        p[60] = carry_e
        batch += 1


def inverse(value, modulus):
    """1 / `value` modulo the odd prime `modulus` below 2^256, for 0 <= value < modulus; 0 for 0."""
    low = modulus & 0x1FFF
    modulus_inverse = low  # right for 3 bits, then 6, 12, 24
    for _ in range(3):
        modulus_inverse = modulus_inverse * (2 - low * modulus_inverse) & 0x1FFF
    slots = bytearray(_SLOTS * SLOT_BYTES)
    number = bytearray(33)
    try:
        start = modulus.to_bytes(32, "little")
        load(slots, _F, start, 0)
        load(slots, _MODULUS, start, 0)
        load(slots, _G, value.to_bytes(32, "little"), 0)
        slots[_E * SLOT_BYTES] = 1
        _divide(slots, modulus_inverse)
        store(number, slots, _D)
        result = int.from_bytes(number, "little")
        if number[32] & 0x80:
            result -= 1 << 264
        store(number, slots, _F)
        return (-result if number[32] & 0x80 else result) % modulus
    finally:
        clear(slots, len(slots))
        clear(number, len(number))
