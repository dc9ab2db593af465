"""Statements pass in exactly one form, under the escrow's domain, and only from the plug itself."""

import boa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def statement(actors, plug, sign):
    """Return an enrolment and the plug's signature."""
    values = {"plug": plug.address, "host": actors.host, "epoch": 1}
    return values, sign(plug, "Enrol", values)


def high_s(signature):
    order = SECP256K1_N if len(signature) == 65 else P256_N
    s = order - int.from_bytes(signature[32:64], "big")
    rest = bytes([1 - signature[64]]) if len(signature) == 65 else signature[64:]
    return signature[:32] + s.to_bytes(32, "big") + rest


FORGERIES = {
    "high s": high_s,
    "one byte less": lambda signature: signature[:-1],
    "one byte more": lambda signature: (signature + b"\0")[:128] if len(signature) == 65 else signature[1:],
    "the other length": lambda signature: signature[:65] if len(signature) == 128 else signature.ljust(128, b"\0"),
    "empty": lambda signature: b"",
    "zeros": lambda signature: bytes(len(signature)),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_no_other_form_passes(registry, statement, forge):
    values, signature = statement
    with boa.reverts("bad_signature"):
        registry.enrol(tuple(values.values()), forge(signature))
    registry.enrol(tuple(values.values()), signature)


@pytest.mark.parametrize("other", [{"chain_id": 5}, {"contract": "0x" + "77" * 20}], ids=["chain", "contract"])
def test_another_domain_is_refused(registry, statement, plug, sign, other):
    values, _ = statement
    with boa.reverts("bad_signature"):
        registry.enrol(tuple(values.values()), sign(plug, "Enrol", values, **other))


def test_the_registrys_own_domain_is_not_the_plugs(registry, statement, plug, sign):
    values, _ = statement
    with boa.reverts("bad_signature"):
        registry.enrol(tuple(values.values()), sign(plug, "Enrol", values, contract=registry.address))


@pytest.mark.parametrize("field", ["plug", "host", "epoch"])
def test_every_field_is_signed(registry, statement, actors, field):
    values, signature = statement
    changed = values | {field: {"plug": actors.other_plug.address, "host": actors.other_host, "epoch": 2}[field]}
    with boa.reverts("bad_signature"):
        registry.enrol(tuple(changed.values()), signature)


def test_one_statement_is_not_the_other(registry, statement):
    values, signature = statement
    with boa.reverts("bad_signature"):
        registry.retire(tuple(values.values()), signature)


@settings(max_examples=40, deadline=None)
@given(is_p256=st.booleans(), position=st.integers(0, 127), mask=st.integers(1, 255))
def test_no_changed_byte_passes(registry, actors, sign, is_p256, position, mask):
    plug = actors.p256_plug if is_p256 else actors.plug
    values = {"plug": plug.address, "host": actors.host, "epoch": 1}
    signature = bytearray(sign(plug, "Enrol", values))
    signature[position % len(signature)] ^= mask
    with boa.reverts("bad_signature"):
        registry.enrol(tuple(values.values()), bytes(signature))


@settings(max_examples=40, deadline=None)
@given(signature=st.one_of(st.binary(min_size=65, max_size=65), st.binary(min_size=128, max_size=128), st.binary(max_size=128)))
def test_no_random_bytes_pass(registry, actors, signature):
    with boa.reverts("bad_signature"):
        registry.enrol((actors.plug.address, actors.host, 1), signature)
