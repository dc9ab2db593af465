"""EIP-712 digests of the structs in plug.typed_data, which have fields of atomic types only."""

from plug.crypto.keccak import keccak256
from plug.errors import Malformed
from plug.typed_data import DOMAIN_NAME, DOMAIN_VERSION, TYPES

_DOMAIN_FIELDS = (("string", "name"), ("string", "version"), ("uint256", "chainId"), ("address", "verifyingContract"))


def domain_separator(chain_id, contract):
    """The domain separator (32 bytes) of `contract` (20 bytes) on the chain `chain_id` (an integer below 2^256). Raises Malformed."""
    values = {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": chain_id, "verifyingContract": contract}
    return _hash("EIP712Domain", _DOMAIN_FIELDS, values)


def hash_struct(name, values):
    """The hashStruct (32 bytes) of the struct `name` of typed_data.TYPES.

    `values` has exactly the struct's fields: integers for uintN, bytes for bytesN and address (20).
    Raises Malformed, naming the field, for a missing or extra one, a value of another type or length, or an integer out of range.
    """
    return _hash(name, TYPES[name], values)


def digest(domain, struct_hash):
    """The digest (32 bytes) to sign: of a domain separator and a struct's hash, 32 bytes each."""
    return keccak256(b"\x19\x01" + domain + struct_hash)


def _hash(name, fields, values):
    signature = name + "(" + ",".join([kind + " " + field for kind, field in fields]) + ")"
    encoded = bytearray(keccak256(signature.encode()))
    for kind, field in fields:
        if field not in values:
            raise Malformed(f"{name}.{field}: missing")
        encoded += _encode(kind, f"{name}.{field}", values[field])
    if len(values) > len(fields):
        names = [field for _, field in fields]
        extra = [key for key in values if key not in names]
        raise Malformed(f"{name}.{extra[0]}: no such field")
    return keccak256(encoded)


def _encode(kind, where, value):
    """One value of encodeData: 32 bytes."""
    if kind.startswith("uint"):
        if type(value) is not int:
            raise Malformed(f"{where}: expected an integer, got {type(value).__name__}")
        if value < 0 or value >> int(kind[4:]):
            shown = value if -1 <= value >> 256 <= 0 else "a number of more than 256 bits"  # all its digits would fill a frame
            raise Malformed(f"{where}: {shown} is out of the range of {kind}")
        return value.to_bytes(32, "big")
    if kind == "string":
        return keccak256(value.encode())
    length = 20 if kind == "address" else int(kind[5:])
    if not isinstance(value, (bytes, bytearray)):
        raise Malformed(f"{where}: expected {length} bytes, got {type(value).__name__}")
    if len(value) != length:
        raise Malformed(f"{where}: expected {length} bytes, got {len(value)}")
    padding = bytes(32 - length)
    return padding + value if kind == "address" else value + padding
