"""Execution headers: the hash is recomputed from the fields, and where the hash itself comes from is said."""

from dataclasses import dataclass
from typing import Protocol

from eth_hash.auto import keccak

from wattseal.errors import ProofError, RpcError
from wattseal.gateway import rlp_strict
from wattseal.gateway.rpc import Rpc, data, field, quantity, to_hex
from wattseal.gateway.types import Header

# The header's fields in RLP order with their width in bytes (None: any, 0: an integer), by the fork that added them.
LONDON = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", 0),
    ("number", 0),
    ("gasLimit", 0),
    ("gasUsed", 0),
    ("timestamp", 0),
    ("extraData", None),
    ("mixHash", 32),
    ("nonce", 8),
    ("baseFeePerGas", 0),
)
SHANGHAI = (*LONDON, ("withdrawalsRoot", 32))
CANCUN = (*SHANGHAI, ("blobGasUsed", 0), ("excessBlobGas", 0), ("parentBeaconBlockRoot", 32))
PRAGUE = (*CANCUN, ("requestsHash", 32))  # Osaka adds none


@dataclass(frozen=True, slots=True)
class FullHeader:
    """A header whose hash was recomputed, with all of its fields: `fields` in RLP order, by their JSON-RPC names, integers without zeros in front."""

    header: Header
    fields: dict[str, bytes]

    def number_of(self, name: str) -> int:
        """Return a field that is an integer."""
        return int.from_bytes(self.fields[name], "big")

    @property
    def rlp_fields(self) -> list[bytes]:
        """The header as a block's RLP holds it."""
        return list(self.fields.values())


def verify_header(block: object) -> Header:
    """Recompute the hash of a block as eth_getBlockBy... returns it (London to Osaka) and return its header.

    Raises ProofError when the fields do not give the hash, which is also what a header of a later fork does.
    """
    return verify_full_header(block).header


def verify_full_header(block: object) -> FullHeader:
    """Do what `verify_header` does; return every field. Raises ProofError."""
    claimed = data(field(block, "hash"), "hash", 32)
    if not isinstance(block, dict):
        raise ProofError("the RPC's block is no object")
    names = next((fork for fork in (PRAGUE, CANCUN, SHANGHAI) if block.get(fork[-1][0]) is not None), LONDON)
    values = {name: _read(block, name, width) for name, width in names}
    computed = keccak(rlp_strict.encode(list(values.values())))
    if computed != claimed:
        number = int.from_bytes(values["number"])
        raise ProofError(
            f"block {number}: the fields hash to {to_hex(computed)}, not to the claimed {to_hex(claimed)}; or the block is of a fork after Osaka"
        )
    header = Header(
        number=int.from_bytes(values["number"]),
        hash=computed,
        timestamp=int.from_bytes(values["timestamp"]),
        state_root=values["stateRoot"],
        receipts_root=values["receiptsRoot"],
        base_fee_per_gas=int.from_bytes(values["baseFeePerGas"]),
    )
    return FullHeader(header, values)


def _read(block: object, name: str, width: int | None) -> bytes:
    value = field(block, name)
    if width == 0:
        number = quantity(value, name)
        return number.to_bytes((number.bit_length() + 7) // 8)
    return data(value, name, width)


class HeaderSource(Protocol):
    """Where canonical headers come from. `basis` says in words what their being canonical rests on."""

    basis: str

    def latest(self) -> Header:
        """Return the newest header. Raises GatewayError."""
        ...

    def by_number(self, number: int) -> Header:
        """Return the canonical header of that number. Raises GatewayError."""
        ...


class TrustedRpcHeaders:
    """Headers whose fields and hash agree, but whose place in the chain is the RPC's word."""

    basis = "header taken on trust from the RPC"

    def __init__(self, rpc: Rpc, chain_id: int) -> None:
        """`chain_id` is compared with the RPC's at the first use."""
        self._rpc = rpc
        self._chain_id = chain_id
        self._checked = False

    def latest(self) -> Header:
        """Return the RPC's newest header. Raises RpcError, ProofError."""
        return self._block("latest")

    def by_number(self, number: int) -> Header:
        """Return the RPC's header of that number. Raises RpcError, ProofError."""
        header = self._block(to_hex(number))
        if header.number != number:
            raise ProofError(f"asked for block {number}, the RPC sent block {header.number}")
        return header

    def _block(self, tag: str) -> Header:
        if not self._checked:
            chain_id = quantity(self._rpc.call("eth_chainId"), "chain id")
            if chain_id != self._chain_id:
                raise RpcError(f"the RPC at {self._rpc.server} serves chain {chain_id}, not {self._chain_id}; set the right address or chain id")
            self._checked = True
        block = self._rpc.call("eth_getBlockByNumber", tag, False)
        if block is None:
            raise RpcError(f"the RPC has no block {tag}; it may not be synchronised yet")
        return verify_header(block)
