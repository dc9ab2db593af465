"""Whole blocks: every field of the header, the transactions and the withdrawals, all of it proven by the header's hash."""

from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from wattseal.errors import ProofError, RpcError
from wattseal.gateway import mpt, rlp_strict, transactions
from wattseal.gateway.header import FullHeader, verify_full_header
from wattseal.gateway.rpc import Rpc, data, elements, field, quantity, to_hex
from wattseal.gateway.transactions import Transaction
from wattseal.gateway.types import Header

NO_UNCLES = keccak(rlp_strict.encode([]))
_WITHDRAWAL = ("index", "validatorIndex", "address", "amount")  # EIP-4895


@dataclass(frozen=True, slots=True)
class Block:
    """A block after the Merge (no uncles). `withdrawals` is None before Shanghai; each is (index, validator index, address, gwei)."""

    full: FullHeader
    transactions: list[Transaction]
    withdrawals: list[list[bytes]] | None

    @property
    def header(self) -> Header:
        """The short form of the header."""
        return self.full.header

    @property
    def size(self) -> int:
        """The block's length in bytes, as RLP."""
        bodies = [tx.raw if tx.kind else rlp_strict.decode(tx.raw) for tx in self.transactions]
        return len(rlp_strict.encode([self.full.rlp_fields, bodies, [], *([self.withdrawals] if self.withdrawals is not None else [])]))


def full_header(rpc: Rpc, block_hash: bytes) -> FullHeader:
    """Return all fields of the header with that hash. Raises RpcError where the RPC does not know it, ProofError."""
    return _checked(_fetch(rpc, block_hash, bodies=False), block_hash)


def block(rpc: Rpc, block_hash: bytes) -> Block:
    """Return the block with that hash: its transactions and withdrawals give the header's roots. Raises RpcError, ProofError."""
    answer = _fetch(rpc, block_hash, bodies=True)
    full = _checked(answer, block_hash)
    if full.fields["sha3Uncles"] != NO_UNCLES:
        raise RpcError(f"block {full.header.number} is from before the Merge (it has uncles), which this gateway does not serve")
    raws = [transactions.encode(entry) for entry in elements(answer, "transactions")]
    _check_root(full, "transactionsRoot", raws)
    withdrawals = None
    if "withdrawalsRoot" in full.fields:
        withdrawals = [_withdrawal(entry) for entry in elements(answer, "withdrawals")]
        _check_root(full, "withdrawalsRoot", [rlp_strict.encode(entry) for entry in withdrawals])
    return Block(full, [transactions.decode(raw) for raw in raws], withdrawals)


def next_base_fee(full: FullHeader) -> int:
    """Return the base fee in wei that the block after this one has (EIP-1559)."""
    base_fee, target, used = full.header.base_fee_per_gas, full.number_of("gasLimit") // 2, full.number_of("gasUsed")
    if used > target:
        return base_fee + max(base_fee * (used - target) // target // 8, 1)
    return base_fee - base_fee * (target - used) // target // 8


def to_json(proven: Block, *, whole_transactions: bool) -> dict[str, Any]:
    """Return the block as JSON-RPC writes it; nothing in it is unproven, and `totalDifficulty`, which no header proves, is missing."""
    shown: dict[str, Any] = {"hash": to_hex(proven.header.hash)}
    for name, value in proven.full.fields.items():
        # integers stand without zeros in front, and the other fields have their full width
        shown[name] = to_hex(proven.full.number_of(name)) if name in _INTEGERS else to_hex(value)
    shown |= {"size": to_hex(proven.size), "uncles": []}
    if whole_transactions:
        shown["transactions"] = [transaction_json(proven, index) for index in range(len(proven.transactions))]
    else:
        shown["transactions"] = [to_hex(transaction.hash) for transaction in proven.transactions]
    if proven.withdrawals is not None:
        shown["withdrawals"] = [
            {
                name: to_hex(value) if name == "address" else to_hex(int.from_bytes(value, "big"))
                for name, value in zip(_WITHDRAWAL, entry, strict=True)
            }
            for entry in proven.withdrawals
        ]
    return shown


def transaction_json(proven: Block, index: int) -> dict[str, Any]:
    """Return one of the block's transactions as JSON-RPC writes it."""
    transaction = proven.transactions[index]
    shown = transactions.to_json(transaction)
    shown["gasPrice"] = to_hex(transaction.effective_gas_price(proven.header.base_fee_per_gas))
    return shown | place_json(proven, index)


def place_json(proven: Block, index: int) -> dict[str, str]:
    """Return where a transaction is, as JSON-RPC writes it."""
    return {"blockHash": to_hex(proven.header.hash), "blockNumber": to_hex(proven.header.number), "transactionIndex": to_hex(index)}


_INTEGERS = frozenset(
    ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas")  # those of width 0 in header.py
)


def _fetch(rpc: Rpc, block_hash: bytes, *, bodies: bool) -> Any:
    answer = rpc.call("eth_getBlockByHash", to_hex(block_hash), bodies)
    if answer is None:
        raise RpcError(f"the RPC has no block {to_hex(block_hash)}; it may not be synchronised yet")
    return answer


def _checked(answer: object, block_hash: bytes) -> FullHeader:
    full = verify_full_header(answer)
    if full.header.hash != block_hash:
        raise ProofError(f"asked for block {to_hex(block_hash)}, the RPC sent block {to_hex(full.header.hash)}")
    return full


def _check_root(full: FullHeader, name: str, encoded: list[bytes]) -> None:
    root = mpt.trie_root({rlp_strict.encode(index): raw for index, raw in enumerate(encoded)})
    if root != full.fields[name]:
        raise ProofError(f"block {full.header.number}: its contents give the {name} {to_hex(root)}, the header says {to_hex(full.fields[name])}")


def _withdrawal(entry: object) -> list[bytes]:
    numbers = {name: quantity(field(entry, name), name) for name in _WITHDRAWAL if name != "address"}
    written = {name: number.to_bytes((number.bit_length() + 7) // 8, "big") for name, number in numbers.items()}
    written["address"] = data(field(entry, "address"), "withdrawal address", 20)
    return [written[name] for name in _WITHDRAWAL]
