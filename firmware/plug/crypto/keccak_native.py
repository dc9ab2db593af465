"""Keccak-256 in native code: Keccak-f[1600] as in FIPS 202, section 3.

Viper has machine words of 32 or 64 bits, so that each lane is two 32-bit words, low one first.
A 32-bit load may be sign- or zero-extended and a left shift may leave bits above 31: every right shift is masked, which makes one source right
on both word sizes. Rotations by 32 + n swap the words.
"""

import micropython
from micropython import const

_RATE = const(136)
_RATE_WORDS = const(34)
_DIGEST = const(32)
_STATE_WORDS = const(50)

# Iota: 24 lanes of 8 bytes, little-endian.
_ROUND_CONSTANTS = bytearray(
    b"\x01\x00\x00\x00\x00\x00\x00\x00\x82\x80\x00\x00\x00\x00\x00\x00\x8a\x80\x00\x00\x00\x00\x00\x80\x00\x80\x00\x80\x00\x00\x00\x80"
    b"\x8b\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x80\x00\x00\x00\x00\x81\x80\x00\x80\x00\x00\x00\x80\x09\x80\x00\x00\x00\x00\x00\x80"
    b"\x8a\x00\x00\x00\x00\x00\x00\x00\x88\x00\x00\x00\x00\x00\x00\x00\x09\x80\x00\x80\x00\x00\x00\x00\x0a\x00\x00\x80\x00\x00\x00\x00"
    b"\x8b\x80\x00\x80\x00\x00\x00\x00\x8b\x00\x00\x00\x00\x00\x00\x80\x89\x80\x00\x00\x00\x00\x00\x80\x03\x80\x00\x00\x00\x00\x00\x80"
    b"\x02\x80\x00\x00\x00\x00\x00\x80\x80\x00\x00\x00\x00\x00\x00\x80\x0a\x80\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x80\x00\x00\x00\x80"
    b"\x81\x80\x00\x80\x00\x00\x00\x80\x80\x80\x00\x00\x00\x00\x00\x80\x01\x00\x00\x80\x00\x00\x00\x00\x08\x80\x00\x80\x00\x00\x00\x80"
)


@micropython.viper
def _absorb(state: ptr32, data: ptr8, offset: int):
    """XOR a block of `data` from `offset` on into the state. Byte by byte, for any alignment."""
    data = ptr8(int(data) + offset)
    i = 0
    while i < _RATE_WORDS:
        state[i] = data[0] ^ data[1] << 8 ^ data[2] << 16 ^ data[3] << 24 ^ state[i]
        data = ptr8(int(data) + 4)
        i += 1


@micropython.viper
def _permute(s: ptr32, b: ptr32, constants: ptr32):
    """Keccak-f[1600] on the 50 words of `s`; `b` is scratch of the same size. Lane (x, y) is the words 2 * (x + 5 * y) and the one after."""
    i = 0
    while i < 48:
        # Theta: column parities, then rho and pi of each lane as it is changed.
        c0l = s[0] ^ s[10] ^ s[20] ^ s[30] ^ s[40]
        c0h = s[1] ^ s[11] ^ s[21] ^ s[31] ^ s[41]
        c1l = s[2] ^ s[12] ^ s[22] ^ s[32] ^ s[42]
        c1h = s[3] ^ s[13] ^ s[23] ^ s[33] ^ s[43]
        c2l = s[4] ^ s[14] ^ s[24] ^ s[34] ^ s[44]
        c2h = s[5] ^ s[15] ^ s[25] ^ s[35] ^ s[45]
        c3l = s[6] ^ s[16] ^ s[26] ^ s[36] ^ s[46]
        c3h = s[7] ^ s[17] ^ s[27] ^ s[37] ^ s[47]
        c4l = s[8] ^ s[18] ^ s[28] ^ s[38] ^ s[48]
        c4h = s[9] ^ s[19] ^ s[29] ^ s[39] ^ s[49]
        dl = c4l ^ (c1l << 1) ^ (c1h >> 31 & 1)
        dh = c4h ^ (c1h << 1) ^ (c1l >> 31 & 1)
        b[0] = s[0] ^ dl
        b[1] = s[1] ^ dh
        tl = s[10] ^ dl
        th = s[11] ^ dh
        b[32] = (th << 4) | (tl >> 28 & 0xF)
        b[33] = (tl << 4) | (th >> 28 & 0xF)
        tl = s[20] ^ dl
        th = s[21] ^ dh
        b[14] = (tl << 3) | (th >> 29 & 0x7)
        b[15] = (th << 3) | (tl >> 29 & 0x7)
        tl = s[30] ^ dl
        th = s[31] ^ dh
        b[46] = (th << 9) | (tl >> 23 & 0x1FF)
        b[47] = (tl << 9) | (th >> 23 & 0x1FF)
        tl = s[40] ^ dl
        th = s[41] ^ dh
        b[28] = (tl << 18) | (th >> 14 & 0x3FFFF)
        b[29] = (th << 18) | (tl >> 14 & 0x3FFFF)
        dl = c0l ^ (c2l << 1) ^ (c2h >> 31 & 1)
        dh = c0h ^ (c2h << 1) ^ (c2l >> 31 & 1)
        tl = s[2] ^ dl
        th = s[3] ^ dh
        b[20] = (tl << 1) | (th >> 31 & 0x1)
        b[21] = (th << 1) | (tl >> 31 & 0x1)
        tl = s[12] ^ dl
        th = s[13] ^ dh
        b[2] = (th << 12) | (tl >> 20 & 0xFFF)
        b[3] = (tl << 12) | (th >> 20 & 0xFFF)
        tl = s[22] ^ dl
        th = s[23] ^ dh
        b[34] = (tl << 10) | (th >> 22 & 0x3FF)
        b[35] = (th << 10) | (tl >> 22 & 0x3FF)
        tl = s[32] ^ dl
        th = s[33] ^ dh
        b[16] = (th << 13) | (tl >> 19 & 0x1FFF)
        b[17] = (tl << 13) | (th >> 19 & 0x1FFF)
        tl = s[42] ^ dl
        th = s[43] ^ dh
        b[48] = (tl << 2) | (th >> 30 & 0x3)
        b[49] = (th << 2) | (tl >> 30 & 0x3)
        dl = c1l ^ (c3l << 1) ^ (c3h >> 31 & 1)
        dh = c1h ^ (c3h << 1) ^ (c3l >> 31 & 1)
        tl = s[4] ^ dl
        th = s[5] ^ dh
        b[40] = (th << 30) | (tl >> 2 & 0x3FFFFFFF)
        b[41] = (tl << 30) | (th >> 2 & 0x3FFFFFFF)
        tl = s[14] ^ dl
        th = s[15] ^ dh
        b[22] = (tl << 6) | (th >> 26 & 0x3F)
        b[23] = (th << 6) | (tl >> 26 & 0x3F)
        tl = s[24] ^ dl
        th = s[25] ^ dh
        b[4] = (th << 11) | (tl >> 21 & 0x7FF)
        b[5] = (tl << 11) | (th >> 21 & 0x7FF)
        tl = s[34] ^ dl
        th = s[35] ^ dh
        b[36] = (tl << 15) | (th >> 17 & 0x7FFF)
        b[37] = (th << 15) | (tl >> 17 & 0x7FFF)
        tl = s[44] ^ dl
        th = s[45] ^ dh
        b[18] = (th << 29) | (tl >> 3 & 0x1FFFFFFF)
        b[19] = (tl << 29) | (th >> 3 & 0x1FFFFFFF)
        dl = c2l ^ (c4l << 1) ^ (c4h >> 31 & 1)
        dh = c2h ^ (c4h << 1) ^ (c4l >> 31 & 1)
        tl = s[6] ^ dl
        th = s[7] ^ dh
        b[10] = (tl << 28) | (th >> 4 & 0xFFFFFFF)
        b[11] = (th << 28) | (tl >> 4 & 0xFFFFFFF)
        tl = s[16] ^ dl
        th = s[17] ^ dh
        b[42] = (th << 23) | (tl >> 9 & 0x7FFFFF)
        b[43] = (tl << 23) | (th >> 9 & 0x7FFFFF)
        tl = s[26] ^ dl
        th = s[27] ^ dh
        b[24] = (tl << 25) | (th >> 7 & 0x1FFFFFF)
        b[25] = (th << 25) | (tl >> 7 & 0x1FFFFFF)
        tl = s[36] ^ dl
        th = s[37] ^ dh
        b[6] = (tl << 21) | (th >> 11 & 0x1FFFFF)
        b[7] = (th << 21) | (tl >> 11 & 0x1FFFFF)
        tl = s[46] ^ dl
        th = s[47] ^ dh
        b[38] = (th << 24) | (tl >> 8 & 0xFFFFFF)
        b[39] = (tl << 24) | (th >> 8 & 0xFFFFFF)
        dl = c3l ^ (c0l << 1) ^ (c0h >> 31 & 1)
        dh = c3h ^ (c0h << 1) ^ (c0l >> 31 & 1)
        tl = s[8] ^ dl
        th = s[9] ^ dh
        b[30] = (tl << 27) | (th >> 5 & 0x7FFFFFF)
        b[31] = (th << 27) | (tl >> 5 & 0x7FFFFFF)
        tl = s[18] ^ dl
        th = s[19] ^ dh
        b[12] = (tl << 20) | (th >> 12 & 0xFFFFF)
        b[13] = (th << 20) | (tl >> 12 & 0xFFFFF)
        tl = s[28] ^ dl
        th = s[29] ^ dh
        b[44] = (th << 7) | (tl >> 25 & 0x7F)
        b[45] = (tl << 7) | (th >> 25 & 0x7F)
        tl = s[38] ^ dl
        th = s[39] ^ dh
        b[26] = (tl << 8) | (th >> 24 & 0xFF)
        b[27] = (th << 8) | (tl >> 24 & 0xFF)
        tl = s[48] ^ dl
        th = s[49] ^ dh
        b[8] = (tl << 14) | (th >> 18 & 0x3FFF)
        b[9] = (th << 14) | (tl >> 18 & 0x3FFF)
        # Chi, row by row: b0 ^ (~b1 & b2).
        k = 0
        while k < 5:
            s[0] = ~b[2] & b[4] ^ b[0]
            s[1] = ~b[3] & b[5] ^ b[1]
            s[2] = ~b[4] & b[6] ^ b[2]
            s[3] = ~b[5] & b[7] ^ b[3]
            s[4] = ~b[6] & b[8] ^ b[4]
            s[5] = ~b[7] & b[9] ^ b[5]
            s[6] = ~b[8] & b[0] ^ b[6]
            s[7] = ~b[9] & b[1] ^ b[7]
            s[8] = ~b[0] & b[2] ^ b[8]
            s[9] = ~b[1] & b[3] ^ b[9]
            s = ptr32(int(s) + 40)
            b = ptr32(int(b) + 40)
            k += 1
        s = ptr32(int(s) - 200)
        b = ptr32(int(b) - 200)
        # Iota.
        s[0] = s[0] ^ constants[i]
        s[1] = s[1] ^ constants[i + 1]
        i += 2


def digest(data):
    """Keccak-256 of bytes."""
    state = bytearray(4 * _STATE_WORDS)
    scratch = bytearray(4 * _STATE_WORDS)
    offset = 0
    while len(data) - offset >= _RATE:
        _absorb(state, data, offset)
        _permute(state, scratch, _ROUND_CONSTANTS)
        offset += _RATE
    rest = bytearray(_RATE)
    rest[: len(data) - offset] = data[offset:]
    rest[len(data) - offset] = 0x01
    rest[_RATE - 1] |= 0x80
    _absorb(state, rest, 0)
    _permute(state, scratch, _ROUND_CONSTANTS)
    return bytes(state[:_DIGEST])
