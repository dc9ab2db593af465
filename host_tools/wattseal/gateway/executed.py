"""A block with its receipts, both proven, and how JSON-RPC writes them."""

from dataclasses import dataclass
from typing import Any

from wattseal.gateway import blocks, transactions
from wattseal.gateway.blocks import Block
from wattseal.gateway.proofs import Log, TransactionReceipt
from wattseal.gateway.rpc import to_hex


@dataclass(frozen=True, slots=True)
class Executed:
    """A proven block with its proven receipts."""

    block: Block
    receipts: list[TransactionReceipt]

    def first_log_index(self, index: int) -> int:
        """Return how many logs of the block are before those of a transaction."""
        return sum(len(receipt.logs) for receipt in self.receipts[:index])


@dataclass(frozen=True, slots=True)
class FoundLog:
    """A log and where it stands: in transaction `index`, as number `log_index` of the block."""

    log: Log
    block: Block
    index: int
    log_index: int


def receipt_json(executed: Executed, index: int) -> dict[str, Any]:
    """Return a transaction's receipt as JSON-RPC writes it; what a receipt does not hold is computed from the block. Raises BadSignature."""
    block, receipt = executed.block, executed.receipts[index]
    transaction = block.transactions[index]
    created, to = transaction.created(), transaction.fields["to"]
    first = executed.first_log_index(index)
    shown = {
        "transactionHash": to_hex(transaction.hash),
        **blocks.place_json(block, index),
        "type": to_hex(transaction.kind),
        "from": to_hex(transaction.sender()),
        "to": to_hex(to) if isinstance(to, bytes) and to else None,
        "contractAddress": to_hex(created) if created else None,
        "status": to_hex(int(receipt.succeeded)),
        "gasUsed": to_hex(receipt.gas_used),
        "cumulativeGasUsed": to_hex(receipt.cumulative_gas_used),
        "effectiveGasPrice": to_hex(transaction.effective_gas_price(block.header.base_fee_per_gas)),
        "logs": [log_json(FoundLog(log, block, index, first + place)) for place, log in enumerate(receipt.logs)],
        "logsBloom": to_hex(receipt.bloom),
    }
    if transaction.kind == transactions.BLOB:
        hashes = transaction.fields["blobVersionedHashes"]
        shown["blobGasUsed"] = to_hex(transactions.GAS_PER_BLOB * len(hashes))
    return shown


def log_json(found: FoundLog) -> dict[str, Any]:
    """Return a log as JSON-RPC writes it."""
    return {
        "address": to_hex(found.log.address),
        "topics": [to_hex(topic) for topic in found.log.topics],
        "data": to_hex(found.log.data),
        **blocks.place_json(found.block, found.index),
        "transactionHash": to_hex(found.block.transactions[found.index].hash),
        "logIndex": to_hex(found.log_index),
        "removed": False,
    }
