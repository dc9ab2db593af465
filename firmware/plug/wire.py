"""Typed structures as JSON objects: byte strings are 0x and lower-case hex, integers are integers (docs/protocol.md section 2)."""

from binascii import hexlify, unhexlify

from plug.errors import Malformed
from plug.typed_data import TYPES

_LENGTHS = {"address": 20, "bytes32": 32}


def to_hex(data):
    """Return 0x and lower-case hex of bytes."""
    return "0x" + hexlify(data).decode()


def from_hex(field, text, length):
    """Return the `length` bytes that 0x-prefixed lower-case hex stands for; raise Malformed, naming the field, for anything else."""
    if not isinstance(text, str) or len(text) != 2 + 2 * length or text[:2] != "0x":
        raise Malformed(f"{field}: not 0x and {2 * length} hex digits: {text!r:.80}")
    for digit in text[2:]:
        if digit not in "0123456789abcdef":
            raise Malformed(f"{field}: not lower-case hex: {text!r}")
    return unhexlify(text[2:])


def check_keys(what, message, keys):
    """Raise Malformed unless `message` is a dict with exactly these keys."""
    if not isinstance(message, dict):
        raise Malformed(f"{what}: not an object")
    for key in keys:
        if key not in message:
            raise Malformed(f"{what}: {key} is missing")
    if len(message) != len(keys):
        raise Malformed("{}: has keys beyond {}".format(what, ", ".join(keys)))


def struct_from_wire(name, message):
    """Return the field values (bytes and int) of a Voucher, Receipt or Stop object; ranges are checked when it is hashed."""
    fields = TYPES[name]
    check_keys(name, message, [field for _, field in fields])
    return {field: from_hex(field, message[field], _LENGTHS[kind]) if kind in _LENGTHS else message[field] for kind, field in fields}


def struct_to_wire(name, values):
    """Return the JSON object of a Voucher, Receipt or Stop."""
    return {field: to_hex(values[field]) if kind in _LENGTHS else values[field] for kind, field in TYPES[name]}


def session_message(session, document):
    """Return the `session` message of a session (hex) whose document holds voucher and signature."""
    return {"type": "session", "session": session, "voucher": document["voucher"], "signature": document["signature"]}
