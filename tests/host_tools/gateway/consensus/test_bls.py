"""Signatures beside py_ecc's, and keys that are none."""

import functools

import pytest
from py_arkworks_bls12381 import G1Point, G2Point, Scalar
from py_ecc.bls import G2ProofOfPossession as PyEcc
from py_ecc.bls.point_compression import compress_G1
from py_ecc.fields import optimized_bls12_381_FQ as Fq
from py_ecc.optimized_bls12_381 import b, curve_order, field_modulus, is_inf, multiply
from wattseal.gateway.consensus.bls import DST, fast_aggregate_verify

SECRETS = [3, 1 << 200, curve_order - 5, 77, 1234567, 11, 2**255 % curve_order, 5]
KEYS = tuple(PyEcc.SkToPk(secret) for secret in SECRETS)
MESSAGE = b"\x5a" * 32


@functools.cache
def signed_by(bits, message):
    return PyEcc.Aggregate([PyEcc.Sign(secret, message) for secret, bit in zip(SECRETS, bits, strict=True) if bit])


def signature(bits, message=MESSAGE):
    return signed_by(tuple(bits), message)


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_beside_py_ecc(count):
    """Few signers are added up, many are what the absent leave."""
    bits = [place < count for place in range(8)]
    good = signature(bits)
    assert PyEcc.FastAggregateVerify(list(KEYS[:count]), MESSAGE, good)
    assert fast_aggregate_verify(KEYS, bits, MESSAGE, good)
    other = [*bits[1:], True] if count < 8 else [*bits[:7], False]
    assert not fast_aggregate_verify(KEYS, other, MESSAGE, good)
    assert not fast_aggregate_verify(KEYS, bits, MESSAGE[:-1] + b"\0", good)
    assert not fast_aggregate_verify(KEYS, bits, MESSAGE, signature(bits, b"another"))
    assert not fast_aggregate_verify(KEYS, bits, MESSAGE, b"\xc0" + bytes(95))
    assert not fast_aggregate_verify(KEYS, bits, MESSAGE, bytes([good[0] ^ 0x20]) + good[1:])  # minus the point


def test_keys_that_cancel_out():
    """Their sum is infinity, for which the signature at infinity would be right."""
    keys = (PyEcc.SkToPk(7), PyEcc.SkToPk(curve_order - 7))
    assert not fast_aggregate_verify(keys, [True, True], MESSAGE, b"\xc0" + bytes(95))
    assert not fast_aggregate_verify(KEYS, [False] * 8, MESSAGE, b"\xc0" + bytes(95))


def outside_the_subgroup():
    """A point on the curve whose order is not the group's."""
    for x in range(1, 100):
        square = (Fq(x) ** 3 + b).n
        y = pow(square, (field_modulus + 1) // 4, field_modulus)
        point = (Fq(x), Fq(y), Fq(1))
        if y * y % field_modulus == square and not is_inf(multiply(point, curve_order)):
            return compress_G1(point).to_bytes(48)
    raise LookupError


NO_KEYS = {
    "infinity": b"\xc0" + bytes(47),
    "infinity with more": b"\xc0" + bytes(46) + b"\1",
    "all bits": b"\xff" * 48,
    "zeros": bytes(48),
    "not compressed": bytes([KEYS[0][0] & 0x7F]) + KEYS[0][1:],
    "not on the curve": b"\x80" + bytes(46) + b"\1",
    "outside the subgroup": outside_the_subgroup(),
    "x not below the modulus": (field_modulus + 4 | 1 << 383).to_bytes(48),
    "short": KEYS[0][:-1],
    "long": KEYS[0] + b"\0",
}


@pytest.mark.parametrize("place", [0, 7], ids=["signing", "absent"])
@pytest.mark.parametrize("key", NO_KEYS.values(), ids=NO_KEYS)
def test_a_committee_with_a_key_that_is_none(key, place):
    keys = tuple(key if number == place else good for number, good in enumerate(KEYS))
    bits = [number < 6 for number in range(8)]
    assert not fast_aggregate_verify(keys, bits, MESSAGE, signature(bits))


@pytest.mark.parametrize("wrong", [(0,), (511,), (3, 4), tuple(range(0, 512, 2))], ids=["first", "last", "two", "half"])
def test_a_large_committee_with_keys_outside_the_subgroup(wrong):
    """Large committees are checked by random combinations. Two wrong keys may not hide each other, nor may a wrong key by being absent."""
    points = [G1Point() * Scalar.from_be_bytes_mod_order(place.to_bytes(2)) for place in range(1, 513)]
    outside = G1Point.from_compressed_bytes_unchecked(outside_the_subgroup())
    torsion = outside * Scalar.from_be_bytes_mod_order((curve_order - 1).to_bytes(32)) + outside  # times the group's order: what should vanish
    assert torsion != G1Point.identity()
    keys = [point.to_compressed_bytes() for point in points]
    message = G2Point.hash_to_curve(MESSAGE, DST)
    signature = (message * Scalar.from_be_bytes_mod_order((512 * 513 // 2).to_bytes(4))).to_compressed_bytes()
    assert fast_aggregate_verify(tuple(keys), [True] * 512, MESSAGE, signature)
    for number, place in enumerate(wrong):
        changed = points[place] + torsion if number % 2 == 0 else points[place] - torsion
        keys[place] = changed.to_compressed_bytes()
    assert not fast_aggregate_verify(tuple(keys), [True] * 512, MESSAGE, signature)
