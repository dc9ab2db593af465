"""Merkle-Patricia trie proofs (Ethereum yellow paper, appendix D), verified strictly.

A proof is accepted only when every node is reached through its hash or is inlined in its parent, is canonical, and is needed.
No proof, however hostile, raises anything but `ProofError`.
"""

from collections.abc import Iterator, Mapping, Sequence

from eth_hash.auto import keccak

from wattseal.errors import ProofError
from wattseal.gateway.rlp_strict import Item, decode, encode

EMPTY_ROOT = keccak(encode(b""))
# A branch of sixteen hashes is the largest node of a state or storage trie; a key of 64 nibbles bounds the depth.
MAX_NODE_BYTES = 532
MAX_NODES = 65

_DIGITS = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


def prove(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Walk `proof` from `root` (32 bytes) along `key` (as the trie holds it: the state and storage tries hash their keys first).

    Returns the key's value, or None when the proof shows that the key is absent. Raises ProofError in every other case.
    """
    if len(proof) > MAX_NODES:
        raise ProofError(f"a trie proof has at most {MAX_NODES} nodes, this one has {len(proof)}")
    if root == EMPTY_ROOT:
        if list(proof) not in ([], [encode(b"")]):
            raise ProofError("the trie is empty, but its proof has nodes")
        return None
    nodes = iter(proof)
    value = _descend(_node(root, nodes, is_root=True), _nibbles(key), nodes)
    if next(nodes, None) is not None:
        raise ProofError("the trie proof has nodes that it does not need")
    return value or None


def _descend(node: list[Item], path: bytes, nodes: Iterator[bytes]) -> bytes:
    """Return the value under the nibbles of `path`, or b"" where the trie has none."""
    while True:
        if len(node) == 17:
            _check_branch(node)
            if not path:
                return _value(node[16])
            child, path = node[path[0]], path[1:]
        elif len(node) == 2:
            is_leaf, segment = _hex_prefix(node[0])
            if is_leaf:
                value = _value(node[1])
                if not value:
                    raise ProofError("a trie leaf is empty")
                return value if path == segment else b""
            if not path.startswith(segment):
                return b""
            child, path = node[1], path[len(segment) :]
        else:
            raise _no_node(node)
        if child == b"":
            if len(node) == 2:
                raise ProofError("a trie extension leads nowhere")
            return b""
        after_extension = len(node) == 2
        node = _node(child, nodes)
        if after_extension and len(node) != 17:
            raise ProofError("a trie extension leads to no branch")


def _node(reference: Item, nodes: Iterator[bytes], *, is_root: bool = False) -> list[Item]:
    """Resolve a node reference: inline, or the hash of the proof's next node."""
    _check_reference(reference)
    if isinstance(reference, list):
        return reference
    raw = next(nodes, None)
    if raw is None:
        raise ProofError("the trie proof ends early")
    if keccak(raw) != reference:
        raise ProofError(f"a trie node does not have the hash 0x{reference.hex()} that its parent names")
    if len(raw) > MAX_NODE_BYTES or (len(raw) < 32 and not is_root):
        raise ProofError(f"a trie node has 32 to {MAX_NODE_BYTES} bytes, this one has {len(raw)}")
    item = decode(raw)
    if not isinstance(item, list):
        raise ProofError("a trie node is no list")
    return item


def _check_branch(node: list[Item]) -> None:
    children = [child for child in node[:16] if child != b""]
    if len(children) + (_value(node[16]) != b"") < 2:
        raise ProofError("a trie branch has fewer than two ways on")
    for child in children:  # also those that lead elsewhere
        _check_reference(child)


def _check_reference(reference: Item) -> None:
    if isinstance(reference, list):
        if len(reference) not in (2, 17):
            raise _no_node(reference)
        if len(encode(reference)) >= 32:
            raise ProofError("a trie node of 32 bytes or more is inlined")
    elif len(reference) != 32:
        raise ProofError(f"a trie node reference has 32 bytes, this one has {len(reference)}")


def _no_node(node: list[Item]) -> ProofError:
    return ProofError(f"a trie node has 2 or 17 items, this one has {len(node)}")


def _hex_prefix(item: Item) -> tuple[bool, bytes]:
    """Decode a hex-prefixed path (appendix C) to (is a leaf's, nibbles)."""
    nibbles = _nibbles(_value(item))
    if not nibbles or nibbles[0] > 3:
        raise ProofError("a trie path has no valid prefix")
    is_leaf, is_odd = bool(nibbles[0] & 2), bool(nibbles[0] & 1)
    if not is_odd and nibbles[1] != 0:
        raise ProofError("a trie path has no canonical prefix")
    segment = nibbles[1:] if is_odd else nibbles[2:]
    if not is_leaf and not segment:
        raise ProofError("a trie extension has no path")
    return is_leaf, segment


def _value(item: Item) -> bytes:
    if not isinstance(item, bytes):
        raise ProofError("a trie node has a list where bytes belong")
    return item


def _nibbles(data: bytes) -> bytes:
    return data.hex().encode().translate(_DIGITS)


# -- building --------------------------------------------------------------------------------------------------------------------------


def trie_root(items: Mapping[bytes, bytes]) -> bytes:
    """Return the root (32 bytes) of the trie that holds `items`, none of whose values is empty."""
    if not items:
        return EMPTY_ROOT
    return keccak(encode(_build([(_nibbles(key), value) for key, value in sorted(items.items())], 0)))


def _build(entries: list[tuple[bytes, bytes]], depth: int) -> list[Item]:
    """Return the node above sorted entries (nibbles of the whole key, value) that agree in their first `depth` nibbles."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return [_pack(first[depth:], is_leaf=True), entries[0][1]]
    # the entries are sorted: what the first and the last share, all share
    shared = next((place for place in range(depth, len(first)) if first[place] != last[place]), len(first))
    if shared > depth:
        return [_pack(first[depth:shared], is_leaf=False), _reference(_build(entries, shared))]
    value = entries[0][1] if len(first) == depth else b""
    below: list[list[tuple[bytes, bytes]]] = [[] for _ in range(16)]
    for entry in entries[1:] if value else entries:
        below[entry[0][depth]].append(entry)
    return [*(_reference(_build(children, depth + 1)) if children else b"" for children in below), value]


def _reference(node: list[Item]) -> Item:
    raw = encode(node)
    return node if len(raw) < 32 else keccak(raw)


def _pack(nibbles: bytes, *, is_leaf: bool) -> bytes:
    """Encode a path with its hex prefix (appendix C)."""
    flag = 2 * is_leaf
    prefixed = bytes([flag + 1, *nibbles]) if len(nibbles) % 2 else bytes([flag, 0, *nibbles])
    return bytes(16 * high + low for high, low in zip(prefixed[::2], prefixed[1::2], strict=True))
