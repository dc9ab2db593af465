"""EIP-712 hashes of the structs in `typed_data.TYPES`."""

from collections.abc import Mapping
from functools import cache

from eth_hash.auto import keccak

from wattseal.errors import Malformed
from wattseal.protocol.typed_data import DOMAIN_NAME, DOMAIN_VERSION, TYPES

_BYTE_LENGTHS = {"address": 20, "bytes32": 32}
_LIMITS = {f"uint{bits}": 1 << bits for bits in (1, 8, 32, 63, 64, 96, 128, 256)}
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def check_value(kind: str, name: str, value: object) -> int | bytes:
    """Return a value of a `uintN`, `address` or `bytes32` field as it is. Raises Malformed for a wrong Python type, length or range."""
    length = _BYTE_LENGTHS.get(kind)
    if length is not None:
        if not isinstance(value, bytes) or len(value) != length:
            raise Malformed(f"{name} is not {length} bytes: {value!r:.80}")
        return value
    if type(value) is not int:
        raise Malformed(f"{name} is no integer: {value!r:.80}")
    if not 0 <= value < _LIMITS[kind]:
        raise Malformed(f"{name} is {value!r:.80}, outside 0 to 2^{kind.removeprefix('uint')} - 1")
    return value


def hash_struct(name: str, values: Mapping[str, object]) -> bytes:
    """Return `hashStruct` (32 bytes) of a struct of `TYPES`. Raises Malformed where a value does not fit its field."""
    type_hash, plan = _plan(name)
    words = [type_hash]
    for kind, field, path in plan:
        words.append(_word(check_value(kind, path, values.get(field))))
    return keccak(b"".join(words))


@cache
def _plan(name: str) -> tuple[bytes, tuple[tuple[str, str, str], ...]]:
    """Return a type's hash, and kind, name and path of each field."""
    fields = TYPES[name]
    encoded_type = f"{name}({','.join(f'{kind} {field}' for kind, field in fields)})"
    return keccak(encoded_type.encode()), tuple((kind, field, f"{name}.{field}") for kind, field in fields)


def domain_separator(chain_id: int, contract: bytes) -> bytes:
    """Return the domain separator (32 bytes) of a chain and a contract address (20 bytes). Raises Malformed."""
    words = [
        keccak(_DOMAIN_TYPE),
        keccak(DOMAIN_NAME.encode()),
        keccak(DOMAIN_VERSION.encode()),
        _word(check_value("uint256", "chainId", chain_id)),
        _word(check_value("address", "verifyingContract", contract)),
    ]
    return keccak(b"".join(words))


def digest(domain: bytes, struct_hash: bytes) -> bytes:
    """Return the 32 bytes that are signed."""
    return keccak(b"\x19\x01" + domain + struct_hash)


def _word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")
