"""Measures the gateway's proofs beside the `trie` library: a mainnet account and slot, the receipts of a block. Part of `make bench`."""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie
from wattseal.gateway import proofs
from wattseal.gateway.types import Header

FIXTURE = Path(__file__).parent / "vectors/light_client/mainnet_deneb"
RUNS = 30
RECEIPTS = 202


@dataclass(frozen=True)
class Times:
    """Medians and the fastest in milliseconds, ours and the library's."""

    name: str
    ours: float
    ours_fastest: float
    library: float
    library_fastest: float


class Answers:
    """An RPC that answers everything with the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def call(self, *_: object) -> Any:
        return self.answer


def times(name: str, ours: Callable[[], object], library: Callable[[], object]) -> Times:
    def measure(run: Callable[[], object]) -> list[float]:
        found = []
        for _ in range(RUNS):
            start = time.perf_counter()
            run()
            found.append(1000 * (time.perf_counter() - start))
        return found

    one, other = measure(ours), measure(library)
    return Times(name, median(one), min(one), median(other), min(other))


def state() -> Times:
    execution = json.loads((FIXTURE / "FinalityUpdateDeneb.json").read_text())["data"]["finalized_header"]["execution"]
    answer = json.loads((FIXTURE / "EthGetProof.json").read_text())["result"]
    root, address = bytes.fromhex(execution["state_root"][2:]), bytes.fromhex(answer["address"][2:])
    slot = int(answer["storageProof"][0]["key"], 16)
    header = Header(int(execution["block_number"]), b"", 0, root, b"", 0)

    def ours() -> None:
        if proofs.storage(Answers(answer), header, address, [slot]) != [0]:  # type: ignore[arg-type]
            raise ValueError("the slot is empty, but was proven to be something else")

    def library() -> None:
        nodes = [[rlp.decode(bytes.fromhex(node[2:])) for node in proof] for proof in (answer["accountProof"], answer["storageProof"][0]["proof"])]
        account = rlp.decode(HexaryTrie.get_from_proof(root, keccak(address), nodes[0]))
        if HexaryTrie.get_from_proof(account[2], keccak(slot.to_bytes(32, "big")), nodes[1]):
            raise ValueError("the library says that the slot is not empty")

    return times("account and storage proof, mainnet block 20360596", ours, library)


def receipts() -> Times:
    generator = random.Random(1)

    def receipt(index: int) -> dict[str, Any]:
        log = {
            "address": "0x" + generator.randbytes(20).hex(),
            "topics": ["0x" + generator.randbytes(32).hex()] * 3,
            "data": "0x" + generator.randbytes(32).hex(),
        }
        fields = {"transactionHash": "0x" + "11" * 32, "type": "0x2", "status": "0x1", "cumulativeGasUsed": hex(21_000 * (index + 1))}
        return fields | {"logsBloom": "0x" + generator.randbytes(256).hex(), "logs": [log] * 2}

    answers = [receipt(index) for index in range(RECEIPTS)]
    root = library_root(answers)
    header = Header(1, b"", 0, b"", root, 0)

    def library() -> None:
        if library_root(answers) != root:
            raise ValueError("the library's root changed")

    return times(f"receipt in a block of {RECEIPTS}", lambda: proofs.block_receipts(Answers(answers), header), library)  # type: ignore[arg-type]


def library_root(answers: list[dict[str, Any]]) -> bytes:
    trie = HexaryTrie({})
    with trie.squash_changes() as changes:
        for index, answer in enumerate(answers):
            changes[rlp.encode(index)] = proofs._encode_receipt(2, proofs._receipt(answer, 0))
    return bytes(trie.root_hash)


def figures() -> Iterator[Times]:
    yield state()
    yield receipts()


if __name__ == "__main__":
    for found in figures():
        print(f"{found.name}: {found.ours:.3f} ms, trie {found.library:.3f} ms")  # noqa: T201
