"""EIP-712 hashes of the structs in `typed_data.TYPES`."""

from collections.abc import Mapping

from eth_hash.auto import keccak

from wattseal.errors import Malformed
from wattseal.protocol.typed_data import DOMAIN_NAME, DOMAIN_VERSION, TYPES

_BYTE_LENGTHS = {"address": 20, "bytes32": 32}
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def check_value(kind: str, name: str, value: object) -> int | bytes:
    """Return a value of a `uintN`, `address` or `bytes32` field as it is. Raises Malformed for a wrong Python type, length or range."""
    length = _BYTE_LENGTHS.get(kind)
    if length is not None:
        if not isinstance(value, bytes) or len(value) != length:
            raise Malformed(f"{name} is not {length} bytes: {value!r:.80}")
        return value
    bits = int(kind.removeprefix("uint"))
    if type(value) is not int:
        raise Malformed(f"{name} is no integer: {value!r:.80}")
    if not 0 <= value < 1 << bits:
        raise Malformed(f"{name} is {value!r:.80}, outside 0 to 2^{bits} - 1")
    return value


def hash_struct(name: str, values: Mapping[str, object]) -> bytes:
    """Return `hashStruct` (32 bytes) of a struct of `TYPES`. Raises Malformed where a value does not fit its field."""
    fields = TYPES[name]
    encoded_type = f"{name}({','.join(f'{kind} {field}' for kind, field in fields)})"
    words = [keccak(encoded_type.encode())]
    words += [_word(check_value(kind, f"{name}.{field}", values.get(field))) for kind, field in fields]
    return keccak(b"".join(words))


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
