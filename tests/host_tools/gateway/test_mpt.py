import contextlib

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from trie import HexaryTrie
from wattseal.errors import ProofError
from wattseal.gateway import mpt


def unhex(text):
    return bytes.fromhex(text[2:])


@pytest.fixture(scope="module", params=["account", "absent slot"])
def real_proof(request, mainnet):
    """Root, key, proof and value of a proof that mainnet served."""
    answer = mainnet["proof"]
    if request.param == "account":
        root = unhex(mainnet["header"]["execution"]["state_root"])
        value = rlp.encode([int(answer["nonce"], 16), int(answer["balance"], 16), unhex(answer["storageHash"]), unhex(answer["codeHash"])])
        return root, keccak(unhex(answer["address"])), [unhex(node) for node in answer["accountProof"]], value
    entry = answer["storageProof"][0]
    return unhex(answer["storageHash"]), keccak(unhex(entry["key"])), [unhex(node) for node in entry["proof"]], None


def test_real_proof(real_proof):
    root, key, proof, value = real_proof
    assert mpt.prove(root, key, proof) == value


def test_real_proof_with_any_byte_changed(real_proof):
    root, key, proof, _ = real_proof
    for number, node in enumerate(proof):
        for place in range(len(node)):
            bits = range(8) if number == len(proof) - 1 else [place % 8]
            for bit in bits:
                changed = node[:place] + bytes([node[place] ^ 1 << bit]) + node[place + 1 :]
                with pytest.raises(ProofError):
                    mpt.prove(root, key, [*proof[:number], changed, *proof[number + 1 :]])


def test_real_proof_with_nodes_moved(real_proof):
    root, key, proof, _ = real_proof
    wrong = [[], [*proof, proof[-1]], [*proof, b""], [*proof, b"\x80"], proof[::-1], [b"", *proof]]
    for number, node in enumerate(proof):
        wrong.append(proof[:number] + proof[number + 1 :])
        wrong.append([*proof[: number + 1], *proof[number:]])
        wrong.append([*proof[:number], node + b"\0", *proof[number + 1 :]])
        wrong.append([*proof[:number], node[:-1], *proof[number + 1 :]])
        if number:
            wrong.append([*proof[: number - 1], node, proof[number - 1], *proof[number + 1 :]])
    for nodes in wrong:
        with pytest.raises(ProofError):
            mpt.prove(root, key, nodes)


def test_real_proof_for_another_root_or_key(real_proof):
    root, key, proof, _ = real_proof
    with pytest.raises(ProofError):
        mpt.prove(keccak(root), key, proof)
    with pytest.raises(ProofError):
        mpt.prove(root, keccak(key), proof)


def test_empty_trie():
    assert mpt.prove(mpt.EMPTY_ROOT, b"key", []) is None
    assert mpt.prove(mpt.EMPTY_ROOT, b"key", [b"\x80"]) is None
    for proof in [[b""], [b"\x80", b"\x80"], [rlp.encode([b"\x20", b"value"])]]:
        with pytest.raises(ProofError):
            mpt.prove(mpt.EMPTY_ROOT, b"key", proof)


# -- against the `trie` library -------------------------------------------------------------------------------------------------------


@st.composite
def tries(draw):
    length = draw(st.integers(1, 4))
    key = st.binary(min_size=length, max_size=length)
    # few distinct first bytes make extensions, short values make inlined nodes
    near = st.builds(lambda head, tail: (head + tail)[-length:], st.sampled_from([b"\0\0\0", b"\0\0\x01", b"\x10\0\0"]), key)
    items = draw(st.dictionaries(key | near, st.binary(min_size=1, max_size=40), max_size=40))
    return items, draw(st.sampled_from(sorted(items)) | key | near if items else key)


def library_proof(items, key):
    """Root, and the nodes that eth_getProof would serve: those that are not inlined in their parent."""
    trie = HexaryTrie({})
    for name, value in items.items():
        trie[name] = value
    nodes = [rlp.encode(node) for node in trie.get_proof(key) if node != b""]
    return trie.root_hash, [node for number, node in enumerate(nodes) if number == 0 or len(node) >= 32]


@given(tries())
def test_agrees_with_library(case):
    items, key = case
    root, proof = library_proof(items, key)
    assert mpt.prove(root, key, proof) == items.get(key)


@given(tries(), st.data())
def test_damaged_proof_never_misleads(case, data):
    items, key = case
    root, proof = library_proof(items, key)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(proof)))
        other = data.draw(st.binary(max_size=600) | st.sampled_from(proof or [b""]))
        proof[place : place + data.draw(st.integers(0, 2))] = [other]
    with contextlib.suppress(ProofError):
        assert mpt.prove(root, key, proof) == items.get(key)


@given(tries())
def test_root_agrees_with_library(case):
    items, _ = case
    assert mpt.trie_root(items) == library_proof(items, b"")[0]


@given(st.dictionaries(st.binary(min_size=1, max_size=3), st.binary(min_size=1, max_size=40), max_size=30))
def test_root_with_keys_that_begin_with_others(items):
    trie = HexaryTrie({})
    for key, value in items.items():
        trie[key] = value
    assert mpt.trie_root(items) == trie.root_hash


# -- a root that commits to nonsense --------------------------------------------------------------------------------------------------

LEAF = [b"\x20" + bytes(31), b"value" * 6]
FILLED = keccak(b"some node")


def branch(**children):
    return [children.get(f"c{place}", b"") for place in range(16)] + [children.get("value", b"")]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ([], "2 or 17"),
        ([b"\x20", b"a", b"b"], "2 or 17"),
        (b"text" * 10, "no list"),
        ([b"", b"value"], "prefix"),
        ([b"\x40", b"value"], "prefix"),
        ([b"\x20", b""], "leaf is empty"),
        ([b"\x2f", b"value"], "canonical prefix"),
        ([[b"\x20"], b"value"], "list where bytes"),
        ([b"\x20", [b"value"]], "list where bytes"),
        ([b"\x00", FILLED], "no path"),
        ([b"\x10", b""], "leads nowhere"),
        ([b"\x10", [b"\x20", b"v"]], "leads to no branch"),
        ([b"\x10", b"short"], "32 bytes"),
        ([b"\x10", FILLED], "ends early"),
        (branch(c0=FILLED), "fewer than two"),
        (branch(c0=b"short", c1=FILLED), "32 bytes"),
        (branch(c0=LEAF, c1=FILLED), "inlined"),
        (branch(c1=FILLED, c5=b"elsewhere"), "32 bytes"),
        (branch(c1=FILLED, c5=LEAF), "inlined"),
        (branch(c1=FILLED, c5=[]), "2 or 17"),
        (branch(c1=FILLED, c5=[b"\x20", b"v", b"w"]), "2 or 17"),
        (branch(c1=FILLED, c5=FILLED, value=[b"value"]), "list where bytes"),
        ([b"\x20", b"value" * 120], "532 bytes"),
    ],
)
def test_malformed_node(node, message):
    raw = rlp.encode(node)
    with pytest.raises(ProofError, match=message):
        mpt.prove(keccak(raw), b"\0", [raw])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc0\0",
        b"\xc2\x20",
        b"\xc3\x81\x20\x05",  # one byte below 128 with a prefix
        b"\xf8\x02\x20\x05",  # a short list in the long form
        b"\xc4\xb8\x01\x20\x05",
        b"\xf9\x00\x40" + b"\x20" * 64,
        b"\xff" + b"\xff" * 8,
        b"\xbf" + b"\xff" * 8,
        b"\xfa",
        b"\xc1" * 500,
    ],
)
def test_non_canonical_rlp(raw):
    with pytest.raises(ProofError, match="RLP"):
        mpt.decode(raw)
    with pytest.raises(ProofError):
        mpt.prove(keccak(raw), b"\0", [raw])


def test_nested_lists():
    raw = rlp.encode(b"")
    while len(raw) < 520:
        raw = rlp.codec.length_prefix(len(raw), 0xC0) + raw
    with pytest.raises(ProofError):
        mpt.prove(keccak(raw), b"\0", [raw])


@given(st.binary(max_size=600).filter(lambda raw: raw != b"\x80"))
def test_any_bytes(raw):
    with pytest.raises(ProofError):
        mpt.prove(keccak(raw), b"\xab" * 32, [raw])


def test_too_many_nodes():
    with pytest.raises(ProofError, match="at most 65"):
        mpt.prove(FILLED, b"\0", [b"node"] * 66)
