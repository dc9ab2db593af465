import contextlib

import pytest
import rlp
from hypothesis import example, given
from hypothesis import strategies as st
from wattseal.errors import ProofError
from wattseal.gateway import rlp_strict

ITEMS = st.recursive(st.binary(max_size=80), lambda members: st.lists(members, max_size=6), max_leaves=30)


def depth(item):
    return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0


@given(ITEMS)
def test_reads_what_the_library_writes(item):
    raw = rlp.encode(item)
    if depth(item) <= rlp_strict.MAX_DEPTH:
        assert rlp_strict.decode(raw) == item
    else:
        with pytest.raises(ProofError, match="nested"):
            rlp_strict.decode(raw)


@given(st.recursive(st.binary(max_size=80) | st.integers(0, 2**256), lambda members: st.lists(members, max_size=6), max_leaves=30))
@example(bytes(55))
@example(bytes(56))
@example([bytes(54)])
@example([bytes(55)])
@example(bytes(70_000))
def test_writes_what_the_library_writes(item):
    assert rlp_strict.encode(item) == rlp.encode(item)
    if isinstance(item, list):
        assert rlp_strict.encode(tuple(item)) == rlp.encode(item)


@given(st.binary(max_size=200))
@example(b"\x81\x05")
@example(b"\xc3\x82\x05\x05")
@example(b"\xb8\x37" + bytes(55))
@example(b"\xb8\x38" + bytes(56))
@example(b"\xb9\x00\x38" + bytes(56))
@example(b"\xbf" + b"\xff" * 8)
def test_takes_any_bytes_as_the_library_does_and_has_one_encoding_for_each(raw):
    try:
        expected = rlp.decode(raw)
    except rlp.DecodingError:
        with pytest.raises(ProofError):
            rlp_strict.decode(raw)
        return
    if depth(expected) <= rlp_strict.MAX_DEPTH:
        assert rlp_strict.decode(raw) == expected
        assert rlp.encode(expected) == raw


@given(ITEMS, st.data())
def test_damage_is_noticed_or_is_another_value(item, data):
    raw = bytearray(rlp.encode(item))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(ProofError):
        assert rlp.encode(rlp_strict.decode(bytes(raw))) == raw


@pytest.mark.parametrize("raw", [b"\xc1" * 100_000, b"\xfb\xff\xff\xff\xff" + b"\xc1" * 100_000, b"\xf9\xff\xff" * 30_000])
def test_deep_nesting_is_refused_at_once(raw):
    with pytest.raises(ProofError, match="RLP"):
        rlp_strict.decode(raw)


def test_how_deep():
    item = []
    for _ in range(rlp_strict.MAX_DEPTH - 1):
        item = [item]
    assert rlp_strict.decode(rlp_strict.encode(item)) == item
    raw = rlp_strict.encode([item])
    for _ in range(2000):
        with pytest.raises(ProofError, match="nested more than 8 deep"):
            rlp_strict.decode(raw)
        raw = (bytes([0xC0 + len(raw)]) if len(raw) < 56 else b"\xf9" + len(raw).to_bytes(2) if len(raw) > 255 else bytes([0xF8, len(raw)])) + raw


def test_the_message_is_short():
    with pytest.raises(ProofError) as caught:
        rlp_strict.decode(bytes(10**6))
    assert len(str(caught.value)) < 200
