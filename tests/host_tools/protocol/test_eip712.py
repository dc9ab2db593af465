from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import Malformed
from wattseal.protocol import eip712
from wattseal.protocol.typed_data import DOMAIN_NAME, DOMAIN_VERSION, TYPES

LENGTHS = {"address": 20, "bytes32": 32}


def values_of(kind: str) -> st.SearchStrategy[int | bytes]:
    if kind in LENGTHS:
        return st.binary(min_size=LENGTHS[kind], max_size=LENGTHS[kind])
    top = (1 << int(kind.removeprefix("uint"))) - 1
    return st.integers(0, top) | st.sampled_from([0, top])


structs = st.sampled_from(sorted(TYPES)).flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries({field: values_of(kind) for kind, field in TYPES[name]}))
)


@given(struct=structs, chain_id=st.integers(1, (1 << 64) - 1), contract=st.binary(min_size=20, max_size=20))
def test_digests_are_those_of_eth_account(struct: tuple[str, dict[str, Any]], chain_id: int, contract: bytes) -> None:
    name, values = struct
    domain = {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": chain_id, "verifyingContract": contract}
    types = {name: [{"type": kind, "name": field} for kind, field in TYPES[name]]}
    expected = encode_typed_data(domain, types, values)
    assert eip712.domain_separator(chain_id, contract) == expected.header
    assert eip712.hash_struct(name, values) == expected.body
    digest = eip712.digest(eip712.domain_separator(chain_id, contract), eip712.hash_struct(name, values))
    assert digest == keccak(b"\x19" + expected.version + expected.header + expected.body)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint32", -1),
        ("uint32", 1 << 32),
        ("uint32", True),
        ("uint32", 1.0),
        ("uint32", "1"),
        ("uint32", None),
        ("uint128", 1 << 128),
        ("address", b"\x01" * 19),
        ("address", "0x" + "01" * 20),
        ("bytes32", b"\x01" * 33),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_malformed(kind: str, value: object) -> None:
    with pytest.raises(Malformed, match=r"Receipt\.x"):
        eip712.check_value(kind, "Receipt.x", value)


def test_a_missing_field_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"Stop\.session"):
        eip712.hash_struct("Stop", {})
