"""What the lying upstream of `wattseal demo --lie` forges: answers that are consistent in themselves and look right to whoever believes a server."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from eth_hash.auto import keccak

from wattseal.demo.lying_upstream import Lie
from wattseal.gateway import rlp_strict
from wattseal.gateway.contract import balance_slot, event_topic
from wattseal.gateway.header import verify_full_header
from wattseal.gateway.rpc import to_hex

NATIVE_COIN = bytes(20)


class Forged(StrEnum):
    """What is forged."""

    RECEIPT = "receipt"
    BALANCE = "balance"
    HEADER = "header"


REFUSED_BY = {
    Forged.RECEIPT: "the block's receipts do not give the receipts root of a header that the simulated sync committee signed",
    Forged.BALANCE: "the proof does not lead there from the state root of a header that the simulated sync committee signed",
    Forged.HEADER: "it is not the header whose hash the simulated sync committee signed",
}


def lie(forged: Forged, host: bytes, tell: Callable[[str], None]) -> Lie:
    """Return the lie about one kind of answer; `tell` gets each forgery in words. `host` is whose balance is forged."""

    def receipt(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts":
            for log in (log for entry in result or () for log in entry["logs"] if log["topics"][:1] == [to_hex(event_topic("Settled"))]):
                words = bytes.fromhex(log["data"][2:])
                paid = int.from_bytes(words[32:64])
                log["data"] = to_hex(words[:32] + (10 * paid).to_bytes(32) + words[64:])
                tell(f"a receipt in block {int(log['blockNumber'], 16)}: {10 * paid} wei are paid to the host, where it was {paid}")
        return result

    def balance(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getProof":
            for entry in result["storageProof"]:
                value = int(entry["value"], 16)
                if value and int(entry["key"], 16) == balance_slot(host, NATIVE_COIN):
                    entry |= {"value": to_hex(10 * value), "proof": [*entry["proof"][:-1], _leaf(entry["proof"][-1], 10 * value)]}
                    tell(f"the host's balance: {10 * value} wei, where it is {value}")
        return result

    def header(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByHash" and result is not None:
            fields = verify_full_header(result).fields | {"stateRoot": keccak(b"a state that nobody executed")}
            forged = keccak(rlp_strict.encode(list(fields.values())))
            result |= {"stateRoot": to_hex(fields["stateRoot"]), "hash": to_hex(forged)}
            tell(f"the header of block {int(result['number'], 16)}: another state, under a hash that fits it")
        return result

    return {Forged.RECEIPT: receipt, Forged.BALANCE: balance, Forged.HEADER: header}[forged]


def _leaf(node: str, value: int) -> str:
    """Return a leaf of a storage trie with another value."""
    path = rlp_strict.decode(bytes.fromhex(node[2:]))[0]
    return to_hex(rlp_strict.encode([path, rlp_strict.encode(value)]))
