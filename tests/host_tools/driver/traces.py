"""Everything that a stretch of blocks leaves to be read on a chain: transactions, calldata, keys behind signatures, logs, storage."""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode
from wattseal.gateway import transactions
from wattseal.gateway.contract import _FUNCTIONS, _signature_hash
from wattseal.gateway.rpc import Rpc, quantity
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, ReceiptMessage, Voucher
from wattseal.protocol.typed_data import TYPES

# Below this a number is a length, an offset, a flag, a price of gas, a count of watt-hours or seconds: too small to name anybody.
SMALLEST_NAME = 1 << 33


@dataclass
class Trace:
    """Values that were read, each with where."""

    values: dict[int, set[str]] = field(default_factory=dict)

    def add(self, value: int | bytes, where: str) -> None:
        number = int.from_bytes(value, "big") if isinstance(value, bytes) else value
        if number >= SMALLEST_NAME:
            self.values.setdefault(number, set()).add(where)

    def add_words(self, data: bytes, where: str) -> None:
        for start in range(0, len(data), 32):
            word = data[start : start + 32]
            if len(word.strip(b"\0")) > 1:  # else the v of a signature, at the left end
                self.add(word, where)

    def add_receipt(self, message: ReceiptMessage) -> None:
        """What the plug signs beside the receipt, which the relay and the driver see."""
        self.add(bytes.fromhex(json.loads(message.ocmf)["XN"]), "salt")
        self.add(message.receipt.evidence, "evidence")
        self.add_words(message.signature[:64], "plug's signature")


class Watcher:
    """Reads a chain on which a contract serves sessions, block by block."""

    def __init__(self, rpc: Rpc, chain_id: int, contract: bytes) -> None:
        self._rpc, self._contract = rpc, contract
        self._domain = domain_separator(chain_id, contract)
        self._names = {_signature_hash(name, kinds)[:4]: (name, kinds) for (name, _), kinds in _FUNCTIONS.items()}
        self._number = self._head()
        self._storage_before = self._storage()

    def look(self) -> Trace:
        """Return what all blocks since the last look give away."""
        trace, head = Trace(), self._head()
        for number in range(self._number + 1, head + 1):
            for answer in self._rpc.call("eth_getBlockByNumber", hex(number), True)["transactions"]:
                self._take_transaction(trace, answer["hash"])
        storage = self._storage()
        for (address, slot), value in storage.items():
            if self._storage_before.get((address, slot)) != value:
                trace.add(slot, "slot")
                trace.add(value, "storage")
                trace.add(value & ((1 << 248) - 1), "storage without its status")
        self._number, self._storage_before = head, storage
        return trace

    def _take_transaction(self, trace: Trace, tx_hash: str) -> None:
        transaction = transactions.decode(bytes.fromhex(self._rpc.call("eth_getRawTransactionByHash", tx_hash)[2:]))
        trace.add(transaction.hash, "transaction")
        trace.add(transaction.sender(), "sender")
        trace.add(transaction.r, "sender's signature")
        trace.add(transaction.s, "sender's signature")
        for name in ("maxFeePerGas", "maxPriorityFeePerGas", "value"):
            trace.add(transaction.number(name), name)
        to, call = bytes(transaction.fields["to"]), bytes(transaction.fields["input"])  # type: ignore[arg-type]
        trace.add(to, "receiver")
        trace.add_words(call[4:], "calldata")
        if to == self._contract:
            self._take_call(trace, call)
        for log in self._rpc.call("eth_getTransactionReceipt", tx_hash)["logs"]:
            for topic in log["topics"]:
                trace.add(bytes.fromhex(topic[2:]), "topic")
            trace.add_words(bytes.fromhex(log["data"][2:]), "log")

    def _take_call(self, trace: Trace, call: bytes) -> None:
        """Add the keys behind the signatures in a call."""
        name, kinds = self._names[call[:4]]
        arguments = decode(kinds, call[4:])
        if name == "open" and arguments[1]:
            trace.add(signatures.recover(_struct(Voucher, arguments[0]).digest(self._domain), arguments[1]), "voucher's key")
        for _, receipt, plug_words, driver_words in arguments[0] if name == "settle_many" else arguments if name == "settle" else ():
            assert not any(driver_words)
            signature = b"".join(word.to_bytes(32, "big") for word in plug_words[:2]) + plug_words[2].to_bytes(1)
            trace.add(signatures.recover(_struct(Receipt, receipt).digest(self._domain), signature), "receipt's key")

    def _head(self) -> int:
        return quantity(self._rpc.call("eth_blockNumber"), "number")

    def _storage(self) -> dict[tuple[str, int], int]:
        dumped = gzip.decompress(bytes.fromhex(self._rpc.call("anvil_dumpState")[2:]))
        accounts = json.loads(dumped)["accounts"]
        return {(address, int(slot, 16)): int(value, 16) for address, account in accounts.items() for slot, value in account["storage"].items()}


def repeated(traces: list[Trace]) -> dict[int, set[str]]:
    """Return the values that stand in more than one trace, with where."""
    found: dict[int, list[set[str]]] = {}
    for trace in traces:
        for value, places in trace.values.items():
            found.setdefault(value, []).append(places)
    return {value: set().union(*places) for value, places in found.items() if len(places) > 1}


def _struct(kind: Any, values: Any) -> Any:
    plain = (bytes.fromhex(value[2:]) if isinstance(value, str) else value for value in values)
    return kind(**{name: value for (_, name), value in zip(TYPES[kind.__name__], plain, strict=True)})
