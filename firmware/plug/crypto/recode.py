"""Scalars taken apart into the digits that plug.crypto.curve adds up."""

import micropython
from micropython import const

COLUMNS = const(32)


@micropython.viper
def columns(target: ptr8, signs: ptr8):
    """The comb's digits: column i of 32 is bits i, i + 32, ... i + 224 of `signs` (32 bytes little-endian), where a one is plus.

    A digit is the index of a point of the table, or with 0x80 of a point to be taken negative: where the uppermost bit is zero, all are turned round.
    """
    i = 0
    while i < COLUMNS:
        column = 0
        tooth = 0
        while tooth < 32:
            column = column >> 1 | (signs[tooth + (i >> 3)] >> (i & 7) & 1) << 7
            tooth += 4
        flip = (column >> 7) - 1
        target[i] = ((column ^ flip) & 0x7F) | (flip & 0x80)
        i += 1


@micropython.viper
def _odd_digits(target: ptr8, scalar: ptr8, count: int, negative: int):
    carry = 0
    i = 0
    while i < count:
        window = (scalar[i >> 3] | scalar[(i >> 3) + 1] << 8) >> (i & 7) & 15
        if (window & 1) == carry:
            i += 1
        else:
            window += carry
            if window < 8:
                carry = 0
                target[i] = 1 + (window & 6) + negative
            else:
                carry = 1
                target[i] = 1 + (15 - window & 6) + (negative ^ 1)
            i += 4


def digits(scalar, negative):
    """`scalar` (below 2^256), or its negative, in width-4 non-adjacent form: a byte for each of 257 bits, or of 129 for one below 2^128.

    0 is no digit; others are 1 + 2 * index + sign for the digit 1 + 2 * index, index 0..3, where a sign of 1 is minus.
    """
    target = bytearray(257 if scalar >> 128 else 129)
    _odd_digits(target, scalar.to_bytes(34, "little"), len(target), int(negative))
    return target
