"""RLP (Ethereum yellow paper, appendix B). What others wrote is read strictly: one encoding a value, bounded nesting, no other error."""

from collections.abc import Sequence
from typing import TypeAlias

from wattseal.errors import ProofError

Item: TypeAlias = "bytes | list[Item]"
Writable: TypeAlias = "bytes | int | Sequence[Writable]"

# The deepest thing that is read here is a list of access lists or logs: four levels. Inlined trie nodes stay below it too.
MAX_DEPTH = 8


def encode(item: Writable) -> bytes:
    """Return the encoding of bytes, a non-negative integer, or a nested list or tuple of these."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(0x80, len(item)) + item
    payload = b"".join([encode(member) for member in item])
    return _prefix(0xC0, len(payload)) + payload


def _prefix(kind: int, length: int) -> bytes:
    if length < 56:
        return bytes((kind + length,))
    size = (length.bit_length() + 7) // 8
    return bytes((kind + 55 + size,)) + length.to_bytes(size, "big")


def decode(raw: bytes) -> Item:
    """Decode canonical RLP to bytes or nested lists of bytes. Raises ProofError for anything else."""
    item, end = _item(raw, 0, len(raw), 0)
    if end != len(raw):
        raise _refusal(raw, f"{len(raw) - end} bytes follow the item")
    return item


def _item(raw: bytes, start: int, limit: int, depth: int) -> tuple[Item, int]:
    """Read one item that must end by `limit`; return it and where it ends."""
    if start >= limit:
        raise _refusal(raw, "it is cut off")
    first = raw[start]
    if first < 0x80:
        return raw[start : start + 1], start + 1
    is_list = first >= 0xC0
    begin, length = _payload(raw, start, limit, first - (0xC0 if is_list else 0x80))
    end = begin + length
    if end > limit:
        raise _refusal(raw, "it is cut off")
    if not is_list:
        if length == 1 and raw[begin] < 0x80:
            raise _refusal(raw, "a byte below 0x80 has a prefix")
        return raw[begin:end], end
    if depth == MAX_DEPTH:
        raise _refusal(raw, f"lists are nested more than {MAX_DEPTH} deep")
    members: list[Item] = []
    while begin < end:
        if raw[begin] == 0xA0 and begin + 33 <= end:  # 32 bytes, what most members are: the same as below, in less time
            members.append(raw[begin + 1 : begin + 33])
            begin += 33
        else:
            member, begin = _item(raw, begin, end, depth + 1)
            members.append(member)
    return members, end


def _payload(raw: bytes, start: int, limit: int, code: int) -> tuple[int, int]:
    """Return where an item's payload begins and how long it is; `code` is its first byte without the kind."""
    if code < 56:
        return start + 1, code
    begin = start + 1 + code - 55
    if begin > limit:
        raise _refusal(raw, "it is cut off")
    length = int.from_bytes(raw[start + 1 : begin], "big")
    if raw[start + 1] == 0 or length < 56:
        raise _refusal(raw, "a length is not written in its shortest form")
    return begin, length


def _refusal(raw: bytes, why: str) -> ProofError:
    return ProofError(f"no canonical RLP, {why}: 0x{raw[:40].hex()}{'...' if len(raw) > 40 else ''}")
