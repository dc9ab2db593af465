"""Light-client objects by the names of the specs, and how each fork writes them.

In memory there is one form, the newest: older objects are upgraded while they are read (`upgrade_lc_*` of the specs' fork documents):
fields that a fork lacked are zero, shorter branches have zero hashes in front.
"""

from dataclasses import dataclass
from functools import cache, cached_property

from wattseal.gateway.consensus.merkle import ZERO, depth_of
from wattseal.gateway.consensus.networks import ELECTRA_GINDICES, EXECUTION_PAYLOAD_GINDEX, Fork, Preset, gindices
from wattseal.gateway.consensus.ssz import Bitvector, Branch, ByteList, ByteVector, Container, Optional, Type, Uint, Vector


@dataclass(frozen=True, slots=True)
class BeaconBlockHeader:
    """A beacon block without its body."""

    slot: int = 0
    proposer_index: int = 0
    parent_root: bytes = ZERO
    state_root: bytes = ZERO
    body_root: bytes = ZERO


@dataclass(frozen=True, slots=True)
class ExecutionPayloadHeader:
    """The execution block of a beacon block; lists as roots. Gas, fee in wei, time in UTC seconds."""

    parent_hash: bytes = ZERO
    fee_recipient: bytes = bytes(20)
    state_root: bytes = ZERO
    receipts_root: bytes = ZERO
    logs_bloom: bytes = bytes(256)
    prev_randao: bytes = ZERO
    block_number: int = 0
    gas_limit: int = 0
    gas_used: int = 0
    timestamp: int = 0
    extra_data: bytes = b""
    base_fee_per_gas: int = 0
    block_hash: bytes = ZERO
    transactions_root: bytes = ZERO
    withdrawals_root: bytes = ZERO
    blob_gas_used: int = 0
    excess_blob_gas: int = 0


@dataclass(frozen=True, slots=True)
class LightClientHeader:
    """A beacon header with the execution header in its body and the branch that proves it (Capella)."""

    beacon: BeaconBlockHeader = BeaconBlockHeader()
    execution: ExecutionPayloadHeader = ExecutionPayloadHeader()
    execution_branch: tuple[bytes, ...] = (ZERO,) * depth_of(EXECUTION_PAYLOAD_GINDEX)


@dataclass(frozen=True, slots=True)
class SyncCommittee:
    """Compressed BLS keys; without keys it is the one that is not known (`SyncCommittee()` of the specs)."""

    pubkeys: tuple[bytes, ...] = ()
    aggregate_pubkey: bytes = bytes(48)


@dataclass(frozen=True, slots=True)
class SyncAggregate:
    """Who of the committee signed, and the aggregate of their signatures."""

    sync_committee_bits: tuple[bool, ...]
    sync_committee_signature: bytes


@dataclass(frozen=True, slots=True)
class LightClientBootstrap:
    """A header and the committee of its period."""

    header: LightClientHeader
    current_sync_committee: SyncCommittee
    current_sync_committee_branch: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LightClientUpdate:
    """An attested header, what its state says, and the committee's signature. Absent parts are zero."""

    attested_header: LightClientHeader
    sync_aggregate: SyncAggregate
    signature_slot: int
    next_sync_committee: SyncCommittee = SyncCommittee()
    next_sync_committee_branch: tuple[bytes, ...] = (ZERO,) * depth_of(ELECTRA_GINDICES.next_sync_committee)
    finalized_header: LightClientHeader = LightClientHeader()
    finality_branch: tuple[bytes, ...] = (ZERO,) * depth_of(ELECTRA_GINDICES.finalized_root)


@dataclass(slots=True)
class LightClientStore:
    """What a light client knows."""

    finalized_header: LightClientHeader
    current_sync_committee: SyncCommittee
    next_sync_committee: SyncCommittee
    best_valid_update: LightClientUpdate | None
    optimistic_header: LightClientHeader
    previous_max_active_participants: int
    current_max_active_participants: int


UINT64 = Uint(8)
BYTES32 = ByteVector(32)
BYTES48 = ByteVector(48)

BEACON_BLOCK_HEADER = Container(BeaconBlockHeader, slot=UINT64, proposer_index=UINT64, parent_root=BYTES32, state_root=BYTES32, body_root=BYTES32)
CAPELLA_EXECUTION = Container(
    ExecutionPayloadHeader,
    parent_hash=BYTES32,
    fee_recipient=ByteVector(20),
    state_root=BYTES32,
    receipts_root=BYTES32,
    logs_bloom=ByteVector(256),
    prev_randao=BYTES32,
    block_number=UINT64,
    gas_limit=UINT64,
    gas_used=UINT64,
    timestamp=UINT64,
    extra_data=ByteList(32),
    base_fee_per_gas=Uint(32),
    block_hash=BYTES32,
    transactions_root=BYTES32,
    withdrawals_root=BYTES32,
)
DENEB_EXECUTION = Container(ExecutionPayloadHeader, **CAPELLA_EXECUTION.fields, blob_gas_used=UINT64, excess_blob_gas=UINT64)


class _AltairHeader(Container):
    """Until 2023 nodes wrote light-client headers, then without execution part, as the beacon header itself."""

    def from_json(self, value: object) -> LightClientHeader:
        flat = isinstance(value, dict) and "beacon" not in value
        header: LightClientHeader = super().from_json({"beacon": value} if flat else value)
        return header


class _SyncCommitteeType(Container):
    """The one that is not known is all zero bytes on the wire."""

    def __init__(self, size: int) -> None:
        super().__init__(_committee, pubkeys=Vector(BYTES48, size), aggregate_pubkey=BYTES48)
        self._unknown = bytes(48 * (size + 1))
        self._zero = SyncCommittee((bytes(48),) * size)

    def encode(self, value: SyncCommittee) -> bytes:
        return super().encode(value) if value.pubkeys else self._unknown

    def root(self, value: SyncCommittee) -> bytes:
        return super().root(value if value.pubkeys else self._zero)

    def to_json(self, value: SyncCommittee) -> dict[str, object]:
        return super().to_json(value if value.pubkeys else self._zero)


def _committee(pubkeys: tuple[bytes, ...], aggregate_pubkey: bytes) -> SyncCommittee:
    if any(aggregate_pubkey) or any(map(any, pubkeys)):
        return SyncCommittee(pubkeys, aggregate_pubkey)
    return SyncCommittee()


class Schema:
    """The SSZ types of one preset and fork."""

    def __init__(self, preset: Preset, fork: Fork) -> None:
        """Use `schema`, which keeps them."""
        depth = {name: depth_of(getattr(gindices(fork), name)) for name in ("finalized_root", "current_sync_committee", "next_sync_committee")}
        kept = {name: depth_of(getattr(ELECTRA_GINDICES, name)) for name in depth}
        header: dict[str, Type] = {"beacon": BEACON_BLOCK_HEADER}
        header_type = Container if fork >= Fork.CAPELLA else _AltairHeader
        if fork >= Fork.CAPELLA:
            execution_depth = depth_of(EXECUTION_PAYLOAD_GINDEX)
            header["execution"] = DENEB_EXECUTION if fork >= Fork.DENEB else CAPELLA_EXECUTION
            header["execution_branch"] = Branch(execution_depth, execution_depth)
        self.header = header_type(LightClientHeader, **header)
        self.sync_committee = _SyncCommitteeType(preset.sync_committee_size)
        self.sync_aggregate = Container(
            SyncAggregate, sync_committee_bits=Bitvector(preset.sync_committee_size), sync_committee_signature=ByteVector(96)
        )
        self.bootstrap = Container(
            LightClientBootstrap,
            header=self.header,
            current_sync_committee=self.sync_committee,
            current_sync_committee_branch=Branch(depth["current_sync_committee"], kept["current_sync_committee"]),
        )
        signed = {"sync_aggregate": self.sync_aggregate, "signature_slot": UINT64}
        finality = {"finalized_header": self.header, "finality_branch": Branch(depth["finalized_root"], kept["finalized_root"])}
        committee = {
            "next_sync_committee": self.sync_committee,
            "next_sync_committee_branch": Branch(depth["next_sync_committee"], kept["next_sync_committee"]),
        }
        self.update = Container(LightClientUpdate, attested_header=self.header, **committee, **finality, **signed)
        self.finality_update = Container(LightClientUpdate, attested_header=self.header, **finality, **signed)
        self.optimistic_update = Container(LightClientUpdate, attested_header=self.header, **signed)

    @cached_property
    def store(self) -> Container:
        """The store as this project keeps it on disk."""
        return Container(
            LightClientStore,
            finalized_header=self.header,
            current_sync_committee=self.sync_committee,
            next_sync_committee=self.sync_committee,
            best_valid_update=Optional(self.update),
            optimistic_header=self.header,
            previous_max_active_participants=UINT64,
            current_max_active_participants=UINT64,
        )


@cache
def schema(preset: Preset, fork: Fork) -> Schema:
    """Return the SSZ types of a preset and fork."""
    return Schema(preset, fork)
