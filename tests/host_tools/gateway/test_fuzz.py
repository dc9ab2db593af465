"""The decoders of tests/gateway_targets.py under arbitrary bytes and damaged real ones; `make fuzz` goes on where this stops."""

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wattseal.errors import GatewayError

from tests import gateway_targets
from tests.gateway_targets import TARGETS, seeds

SETTINGS = settings(max_examples=120, deadline=4000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
ODD = st.sampled_from([None, True, 0, -1, 1e300, "", "0x", "0x0", "0x00", "0x" + "ff" * 32, "0x" + "f" * 65, "\ud800", [], {}, [[]], [None], 10**400])


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=300))
@SETTINGS
def test_arbitrary_bytes(name, data):
    TARGETS[name](data)


@st.composite
def damaged(draw, name):
    """A real input of which a few pieces are cut out, put in, doubled or flipped."""
    raw = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(len(raw) - 1, 0)))
        length = draw(st.integers(0, 40))
        match draw(st.sampled_from(["cut", "put", "double", "flip", "end"])):
            case "cut":
                del raw[place : place + length]
            case "put":
                raw[place:place] = draw(st.binary(max_size=8))
            case "double":
                raw[place:place] = raw[place : place + length]
            case "flip" if raw:
                raw[place] ^= 1 << draw(st.integers(0, 7))
            case _:
                del raw[place:]
    return bytes(raw)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@SETTINGS
def test_damaged_real_bytes(name, data):
    TARGETS[name](data.draw(damaged(name)))


@st.composite
def changed(draw, value):
    """JSON of which one member, at any depth, is something else."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(ODD)
    copy = dict(value) if isinstance(value, dict) else list(value)
    place = draw(st.sampled_from(sorted(copy) if isinstance(copy, dict) else range(min(len(copy), 3))))
    if draw(st.integers(0, 9)) == 0:
        del copy[place]
    else:
        copy[place] = draw(changed(copy[place]))
    return copy


@pytest.mark.parametrize("name", ["light_client", "rpc_answer", "rpc_request"])
@given(data=st.data())
@SETTINGS
def test_changed_real_json(name, data):
    value = json.loads(data.draw(st.sampled_from(seeds(name))))
    for _ in range(data.draw(st.integers(1, 3))):
        value = data.draw(changed(value))
    TARGETS[name](json.dumps(value).encode())


WIDE = {
    "rlp_bytes": b"\xf9\xc3\x50" + b"\xc0" * 50_000,
    "transaction": b"\x02\xf9\xc3\x50" + b"\x01" * 50_000,
    "trie_proof": b"\0\xf9\xc3\x50" + b"\x01" * 50_000,
    "ssz": b"\5\4" + bytes(50_000),
    "light_client": b'{"data":{"attested_header":{"slot":"1"},"x":[' + b"0," * 50_000 + b"0]}}",
    "store_file": bytes(50_000),
    "rpc_answer": b"[" + b'"0x00",' * 30_000 + b"0]",
    "rpc_request": b"[" + b"[]," * 50_000 + b"0]",
}


@pytest.mark.parametrize("name", TARGETS)
def test_memory_is_bounded_by_what_came(name):
    target, data = TARGETS[name], WIDE[name]
    target(data[:100])  # what is made once
    tracemalloc.start()
    try:
        target(data)
        assert tracemalloc.get_traced_memory()[1] < 300 * len(data)  # the other library's in it
    finally:
        tracemalloc.stop()


def test_a_target_notices(monkeypatch):
    """A decoder that is lax, and one that fails in its own way, are told of."""
    monkeypatch.setattr(gateway_targets.rlp_strict, "decode", lambda data: data)
    with pytest.raises(gateway_targets.Wrong):
        TARGETS["rlp_bytes"](b"\xc0")
    monkeypatch.setattr(gateway_targets.mpt, "prove", lambda *_: b"forged")
    monkeypatch.setattr(gateway_targets.transactions, "decode", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        TARGETS["transaction"](b"")
    assert issubclass(gateway_targets.ProofError, GatewayError)
