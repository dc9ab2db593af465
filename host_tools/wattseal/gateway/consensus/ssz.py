"""Strict SSZ for light-client objects: bytes, JSON of the beacon API and hash tree roots from one description of each type.

Every size is fixed or bounded by the type, so hostile input is refused before anything large is made of it.
Source: consensus specs, ssz/simple-serialize.md.
"""

import re
from binascii import unhexlify
from collections.abc import Callable
from typing import Any

from wattseal.errors import BadUpdate
from wattseal.gateway.consensus.merkle import ZERO, merkleize, sha

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_OFFSET_BYTES = 4


class Type:
    """An SSZ type. `size` is its length in bytes, None where that varies. All readers raise BadUpdate."""

    size: int | None

    def decode(self, data: bytes) -> Any:
        """Read a value from exactly `data`."""
        raise NotImplementedError

    def encode(self, value: Any) -> bytes:
        """Write a value of this type."""
        raise NotImplementedError

    def root(self, value: Any) -> bytes:
        """Return hash_tree_root."""
        raise NotImplementedError

    def from_json(self, value: object) -> Any:
        """Read a value from the beacon API's JSON."""
        raise NotImplementedError

    def to_json(self, value: Any) -> object:
        """Write a value as the beacon API does."""
        raise NotImplementedError

    def _sized(self, data: bytes) -> bytes:
        if len(data) != self.size:
            raise BadUpdate(f"{len(data)} bytes where {self.size} belong")
        return data


class Uint(Type):
    """An unsigned integer of `size` bytes."""

    def __init__(self, size: int) -> None:
        """`size` is 8 (uint64) or 32 (uint256)."""
        self.size: int = size

    def decode(self, data: bytes) -> int:  # noqa: D102
        return int.from_bytes(self._sized(data), "little")

    def encode(self, value: int) -> bytes:  # noqa: D102
        return value.to_bytes(self.size, "little")

    def root(self, value: int) -> bytes:  # noqa: D102
        return value.to_bytes(32, "little")

    def from_json(self, value: object) -> int:  # noqa: D102
        if not isinstance(value, str) or not _DECIMAL.fullmatch(value) or int(value) >> 8 * self.size:
            raise BadUpdate(f"no decimal string of {8 * self.size} bits: {value!r:.80}")
        return int(value)

    def to_json(self, value: int) -> str:  # noqa: D102
        return str(value)


class _Bytes(Type):
    def encode(self, value: bytes) -> bytes:
        return value

    def from_json(self, value: object) -> bytes:
        try:
            data = unhexlify(value[2:]) if isinstance(value, str) and value.startswith("0x") else None
        except ValueError:
            data = None
        if data is None:
            raise BadUpdate(f"no byte string: {value!r:.80}")
        return bytes(self.decode(data))

    def to_json(self, value: bytes) -> str:
        return "0x" + value.hex()


class ByteVector(_Bytes):
    """Exactly `size` bytes."""

    def __init__(self, size: int) -> None:
        """`size` in bytes."""
        self.size: int = size

    def decode(self, data: bytes) -> bytes:  # noqa: D102
        return self._sized(data)

    def root(self, value: bytes) -> bytes:  # noqa: D102
        if self.size <= 32:
            return value.ljust(32, b"\0")
        if self.size <= 64:  # a committee has hundreds of these
            return sha(value.ljust(64, b"\0"))
        return merkleize(_chunks(value), (self.size + 31) // 32)


class ByteList(_Bytes):
    """At most `limit` bytes."""

    size = None

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self.limit = limit

    def decode(self, data: bytes) -> bytes:  # noqa: D102
        if len(data) > self.limit:
            raise BadUpdate(f"{len(data)} bytes where at most {self.limit} belong")
        return data

    def root(self, value: bytes) -> bytes:  # noqa: D102
        return sha(merkleize(_chunks(value), (self.limit + 31) // 32) + len(value).to_bytes(32, "little"))


class Bitvector(Type):
    """Exactly `length` bits as a tuple of booleans; `length` is a multiple of eight here, so there are no bits of padding."""

    def __init__(self, length: int) -> None:
        """`length` in bits."""
        self.size: int = length // 8
        self._bytes = ByteVector(self.size)

    def decode(self, data: bytes) -> tuple[bool, ...]:  # noqa: D102
        return tuple(bool(byte >> bit & 1) for byte in self._sized(data) for bit in range(8))

    def encode(self, value: tuple[bool, ...]) -> bytes:  # noqa: D102
        return sum(bit << place for place, bit in enumerate(value)).to_bytes(self.size, "little")

    def root(self, value: tuple[bool, ...]) -> bytes:  # noqa: D102
        return self._bytes.root(self.encode(value))

    def from_json(self, value: object) -> tuple[bool, ...]:  # noqa: D102
        return self.decode(self._bytes.from_json(value))

    def to_json(self, value: tuple[bool, ...]) -> str:  # noqa: D102
        return self._bytes.to_json(self.encode(value))


class Vector(Type):
    """Exactly `length` byte vectors of one size, as a tuple."""

    def __init__(self, element: ByteVector, length: int) -> None:
        """`length` in elements."""
        self.element = element
        self.length = length
        self.size: int = element.size * length

    def decode(self, data: bytes) -> tuple[bytes, ...]:  # noqa: D102
        self._sized(data)
        width = self.element.size
        return tuple(data[i : i + width] for i in range(0, self.size, width))

    def encode(self, value: tuple[bytes, ...]) -> bytes:  # noqa: D102
        return b"".join(value)

    def root(self, value: tuple[bytes, ...]) -> bytes:  # noqa: D102
        return merkleize([self.element.root(element) for element in value], self.length)

    def from_json(self, value: object) -> tuple[bytes, ...]:  # noqa: D102
        if not isinstance(value, list) or len(value) != self.length:
            raise BadUpdate(f"no array of {self.length} elements: {value!r:.80}")
        return tuple(self.element.from_json(element) for element in value)

    def to_json(self, value: tuple[bytes, ...]) -> list[str]:  # noqa: D102
        return [self.element.to_json(element) for element in value]


class Branch(Vector):
    """A Merkle branch of `depth` hashes, kept with zero hashes in front up to `kept` (`normalize_merkle_branch` of Electra)."""

    def __init__(self, depth: int, kept: int) -> None:
        """Depths in hashes."""
        super().__init__(ByteVector(32), depth)
        self._padding = (ZERO,) * (kept - depth)

    def decode(self, data: bytes) -> tuple[bytes, ...]:  # noqa: D102
        return self._padding + super().decode(data)

    def encode(self, value: tuple[bytes, ...]) -> bytes:  # noqa: D102
        return super().encode(value[len(self._padding) :])

    def root(self, value: tuple[bytes, ...]) -> bytes:  # noqa: D102
        return super().root(value[len(self._padding) :])

    def from_json(self, value: object) -> tuple[bytes, ...]:  # noqa: D102
        return self._padding + super().from_json(value)

    def to_json(self, value: tuple[bytes, ...]) -> list[str]:  # noqa: D102
        return super().to_json(value[len(self._padding) :])


class Optional(Type):
    """Nothing or one value of variable size: List[T, 1], as None or the value."""

    size = None

    def __init__(self, element: Type) -> None:
        """`element` must be of variable size."""
        self.element = element

    def decode(self, data: bytes) -> Any:  # noqa: D102
        if not data:
            return None
        if data[:_OFFSET_BYTES] != _OFFSET_BYTES.to_bytes(_OFFSET_BYTES, "little"):
            raise BadUpdate("a list of at most one element does not start with the offset 4")
        return self.element.decode(data[_OFFSET_BYTES:])

    def encode(self, value: Any) -> bytes:  # noqa: D102
        return b"" if value is None else _OFFSET_BYTES.to_bytes(_OFFSET_BYTES, "little") + self.element.encode(value)


class Container(Type):
    """The fields of a dataclass, in order. Fields that the dataclass has and the fork has not keep the dataclass's default."""

    def __init__(self, make: Callable[..., Any], **fields: Type) -> None:
        """`make` builds the value from keyword arguments named as the fields."""
        self._make = make
        self.fields = fields
        sizes = [field.size for field in fields.values()]
        self._fixed_part = sum(_OFFSET_BYTES if size is None else size for size in sizes)
        self.size = None if None in sizes else self._fixed_part

    def decode(self, data: bytes) -> Any:  # noqa: D102
        if self.size is not None:
            self._sized(data)
        if len(data) < self._fixed_part:
            raise BadUpdate(f"{len(data)} bytes where at least {self._fixed_part} belong")
        values: dict[str, Any] = {}
        offsets: list[tuple[str, int]] = []
        place = 0
        for name, field in self.fields.items():
            width = _OFFSET_BYTES if field.size is None else field.size
            part = data[place : place + width]
            place += width
            if field.size is None:
                offsets.append((name, int.from_bytes(part, "little")))
            else:
                values[name] = field.decode(part)
        starts = [offset for _, offset in offsets]
        if starts and starts[0] != self._fixed_part:
            raise BadUpdate(f"the first offset is {starts[0]}, not {self._fixed_part}")
        for (name, start), end in zip(offsets, [*starts[1:], len(data)], strict=False):
            if end < start or end > len(data):
                raise BadUpdate(f"offset {end} after {start}, of {len(data)} bytes")
            values[name] = self.fields[name].decode(data[start:end])
        return self._make(**values)

    def encode(self, value: Any) -> bytes:  # noqa: D102
        fixed, variable = b"", b""
        for name, field in self.fields.items():
            encoded = field.encode(getattr(value, name))
            if field.size is None:
                fixed += (self._fixed_part + len(variable)).to_bytes(_OFFSET_BYTES, "little")
                variable += encoded
            else:
                fixed += encoded
        return fixed + variable

    def root(self, value: Any) -> bytes:  # noqa: D102
        return merkleize([field.root(getattr(value, name)) for name, field in self.fields.items()], len(self.fields))

    def from_json(self, value: object) -> Any:  # noqa: D102
        if not isinstance(value, dict):
            raise BadUpdate(f"no object: {value!r:.80}")
        missing = [name for name in self.fields if name not in value]
        if missing:
            raise BadUpdate(f"an object has no {missing[0]}")
        values = {}
        for name, field in self.fields.items():
            try:
                values[name] = field.from_json(value[name])
            except BadUpdate as error:
                raise BadUpdate(f"{name}: {error}") from error
        return self._make(**values)

    def to_json(self, value: Any) -> dict[str, object]:  # noqa: D102
        return {name: field.to_json(getattr(value, name)) for name, field in self.fields.items()}


def _chunks(data: bytes) -> list[bytes]:
    return [data[i : i + 32].ljust(32, b"\0") for i in range(0, len(data), 32)]
