"""What the gateway reads from strangers, as functions of bytes: each ends in the documented errors, or in what another library says, too.

tests/host_tools/gateway/test_fuzz.py gives them arbitrary bytes and damaged real ones, tests/fuzz_gateway.py what a coverage-guided fuzzer finds.
"""

import copy
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import rlp
from eth_account import Account
from eth_hash.auto import keccak
from pydantic_core import from_json
from trie import HexaryTrie
from wattseal.errors import BadSignature, BadUpdate, ProofError, RpcError, StoreError, UnsupportedFork, UpdateNotUsable
from wattseal.gateway import blocks, mpt, proofs, rlp_strict, server, transactions
from wattseal.gateway.chain import Chain
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.containers import schema
from wattseal.gateway.consensus.networks import MAINNET, MAINNET_PRESET, MINIMAL_PRESET, Fork
from wattseal.gateway.consensus.store_file import _MAGIC, StoreFile
from wattseal.gateway.consensus.sync_protocol import block_root, initialize_light_client_store, process_light_client_update
from wattseal.gateway.header import CANCUN, LONDON, PRAGUE, SHANGHAI, _read
from wattseal.gateway.http import Reply
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.types import Header
from wattseal.gateway.upstreams import UpstreamHeaders, Upstreams

from tests.host_tools.gateway.consensus.test_ssz import PARTS, second_opinion

VECTORS = Path(__file__).parent / "vectors/light_client/mainnet_deneb"
KINDS = ("bootstrap", "update", "finality_update", "optimistic_update")
FORKS = list(Fork)[1:]


class Wrong(Exception):
    """Something was taken that must not be, or read as something else."""


def agree(ours: object, theirs: object, what: str) -> None:
    if ours != theirs:
        raise Wrong(f"{what}: {ours!r:.300} and {theirs!r:.300}")


# -- RLP, transactions ----------------------------------------------------------------------------------------------------------------


def _depth(item: Any) -> int:
    return 1 + max(map(_depth, item), default=0) if isinstance(item, list) else 0


def rlp_bytes(data: bytes) -> None:
    """Decodes as the `rlp` library does, and has one encoding for each value."""
    try:
        theirs = rlp.decode(data)
    except (rlp.DecodingError, RecursionError):
        theirs = None
    try:
        ours = rlp_strict.decode(data)
    except ProofError:
        if theirs is not None and _depth(theirs) <= rlp_strict.MAX_DEPTH:
            raise Wrong(f"refused what the library reads: {theirs!r:.200}") from None
        return
    agree(ours, theirs, "value")
    agree(rlp_strict.encode(ours), data, "encoding")


def transaction(data: bytes) -> None:
    """A transaction that is taken is shown as JSON from which the same bytes come again."""
    try:
        decoded = transactions.decode(data)
    except ProofError:
        return
    agree(decoded.raw, data, "bytes")
    with suppress(BadSignature):
        shown = transactions.to_json(decoded)
        agree(transactions.encode(shown), data, "written again")


# -- tries ----------------------------------------------------------------------------------------------------------------------------


def trie_proof(data: bytes) -> None:
    """A key, then a list of nodes in RLP. 32 equal bytes stand for the hash of the node of that number, so that nodes can be linked."""
    key = data[1 : 1 + data[:1].ljust(1, b"\0")[0] % 5]
    try:
        nodes = rlp_strict.decode(data[1 + len(key) :])
    except ProofError:
        return
    if not isinstance(nodes, list) or not all(isinstance(node, bytes) for node in nodes) or not 0 < len(nodes) < 100:
        return
    linked: list[bytes] = []
    for node in reversed(nodes):
        for ahead, child in enumerate(linked):
            node = node.replace(bytes([1 + ahead]) * 32, keccak(child))  # type: ignore[union-attr]
        linked.insert(0, bytes(node))  # type: ignore[arg-type]
    root = keccak(linked[0])
    try:
        value = mpt.prove(root, key, linked)
    except ProofError:
        return
    if root != mpt.EMPTY_ROOT:
        agree(value or b"", HexaryTrie.get_from_proof(root, key, [rlp.decode(node) for node in linked]), "value")


# -- SSZ, light-client JSON -----------------------------------------------------------------------------------------------------------


@cache
def _theirs(fork: Fork) -> dict[str, Any]:
    opinion: dict[str, Any] = second_opinion(32, fork)
    return opinion


def ssz(data: bytes) -> None:
    """The first two bytes choose fork and type of the minimal preset. What is taken is taken by remerkleable, with the same root."""
    fork, part = FORKS[data[0] % len(FORKS)] if data else FORKS[0], (*PARTS, "store")[data[1] % 8 if len(data) > 1 else 0]
    kind = getattr(schema(MINIMAL_PRESET, fork), part)
    raw = data[2:]
    try:
        value = kind.decode(raw)
    except BadUpdate:
        return
    agree(kind.encode(value), raw, "encoding")
    if part != "store":
        theirs = _theirs(fork)[part].decode_bytes(raw)
        agree(kind.root(value), bytes(theirs.hash_tree_root()), "root")
        agree(kind.from_json(kind.to_json(value)), value, "JSON")


def _json(data: bytes) -> Any:
    try:
        return Reply(200, "", data).json()
    except ValueError:
        return None


@cache
def _started() -> tuple[Any, Any]:
    """Stores before and after mainnet's update."""
    bootstrap = beacon_json.read_bootstrap(MAINNET, from_json(_real("Bootstrap")))
    before = initialize_light_client_store(MAINNET, block_root(bootstrap.header.beacon), bootstrap)
    update = beacon_json.read_update(MAINNET, from_json(_real("Update")))
    after = copy.copy(before)
    process_light_client_update(MAINNET, after, update, update.signature_slot)
    return before, after


def light_client(data: bytes) -> None:
    """JSON of the beacon API: refused with one of the documented errors, and then nothing has changed; or read, and perhaps even signed."""
    answer = _json(data)
    for kind in KINDS:
        try:
            value = getattr(beacon_json, f"read_{kind}")(MAINNET, answer)
        except (BadUpdate, UnsupportedFork):
            continue
        if kind == "bootstrap":
            with suppress(BadUpdate):
                initialize_light_client_store(MAINNET, block_root(value.header.beacon), value)
            continue
        for store in map(copy.copy, _started()):
            before = copy.copy(store)
            try:
                process_light_client_update(MAINNET, store, value, 1 << 63)
            except (BadUpdate, UpdateNotUsable):
                agree(store, before, "store")


def store_file(data: bytes) -> None:
    """A file with the right head and digest over any bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store")
        path.write_bytes(_MAGIC + MAINNET.genesis_validators_root + sha256(data).digest() + data)
        with suppress(StoreError):
            store = StoreFile(path, MAINNET).load()
            agree(schema(MAINNET_PRESET, Fork.FULU).store.encode(store), data, "encoding")


# -- answers and requests of JSON-RPC -------------------------------------------------------------------------------------------------


class Answers:
    """An RPC that answers everything with the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def call(self, *_: object) -> Any:
        return self.answer


def rpc_answer(data: bytes) -> None:
    """Whatever an RPC answers is refused as not proven or as no answer."""
    answer = _json(data)
    rpc: Any = Answers(answer)
    claimed = bytes(32)
    if isinstance(answer, dict):
        with suppress(ProofError):  # the hash that its fields have, so that what comes after it is looked at
            names = next((fork for fork in (PRAGUE, CANCUN, SHANGHAI) if answer.get(fork[-1][0]) is not None), LONDON)
            claimed = keccak(rlp_strict.encode([_read(answer, *field) for field in names]))
            answer["hash"] = to_hex(claimed)
    header = Header(1, claimed, 0, _root(answer, "accountProof"), mpt.EMPTY_ROOT, 0)
    readers: list[Callable[[], object]] = [
        lambda: blocks.to_json(blocks.block(rpc, claimed), whole_transactions=False),
        lambda: blocks.full_header(rpc, claimed),
        lambda: proofs.block_receipts(rpc, header),
        lambda: proofs.account(rpc, header, bytes(20)),
        lambda: proofs.storage(rpc, header, bytes(20), [0]),
    ]
    for read in readers:
        with suppress(ProofError, RpcError, BadSignature):
            read()


def _root(answer: Any, name: str) -> bytes:
    """The hash of the first node, so that what comes after it is looked at."""
    with suppress(ValueError, TypeError, KeyError, IndexError):
        return keccak(bytes.fromhex(answer[name][0][2:]))
    return bytes(32)


@cache
def _nobody() -> Chain:
    upstreams = Upstreams(["http://127.0.0.1:1"], 31337, timeout_s=0.1)
    return Chain(upstreams, UpstreamHeaders(upstreams))


def rpc_request(data: bytes) -> None:
    """Whatever a client asks has an answer in JSON, of bounded size."""
    try:
        asked = from_json(data, allow_inf_nan=False)
    except ValueError:
        return
    body = server._answer(_nobody(), asked).body
    if body:
        json.loads(body)
    if len(body) > 1000 * server.MAX_BATCH + 10 * len(data):
        raise Wrong(f"{len(body)} bytes in answer to {len(data)}")


# -- where to start from --------------------------------------------------------------------------------------------------------------


def _real(name: str) -> bytes:
    answer = json.loads((VECTORS / f"{name}Deneb.json").read_text())
    return json.dumps(answer[0] if isinstance(answer, list) else answer).encode()


def _signed() -> list[bytes]:
    """A transaction of every type but blobs."""
    account = Account.from_key(bytes(range(1, 33)))
    call = {"nonce": 7, "gas": 90_000, "to": bytes(range(20)), "value": 10**18, "data": b"data", "chainId": 1}
    fees = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    lists = {"accessList": [{"address": "0x" + "11" * 20, "storageKeys": ["0x" + "22" * 32]}]}
    authorization = account.sign_authorization({"chainId": 1, "address": bytes(range(20)), "nonce": 0})
    kinds = [
        {"gasPrice": 10**10},
        {"gasPrice": 10**10, "type": 1, **lists},
        {"type": 2, **fees},
        {"type": 4, "authorizationList": [authorization], **fees},
    ]
    return [bytes(account.sign_transaction(call | kind).raw_transaction) for kind in kinds]


@cache
def seeds(name: str) -> list[bytes]:
    """Real inputs of a target, from which damaged ones are made."""
    proof = json.loads((VECTORS / "EthGetProof.json").read_text())["result"]
    nodes = [bytes.fromhex(node[2:]) for node in proof["accountProof"]]
    linked = [
        rlp.encode([b"\x00\x12", bytes([1]) * 32]),
        rlp.encode([b""] * 3 + [bytes([1]) * 32] + [b""] * 12 + [b"here"]),
        rlp.encode([b"\x20", b"v" * 40]),
    ]
    optimistic = json.loads(_real("FinalityUpdate"))
    for part in ("finalized_header", "finality_branch"):
        del optimistic["data"][part]
    ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{"fromBlock": "0x1", "topics": [None, ["0x" + "11" * 32]]}]}
    more = [
        ask | {"method": "eth_feeHistory", "params": ["0x4", "latest", [1, 50.5]]},
        ask | {"method": "eth_getBalance", "params": ["0x" + "1" * 40]},
    ]
    block = {name: "0x" + "00" * width if width else "0x1" for name, width in (*PRAGUE, ("hash", 32))}
    block |= {"transactions": [transactions.to_json(transactions.decode(raw)) for raw in _signed()], "withdrawals": []}  # type: ignore[dict-item]
    made: dict[str, list[bytes]] = {
        "rlp_bytes": [*nodes, rlp.encode([[b"a", [b"b" * 60]], b"c"])],
        "transaction": _signed(),
        "trie_proof": [bytes([2, 0x12, 0x30]) + rlp.encode(linked[:2]), bytes([1, 0x00]) + rlp.encode(linked[2:]), b"\0" + rlp.encode(nodes)],
        "ssz": [bytes([FORKS.index(Fork.FULU), place]) + _theirs(Fork.FULU)[part]().encode_bytes() for place, part in enumerate(PARTS)],
        "light_client": [*map(_real, ("Bootstrap", "Update", "FinalityUpdate")), json.dumps(optimistic).encode()],
        "store_file": [schema(MAINNET_PRESET, Fork.FULU).store.encode(store) for store in _started()],
        "rpc_answer": [json.dumps(proof).encode(), json.dumps(block).encode(), json.dumps([_receipt()]).encode()],
        "rpc_request": [json.dumps(ask).encode(), json.dumps([ask, *more]).encode()],
    }
    return made[name]


def _receipt() -> dict[str, Any]:
    log = {"address": "0x" + "11" * 20, "topics": ["0x" + "22" * 32], "data": "0x33"}
    shown = {"transactionHash": "0x" + "44" * 32, "type": "0x2", "status": "0x1", "cumulativeGasUsed": "0x5208", "logsBloom": "0x" + "00" * 256}
    return shown | {"logs": [log]}


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (rlp_bytes, transaction, trie_proof, ssz, light_client, store_file, rpc_answer, rpc_request)
}
