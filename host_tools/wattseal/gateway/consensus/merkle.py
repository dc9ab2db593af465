"""SHA-256 Merkle trees as SSZ builds them, and branches in them."""

from collections.abc import Sequence
from hashlib import sha256

ZERO = bytes(32)


def sha(data: bytes) -> bytes:
    """Return the SHA-256 digest."""
    return sha256(data).digest()


def _zero_hashes(depth: int) -> list[bytes]:
    hashes = [ZERO]
    for _ in range(depth):
        hashes.append(sha(hashes[-1] * 2))
    return hashes


_ZERO_HASHES = _zero_hashes(64)


def merkleize(chunks: Sequence[bytes], limit: int) -> bytes:
    """Return the root over `chunks` of 32 bytes, filled with zero chunks to the next power of two of `limit` (simple-serialize.md)."""
    layer = list(chunks)
    for depth in range((limit - 1).bit_length()):
        if len(layer) % 2:
            layer.append(_ZERO_HASHES[depth])
        layer = [sha(layer[i] + layer[i + 1]) for i in range(0, len(layer), 2)]
    return layer[0] if layer else _ZERO_HASHES[(limit - 1).bit_length()]


def depth_of(gindex: int) -> int:
    """Return the depth of a generalised index, `floorlog2` of the specs."""
    return gindex.bit_length() - 1


def is_valid_normalized_merkle_branch(leaf: bytes, branch: Sequence[bytes], gindex: int, root: bytes) -> bool:
    """Say whether `branch` leads from `leaf` at `gindex` to `root`. Elements beyond the depth stand in front and must be zero (Electra)."""
    extra = len(branch) - depth_of(gindex)
    if extra < 0 or any(element != ZERO for element in branch[:extra]):
        return False
    node = leaf
    for level, sibling in enumerate(branch[extra:]):
        node = sha(sibling + node) if gindex >> level & 1 else sha(node + sibling)
    return node == root
