"""EIP-712: domain separator, struct hash and digest of the types in plug/typed_data.py."""

from plug.crypto.keccak import keccak256
from plug.errors import Malformed
from plug.typed_data import DOMAIN_NAME, DOMAIN_VERSION, TYPES

_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_BYTE_LENGTHS = {"address": 20, "bytes32": 32}


def domain_separator(chain_id, contract):
    """Return the 32-byte separator of a chain (int) and a contract (20 bytes)."""
    name = keccak256(DOMAIN_NAME.encode())
    version = keccak256(DOMAIN_VERSION.encode())
    return keccak256(keccak256(_DOMAIN_TYPE) + name + version + _word("chainId", "uint256", chain_id) + _word("contract", "address", contract))


def hash_struct(name, values):
    """Return hashStruct of a dict of field values; raise Malformed, naming the field, for a missing, extra or out-of-range one."""
    fields = TYPES[name]
    encoded = keccak256("{}({})".format(name, ",".join(kind + " " + field for kind, field in fields)).encode())
    for kind, field in fields:
        if field not in values:
            raise Malformed(f"{name}: {field} is missing")
        encoded += _word(field, kind, values[field])
    if len(values) != len(fields):
        raise Malformed(f"{name}: has other fields than {', '.join(field for _, field in fields)}")
    return keccak256(encoded)


def digest(domain, struct_hash):
    """Return the 32 bytes to sign."""
    return keccak256(b"\x19\x01" + domain + struct_hash)


def _word(field, kind, value):
    if kind in _BYTE_LENGTHS:
        if not isinstance(value, bytes) or len(value) != _BYTE_LENGTHS[kind]:
            raise Malformed(f"{field}: not {_BYTE_LENGTHS[kind]} bytes")
        return bytes(32 - len(value)) + value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << int(kind[4:]):
        raise Malformed(f"{field}: not a {kind}: {value!r:.80}")
    return value.to_bytes(32, "big")
