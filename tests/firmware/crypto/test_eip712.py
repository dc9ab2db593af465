"""EIP-712 against the example of its specification and tests/vectors/typed_data.json."""

import json
import os
from binascii import hexlify, unhexlify

from plug.crypto import eip712
from plug.crypto.keccak import keccak256
from plug.errors import Malformed
from plug.typed_data import TYPES
from run_in_micropython import raises


def vectors():
    with open(os.getenv("TEST_VECTORS") + "/typed_data.json") as file:
        return json.load(file)


def from_hex(text):
    return unhexlify(text[2:])


def values_of(vector):
    return {name: from_hex(value) if isinstance(value, str) else value for name, value in vector["values"].items()}


def receipt():
    return next(values_of(vector) for vector in vectors() if vector["type"] == "Receipt")


def test_hashes_of_the_vectors():
    kinds = set()
    for vector in vectors():
        kinds.add(vector["type"])
        domain = eip712.domain_separator(vector["chain_id"], from_hex(vector["contract"]))
        struct_hash = eip712.hash_struct(vector["type"], values_of(vector))
        assert domain == from_hex(vector["domain_separator"]), vector["name"]
        assert struct_hash == from_hex(vector["struct_hash"]), vector["name"]
        assert eip712.digest(domain, struct_hash) == from_hex(vector["digest"]), vector["name"]
    assert kinds == set(TYPES)


def test_example_of_the_specification():
    TYPES["Person"] = (("string", "name"), ("address", "wallet"))
    try:
        cow = eip712.hash_struct("Person", {"name": "Cow", "wallet": unhexlify("cd2a3d9f938e13cd947ec05abc7fe734df8dd826")})
        bob = eip712.hash_struct("Person", {"name": "Bob", "wallet": b"\xbb" * 20})
    finally:
        del TYPES["Person"]
    mail_type = keccak256(b"Mail(Person from,Person to,string contents)Person(string name,address wallet)")
    mail = keccak256(mail_type + cow + bob + keccak256(b"Hello, Bob!"))
    domain = unhexlify("f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f")
    assert hexlify(eip712.digest(domain, mail)) == b"be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"


def test_integers_up_to_the_end_of_their_range():
    values = receipt()
    hashes = set()
    for sequence in (0, 1, 2**31, 2**32 - 1):
        values["sequence"] = sequence
        hashes.add(eip712.hash_struct("Receipt", values))
    assert len(hashes) == 4


def test_malformed_values_are_refused_by_name():
    for field, value in (
        ("sequence", -1),
        ("sequence", 2**32),
        ("energyWh", 2**64),
        ("energyWh", True),
        ("energyWh", 1.0),
        ("energyWh", "1"),
        ("energyWh", None),
        ("session", b"\x01" * 31),
        ("session", b"\x01" * 33),
        ("session", "0x" + "01" * 32),
        ("session", 1),
    ):
        values = receipt()
        values[field] = value
        assert "Receipt." + field in str(raises(Malformed, eip712.hash_struct, "Receipt", values)), (field, value)


def test_missing_and_extra_fields_are_refused_by_name():
    values = receipt()
    del values["flags"]
    assert "Receipt.flags: missing" in str(raises(Malformed, eip712.hash_struct, "Receipt", values))
    values["flag"] = 0
    assert "Receipt.flags: missing" in str(raises(Malformed, eip712.hash_struct, "Receipt", values))
    values["flags"] = 0
    assert "Receipt.flag: no such field" in str(raises(Malformed, eip712.hash_struct, "Receipt", values))


def test_malformed_domains_are_refused_by_name():
    for chain_id, contract, field in (
        (-1, bytes(20), "chainId"),
        (2**256, bytes(20), "chainId"),
        (True, bytes(20), "chainId"),
        (1, bytes(19), "verifyingContract"),
        (1, bytes(32), "verifyingContract"),
    ):
        assert field in str(raises(Malformed, eip712.domain_separator, chain_id, contract))
