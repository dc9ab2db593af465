"""BLS aggregate signatures over BLS12-381, keys in G1 (IETF draft-irtf-cfrg-bls-signature, proof of possession)."""

from collections.abc import Sequence
from functools import lru_cache

from py_arkworks_bls12381 import GT, G1Point, G2Point

DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_IDENTITY = G1Point.identity()
_MINUS_GENERATOR = -G1Point()


@lru_cache(maxsize=4)
def _committee(pubkeys: tuple[bytes, ...]) -> tuple[list[G1Point], G1Point]:
    """Return a committee's points and their sum. Decompressing 512 keys takes about 30 ms, once a committee."""
    points = [_point(key) for key in pubkeys]
    total = _IDENTITY
    for point in points:
        total = total + point
    return points, total


def _point(key: bytes) -> G1Point:
    """Raises ValueError for a key that is no compressed point, not in the subgroup, or infinity."""
    point = G1Point.from_compressed_bytes(key)
    if point == _IDENTITY:
        raise ValueError("the key is the point at infinity")
    return point


def fast_aggregate_verify(pubkeys: tuple[bytes, ...], bits: Sequence[bool], message: bytes, signature: bytes) -> bool:
    """Say whether `signature` (96 bytes) is that of all keys whose bit is set over `message`. False also for damaged keys or signature."""
    try:
        points, total = _committee(pubkeys)
        signed = G2Point.from_compressed_bytes(signature)
    except ValueError:
        return False
    present = [point for point, bit in zip(points, bits, strict=True) if bit]
    if 2 * len(present) > len(points):
        aggregate = total
        for point, bit in zip(points, bits, strict=True):
            if not bit:
                aggregate = aggregate - point
    else:
        aggregate = _IDENTITY
        for point in present:
            aggregate = aggregate + point
    if aggregate == _IDENTITY:
        return False
    return bool(GT.pairing_check([aggregate, _MINUS_GENERATOR], [G2Point.hash_to_curve(message, DST), signed]))
