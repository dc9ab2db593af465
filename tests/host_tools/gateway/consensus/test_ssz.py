"""Roots and encodings beside remerkleable's, and decoders under hostile input."""

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remerkleable.basic import uint64, uint256
from remerkleable.bitfields import Bitvector
from remerkleable.byte_arrays import ByteList as TheirByteList
from remerkleable.byte_arrays import ByteVector
from remerkleable.complex import Container, Vector
from wattseal.errors import BadUpdate, UnsupportedFork
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.containers import ExecutionPayloadHeader, schema
from wattseal.gateway.consensus.networks import MAINNET, MAINNET_PRESET, MINIMAL_PRESET, Fork
from wattseal.gateway.consensus.ssz import Branch, ByteList, Uint

FORKS = list(Fork)[1:]
Bytes32 = ByteVector[32]
PARTS = ("header", "sync_committee", "sync_aggregate", "bootstrap", "update", "finality_update", "optimistic_update")


class Beacon(Container):
    slot: uint64
    proposer_index: uint64
    parent_root: Bytes32
    state_root: Bytes32
    body_root: Bytes32


class CapellaExecution(Container):
    parent_hash: Bytes32
    fee_recipient: ByteVector[20]
    state_root: Bytes32
    receipts_root: Bytes32
    logs_bloom: ByteVector[256]
    prev_randao: Bytes32
    block_number: uint64
    gas_limit: uint64
    gas_used: uint64
    timestamp: uint64
    extra_data: TheirByteList[32]
    base_fee_per_gas: uint256
    block_hash: Bytes32
    transactions_root: Bytes32
    withdrawals_root: Bytes32


class DenebExecution(CapellaExecution):
    blob_gas_used: uint64
    excess_blob_gas: uint64


def container(**fields):
    return type("Built", (Container,), {"__annotations__": fields})


def second_opinion(size, fork):
    """Remerkleable's types, written down from the specs."""
    execution = {} if fork < Fork.CAPELLA else {"execution": DenebExecution if fork >= Fork.DENEB else CapellaExecution}
    header = container(beacon=Beacon, **execution, **({"execution_branch": Vector[Bytes32, 4]} if execution else {}))
    deeper = fork >= Fork.ELECTRA
    committee = container(pubkeys=Vector[ByteVector[48], size], aggregate_pubkey=ByteVector[48])
    aggregate = container(sync_committee_bits=Bitvector[size], sync_committee_signature=ByteVector[96])
    final = {"finalized_header": header, "finality_branch": Vector[Bytes32, 6 + deeper]}
    following = {"next_sync_committee": committee, "next_sync_committee_branch": Vector[Bytes32, 5 + deeper]}
    signed = {"sync_aggregate": aggregate, "signature_slot": uint64}
    return {
        "header": header,
        "sync_committee": committee,
        "sync_aggregate": aggregate,
        "bootstrap": container(header=header, current_sync_committee=committee, current_sync_committee_branch=Vector[Bytes32, 5 + deeper]),
        "update": container(attested_header=header, **following, **final, **signed),
        "finality_update": container(attested_header=header, **final, **signed),
        "optimistic_update": container(attested_header=header, **signed),
    }


def filled(kind, random):
    """Bytes of a random value."""
    if issubclass(kind, Container):
        return kind(**{name: filled(field, random) for name, field in kind.fields().items()})
    if issubclass(kind, (uint64, uint256)):
        return kind(random.getrandbits(8 * kind.type_byte_length()))
    if issubclass(kind, TheirByteList):
        return kind(random.randbytes(random.randrange(33)))
    if issubclass(kind, ByteVector):
        return kind(random.randbytes(kind.type_byte_length()))
    if issubclass(kind, Bitvector):
        return kind([random.random() < 0.5 for _ in range(kind.vector_length())])
    return kind([filled(kind.element_cls(), random) for _ in range(kind.vector_length())])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name.lower())
@given(random=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_beside_remerkleable(fork, part, random):
    theirs = filled(second_opinion(32, fork)[part], random)
    ours = getattr(schema(MINIMAL_PRESET, fork), part)
    raw = theirs.encode_bytes()
    value = ours.decode(raw)
    assert ours.encode(value) == raw
    assert ours.root(value) == bytes(theirs.hash_tree_root())
    assert ours.from_json(ours.to_json(value)) == value


def test_a_mainnet_committee_beside_remerkleable(chains):
    _, bootstrap, _, _ = chains["mainnet_deneb"]
    read = beacon_json.read_bootstrap(MAINNET, bootstrap)
    ours = schema(MAINNET_PRESET, Fork.DENEB)
    theirs = second_opinion(512, Fork.DENEB)
    assert bytes(theirs["bootstrap"].decode_bytes(ours.bootstrap.encode(read)).hash_tree_root()) == ours.bootstrap.root(read)
    execution = DenebExecution(**asdict(read.header.execution))
    assert bytes(execution.hash_tree_root()) == ours.header.fields["execution"].root(read.header.execution)


@pytest.mark.parametrize("part", [*PARTS, "store"])
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_hostile_bytes(part, data):
    """Whatever comes is refused, or is the one encoding of a value."""
    fork = data.draw(st.sampled_from(FORKS))
    ours = getattr(schema(MINIMAL_PRESET, fork), part)
    raw = bytearray(data.draw(st.randoms(use_true_random=False)).randbytes(data.draw(st.integers(0, 6000))))
    for place in range(0, min(len(raw), 400), 4):  # offsets that are nearly right get further
        if data.draw(st.booleans()) and place > 40:
            break
        raw[place : place + 4] = data.draw(st.integers(0, 6000)).to_bytes(4, "little")
    try:
        value = ours.decode(bytes(raw))
    except BadUpdate:
        return
    assert ours.encode(value) == bytes(raw)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_hostile_offsets(data):
    """A right encoding with some of its bytes replaced: refused, or again the one encoding of a value."""
    fork = data.draw(st.sampled_from(FORKS))
    part = data.draw(st.sampled_from(PARTS))
    raw = bytearray(filled(second_opinion(32, fork)[part], data.draw(st.randoms(use_true_random=False))).encode_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + 4] = data.draw(st.binary(max_size=6))
    ours = getattr(schema(MINIMAL_PRESET, fork), part)
    try:
        value = ours.decode(bytes(raw))
    except BadUpdate:
        return
    assert ours.encode(value) == bytes(raw)


@pytest.mark.parametrize("by", [-1, 1, 4, 1 << 31])
def test_offsets_leave_no_gap(by):
    execution = schema(MINIMAL_PRESET, Fork.FULU).header.fields["execution"]
    raw = execution.encode(ExecutionPayloadHeader(extra_data=b"some more"))
    before = sum(field.size for name, field in list(execution.fields.items())[: list(execution.fields).index("extra_data")])
    offset = int.from_bytes(raw[before : before + 4], "little")
    assert raw[offset:] == b"some more"
    with pytest.raises(BadUpdate):
        execution.decode(raw[:before] + (offset + by).to_bytes(4, "little") + raw[before + 4 :])


def test_lists_have_their_bounds():
    extra_data = ByteList(32)
    assert extra_data.from_json("0x" + "ab" * 32) == b"\xab" * 32
    for read, value in ((extra_data.decode, bytes(33)), (extra_data.from_json, "0x" + "00" * 33)):
        with pytest.raises(BadUpdate, match="33 bytes where at most 32 belong"):
            read(value)
    branch = Branch(5, 6)
    zero = "0x" + "00" * 32
    assert branch.from_json([zero] * 5) == (bytes(32),) * 6
    for length in (0, 4, 6):
        with pytest.raises(BadUpdate, match="array of 5"):
            branch.from_json([zero] * length)
        with pytest.raises(BadUpdate, match="where 160 belong"):
            branch.decode(bytes(32 * length))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["0x", "0xff", "1", "9567456", "-1"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["version", "data", "header", "attested_header", "beacon", "slot"]) | st.text(max_size=4), inner)
    ),
    max_leaves=20,
)


@given(answer=JSON)
@settings(max_examples=150, deadline=None)
def test_hostile_json(answer):
    for read in (beacon_json.read_bootstrap, beacon_json.read_update, beacon_json.read_finality_update, beacon_json.read_optimistic_update):
        for wrapped in (answer, {"data": {"header": {"beacon": answer}, "attested_header": answer}}):
            with pytest.raises((BadUpdate, UnsupportedFork)):
                read(MAINNET, wrapped)


@pytest.mark.parametrize(
    "text", ["", "-1", "01", "+1", "1.0", "1e3", "0x1", " 1", "1_0", "18446744073709551616", "9" * 10_000, "\u0661", 1, None, True]
)
def test_numbers_have_one_form(text):
    with pytest.raises(BadUpdate):
        Uint(8).from_json(text)
