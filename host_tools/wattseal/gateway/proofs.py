"""Accounts, storage slots and receipts, each proven against a header."""

from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from wattseal.errors import ProofError, RpcError
from wattseal.gateway import mpt, rlp_strict
from wattseal.gateway.rlp_strict import Writable
from wattseal.gateway.rpc import Rpc, data, elements, field, quantity, to_hex
from wattseal.gateway.types import Header


@dataclass(frozen=True, slots=True)
class Account:
    """What the state trie holds for an address. `balance` in wei."""

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """An event as a receipt holds it."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """A proven receipt. `gas_used` follows from the block's cumulative figures; `tx_hash` alone is the RPC's word (a receipt holds none)."""

    tx_hash: bytes
    succeeded: bool
    gas_used: int
    logs: tuple[Log, ...]
    cumulative_gas_used: int
    bloom: bytes


@dataclass(frozen=True, slots=True)
class SlotProof:
    """A storage slot's value and the nodes that prove it."""

    value: int
    nodes: list[bytes]


@dataclass(frozen=True, slots=True)
class StateProof:
    """An account (None when proven absent) and some of its slots, each with the nodes that prove it."""

    account: Account | None
    nodes: list[bytes]
    slots: list[SlotProof]


def account(rpc: Rpc, header: Header, address: bytes) -> Account | None:
    """Return the account at `address` (20 bytes) after `header`'s block, None when proven absent. Raises RpcError, ProofError."""
    nodes = [data(node, "accountProof") for node in elements(_get_proof(rpc, header, address, []), "accountProof")]
    return _account(nodes, header, address)


def storage(rpc: Rpc, header: Header, address: bytes, slots: list[int]) -> list[int]:
    """Return the values of storage `slots` after `header`'s block, 0 where they are empty or nothing is there. Raises RpcError, ProofError."""
    return [slot.value for slot in state(rpc, header, address, slots).slots]


def state(rpc: Rpc, header: Header, address: bytes, slots: list[int]) -> StateProof:
    """Return the account at `address` and its storage `slots` with their proofs. Raises RpcError, ProofError."""
    answer = _get_proof(rpc, header, address, slots)
    nodes = [data(node, "accountProof") for node in elements(answer, "accountProof")]
    account = _account(nodes, header, address)
    if account is None:
        return StateProof(None, nodes, [SlotProof(0, [])] * len(slots))
    entries = elements(answer, "storageProof")
    if len(entries) != len(slots):
        raise ProofError(f"asked for {len(slots)} storage proofs, the RPC sent {len(entries)}")
    return StateProof(account, nodes, [_slot(entry, account.storage_root, slot) for entry, slot in zip(entries, slots, strict=True)])


def block_receipts(rpc: Rpc, header: Header) -> list[TransactionReceipt]:
    """Return all receipts of `header`'s block, whose trie was rebuilt to the header's root. Raises RpcError, ProofError."""
    answers = rpc.call("eth_getBlockReceipts", to_hex(header.hash))
    if answers is None:
        raise RpcError(f"the RPC has no receipts of block {header.number}, {to_hex(header.hash)}; it may not be synchronised yet")
    if not isinstance(answers, list):
        raise ProofError(f"the RPC's receipts of block {header.number} are no array")
    receipts = []
    items = {}
    gas_before = 0
    for index, answer in enumerate(answers):
        receipt = _receipt(answer, gas_before)
        items[rlp_strict.encode(index)] = _encode_receipt(quantity(field(answer, "type"), "type"), receipt)
        receipts.append(receipt)
        gas_before = receipt.cumulative_gas_used
    root = mpt.trie_root(items)
    if root != header.receipts_root:
        raise ProofError(f"block {header.number}: the receipts give the root {to_hex(root)}, the header says {to_hex(header.receipts_root)}")
    return receipts


def _get_proof(rpc: Rpc, header: Header, address: bytes, slots: list[int]) -> Any:
    return rpc.call("eth_getProof", to_hex(address), [to_hex(slot.to_bytes(32)) for slot in slots], {"blockHash": to_hex(header.hash)})


def _account(nodes: list[bytes], header: Header, address: bytes) -> Account | None:
    leaf = mpt.prove(header.state_root, keccak(address), nodes)
    if leaf is None:
        return None
    match rlp_strict.decode(leaf):
        case [bytes() as nonce, bytes() as balance, bytes() as storage_root, bytes() as code_hash] if len(storage_root) == len(code_hash) == 32:
            return Account(int.from_bytes(nonce), int.from_bytes(balance), storage_root, code_hash)
    raise ProofError(f"the state trie holds no account at {to_hex(address)}")


def _slot(entry: object, storage_root: bytes, slot: int) -> SlotProof:
    nodes = [data(node, "storageProof") for node in elements(entry, "proof")]
    leaf = mpt.prove(storage_root, keccak(slot.to_bytes(32)), nodes)
    item = b"" if leaf is None else rlp_strict.decode(leaf)
    if not isinstance(item, bytes) or len(item) > 32:
        raise ProofError(f"the storage trie holds no word at slot {slot:#x}")
    value = int.from_bytes(item)
    claimed = quantity(field(entry, "value"), "storage value")
    if claimed != value:
        raise ProofError(f"slot {slot:#x} is proven to be {value:#x}, but the RPC says {claimed:#x}")
    return SlotProof(value, nodes)


def _log(answer: object) -> Log:
    topics = tuple(data(topic, "topic", 32) for topic in elements(answer, "topics"))
    return Log(data(field(answer, "address"), "log address", 20), topics, data(field(answer, "data"), "log data"))


def _receipt(answer: object, gas_before: int) -> TransactionReceipt:
    gas = quantity(field(answer, "cumulativeGasUsed"), "cumulativeGasUsed")
    status = quantity(field(answer, "status"), "status")
    return TransactionReceipt(
        tx_hash=data(field(answer, "transactionHash"), "transactionHash", 32),
        succeeded=status == 1,
        gas_used=gas - gas_before,
        logs=tuple(_log(log) for log in elements(answer, "logs")),
        cumulative_gas_used=gas,
        bloom=data(field(answer, "logsBloom"), "logsBloom", 256),
    )


def _encode_receipt(kind: int, receipt: TransactionReceipt) -> bytes:
    """Return the consensus encoding (EIP-2718, EIP-658): type byte, then status, cumulative gas, bloom and logs."""
    logs: list[Writable] = [(log.address, log.topics, log.data) for log in receipt.logs]
    body: bytes = rlp_strict.encode([int(receipt.succeeded), receipt.cumulative_gas_used, receipt.bloom, logs])
    return (kind.to_bytes(1) if 0 < kind < 128 else b"") + body
