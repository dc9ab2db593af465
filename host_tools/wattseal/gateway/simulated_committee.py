"""A simulated sync committee for development and tests: it signs whatever it is told to, so its word is worth nothing on a real chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import sha256

from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from wattseal.gateway.consensus.bls import DST
from wattseal.gateway.consensus.containers import (
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
)
from wattseal.gateway.consensus.merkle import ZERO, sha
from wattseal.gateway.consensus.networks import EXECUTION_PAYLOAD_GINDEX, Fork, Network, gindices
from wattseal.gateway.consensus.sync_protocol import block_root, committee_root, get_lc_execution_root, signing_root


@dataclass(frozen=True, slots=True)
class SimulatedCommittee:
    """The secret keys of one period's committee."""

    secrets: tuple[Scalar, ...]
    public: SyncCommittee

    def sign(self, message: bytes, bits: Sequence[bool]) -> bytes:
        """Return the aggregate signature of those whose bit is set."""
        secret = Scalar.from_be_bytes_mod_order(bytes(32))
        for key, bit in zip(self.secrets, bits, strict=True):
            if bit:
                secret = secret + key
        return bytes((G2Point.hash_to_curve(message, DST) * secret).to_compressed_bytes())


@lru_cache(maxsize=16)
def simulated_committee(seed: bytes, period: int, size: int) -> SimulatedCommittee:
    """Return a period's committee; the same seed gives the same keys."""
    secrets = tuple(Scalar.from_be_bytes_mod_order(sha256(seed + period.to_bytes(8) + place.to_bytes(2)).digest()) for place in range(size))
    points = [G1Point() * secret for secret in secrets]
    total = G1Point.identity()
    for point in points:
        total = total + point
    keys = tuple(bytes(point.to_compressed_bytes()) for point in points)
    return SimulatedCommittee(secrets, SyncCommittee(keys, bytes(total.to_compressed_bytes())))


class _SparseTree:
    """A Merkle tree of a few leaves at generalised indices; everything else in it is filler."""

    def __init__(self, leaves: Mapping[int, bytes]) -> None:
        self._leaves = leaves
        self._inner = {gindex >> level for gindex in leaves for level in range(1, gindex.bit_length())}

    def node(self, gindex: int) -> bytes:
        if gindex in self._leaves:
            return self._leaves[gindex]
        if gindex in self._inner:
            return sha(self.node(2 * gindex) + self.node(2 * gindex + 1))
        return sha(b"filler" + gindex.to_bytes(8))

    def branch(self, gindex: int) -> tuple[bytes, ...]:
        return tuple(self.node(gindex >> level ^ 1) for level in range(gindex.bit_length() - 1))


@dataclass(frozen=True)
class SimulatedBlock:
    """A beacon block with the part of its state that light clients ask for."""

    header: LightClientHeader
    finalized: LightClientHeader
    current: SimulatedCommittee
    next: SimulatedCommittee
    state: _SparseTree = field(repr=False)

    @cached_property
    def root(self) -> bytes:
        """The block's root."""
        return block_root(self.header.beacon)


class SimulatedChain:
    """Makes signed light-client objects of a network; what its blocks hold is the caller's invention."""

    def __init__(self, network: Network, seed: bytes = b"simulated") -> None:
        """`seed` makes the committees' keys."""
        self.network = network
        self._seed = seed

    def committee(self, period: int) -> SimulatedCommittee:
        """Return the committee of a period."""
        return simulated_committee(self._seed, period, self.network.preset.sync_committee_size)

    def block(
        self,
        slot: int,
        finalized: LightClientHeader | None = None,
        execution: ExecutionPayloadHeader | None = None,
        parent_root: bytes = ZERO,
        next_committee: SimulatedCommittee | None = None,
    ) -> SimulatedBlock:
        """Return a block whose state says that `finalized` is final (None: nothing yet); `execution` counts from Capella on."""
        network, fork = self.network, self.network.fork(slot)
        current = self.committee(network.period(slot))
        following = self.committee(network.period(slot) + 1) if next_committee is None else next_committee
        places = gindices(fork)
        state = _SparseTree(
            {
                places.finalized_root: ZERO if finalized is None else block_root(finalized.beacon),
                places.current_sync_committee: committee_root(network, current.public),
                places.next_sync_committee: committee_root(network, following.public),
            }
        )
        header = LightClientHeader(BeaconBlockHeader(slot, slot % 7, parent_root, state.node(1), sha(b"body" + slot.to_bytes(8))))
        if fork >= Fork.CAPELLA:
            header = replace(header, execution=execution if execution is not None else _invented_execution(slot, fork))
            body = _SparseTree({EXECUTION_PAYLOAD_GINDEX: get_lc_execution_root(network, header)})
            header = replace(header, beacon=replace(header.beacon, body_root=body.node(1)), execution_branch=body.branch(EXECUTION_PAYLOAD_GINDEX))
        return SimulatedBlock(header, LightClientHeader() if finalized is None else finalized, current, following, state)

    def bootstrap(self, block: SimulatedBlock) -> LightClientBootstrap:
        """Return the bootstrap at a block."""
        place = gindices(self.network.fork(block.header.beacon.slot)).current_sync_committee
        return LightClientBootstrap(block.header, block.current.public, _padded(block.state.branch(place), 6))

    def update(
        self,
        attested: SimulatedBlock,
        signature_slot: int | None = None,
        bits: Sequence[bool] | None = None,
        signers: SimulatedCommittee | None = None,
        parts: str = "committee finality",
    ) -> LightClientUpdate:
        """Return a signed update about `attested`.

        By default the whole committee of the signature's slot signs in the next slot. `parts` names what it brings: "committee", "finality".
        """
        network, header = self.network, attested.header
        signature_slot = header.beacon.slot + 1 if signature_slot is None else signature_slot
        signers = self.committee(network.period(signature_slot)) if signers is None else signers
        bits = (True,) * len(signers.secrets) if bits is None else tuple(bits)
        signature = signers.sign(signing_root(network, header.beacon, signature_slot), bits)
        update = LightClientUpdate(header, SyncAggregate(bits, signature), signature_slot)
        places = gindices(network.fork(header.beacon.slot))
        if "committee" in parts:
            branch = _padded(attested.state.branch(places.next_sync_committee), 6)
            update = replace(update, next_sync_committee=attested.next.public, next_sync_committee_branch=branch)
        if "finality" in parts:
            branch = _padded(attested.state.branch(places.finalized_root), 7)
            update = replace(update, finalized_header=attested.finalized, finality_branch=branch)
        return update


def _padded(branch: tuple[bytes, ...], depth: int) -> tuple[bytes, ...]:
    return (ZERO,) * (depth - len(branch)) + branch


def _invented_execution(slot: int, fork: Fork) -> ExecutionPayloadHeader:
    blobs = slot if fork >= Fork.DENEB else 0
    return ExecutionPayloadHeader(
        parent_hash=sha(b"execution" + (slot - 1).to_bytes(8, signed=True)),
        state_root=sha(b"state" + slot.to_bytes(8)),
        receipts_root=sha(b"receipts" + slot.to_bytes(8)),
        block_number=slot,
        timestamp=12 * slot,
        extra_data=b"simulated",
        base_fee_per_gas=10**9,
        block_hash=sha(b"execution" + slot.to_bytes(8, signed=True)),
        blob_gas_used=blobs,
        excess_blob_gas=blobs,
    )
