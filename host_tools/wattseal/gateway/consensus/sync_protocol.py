"""The light-client sync protocol by the names of the specs (specs/altair/light-client/sync-protocol.md and its later forks).

A function that raises has changed nothing. What nobody honest would send raises BadUpdate; what is old, early or of a period out of reach
raises UpdateNotUsable.
"""

from dataclasses import replace

from wattseal.errors import BadUpdate, UpdateNotUsable
from wattseal.gateway.consensus import bls
from wattseal.gateway.consensus.containers import (
    BEACON_BLOCK_HEADER,
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientBootstrap,
    LightClientHeader,
    LightClientStore,
    LightClientUpdate,
    SyncCommittee,
    schema,
)
from wattseal.gateway.consensus.merkle import ZERO, is_valid_normalized_merkle_branch, merkleize, sha
from wattseal.gateway.consensus.networks import DOMAIN_SYNC_COMMITTEE, EXECUTION_PAYLOAD_GINDEX, Fork, Network, gindices

MIN_SYNC_COMMITTEE_PARTICIPANTS = 1
GENESIS_SLOT = 0

_NO_HEADER = LightClientHeader()
_NO_COMMITTEE = SyncCommittee()
_NO_EXECUTION = ExecutionPayloadHeader()


def block_root(header: BeaconBlockHeader) -> bytes:
    """Return a beacon block's root."""
    return BEACON_BLOCK_HEADER.root(header)


def get_lc_execution_root(network: Network, header: LightClientHeader) -> bytes:
    """Return the root of the header's execution part, zero before Capella."""
    fork = network.fork(header.beacon.slot)
    if fork < Fork.CAPELLA:
        return ZERO
    return schema(network.preset, fork).header.fields["execution"].root(header.execution)


def is_valid_light_client_header(network: Network, header: LightClientHeader) -> bool:
    """Say whether the execution part is that of the beacon block's body, and absent before Capella."""
    fork = network.fork(header.beacon.slot)
    if fork < Fork.DENEB and (header.execution.blob_gas_used or header.execution.excess_blob_gas):
        return False
    if fork < Fork.CAPELLA:
        return header.execution == _NO_EXECUTION and header.execution_branch == _NO_HEADER.execution_branch
    root = get_lc_execution_root(network, header)
    return is_valid_normalized_merkle_branch(root, header.execution_branch, EXECUTION_PAYLOAD_GINDEX, header.beacon.body_root)


def participants(update: LightClientUpdate) -> int:
    """Return how many of the committee signed."""
    return sum(update.sync_aggregate.sync_committee_bits)


def has_supermajority(update: LightClientUpdate) -> bool:
    """Say whether two thirds of the committee signed."""
    return participants(update) * 3 >= len(update.sync_aggregate.sync_committee_bits) * 2


def is_sync_committee_update(update: LightClientUpdate) -> bool:
    """Say whether the update brings the next committee."""
    return any(element != ZERO for element in update.next_sync_committee_branch)


def is_finality_update(update: LightClientUpdate) -> bool:
    """Say whether the update brings a finalised header."""
    return any(element != ZERO for element in update.finality_branch)


def is_next_sync_committee_known(store: LightClientStore) -> bool:
    """Say whether the store can verify the period after its own."""
    return store.next_sync_committee != _NO_COMMITTEE


def get_safety_threshold(store: LightClientStore) -> int:
    """Return how many signers an optimistic header must exceed."""
    return max(store.previous_max_active_participants, store.current_max_active_participants) // 2


def is_better_update(network: Network, new: LightClientUpdate, old: LightClientUpdate) -> bool:
    """Say whether `new` is the better one to fall back on: supermajority, its committee, finality, participation, age."""
    new_super, old_super = has_supermajority(new), has_supermajority(old)
    if new_super != old_super:
        return new_super
    if not new_super and participants(new) != participants(old):
        return participants(new) > participants(old)
    return _rank(network, new) < _rank(network, old)


def _rank(network: Network, update: LightClientUpdate) -> tuple[bool, bool, bool, int, int, int]:
    attested = network.period(update.attested_header.beacon.slot)
    finality = is_finality_update(update)
    return (
        not (is_sync_committee_update(update) and attested == network.period(update.signature_slot)),
        not finality,
        not (finality and network.period(update.finalized_header.beacon.slot) == attested),
        -participants(update),
        update.attested_header.beacon.slot,
        update.signature_slot,
    )


def initialize_light_client_store(network: Network, trusted_block_root: bytes, bootstrap: LightClientBootstrap) -> LightClientStore:
    """Return the store that starts at the block of `trusted_block_root`. Raises BadUpdate."""
    header = bootstrap.header
    root = block_root(header.beacon)
    if root != trusted_block_root:
        raise BadUpdate(f"bootstrap: the block has the root 0x{root.hex()}, not the trusted 0x{trusted_block_root.hex()}")
    if not is_valid_light_client_header(network, header):
        raise BadUpdate("bootstrap: the execution header is not the block's")
    if not is_valid_normalized_merkle_branch(
        committee_root(network, bootstrap.current_sync_committee),
        bootstrap.current_sync_committee_branch,
        gindices(network.fork(header.beacon.slot)).current_sync_committee,
        header.beacon.state_root,
    ):
        raise BadUpdate("bootstrap: the sync committee is not in the block's state")
    return LightClientStore(header, bootstrap.current_sync_committee, _NO_COMMITTEE, None, header, 0, 0)


def committee_root(network: Network, committee: SyncCommittee) -> bytes:
    """Return a committee's root; all forks have the same."""
    return schema(network.preset, Fork.ALTAIR).sync_committee.root(committee)


def signing_root(network: Network, attested: BeaconBlockHeader, signature_slot: int) -> bytes:
    """Return what the committee signs: the attested block under the fork of the slot before the signature's."""
    version = network.fork_version(max(signature_slot, 1) - 1)
    fork_data_root = merkleize([version.ljust(32, b"\0"), network.genesis_validators_root], 2)
    return sha(block_root(attested) + DOMAIN_SYNC_COMMITTEE + fork_data_root[:28])


def validate_light_client_update(network: Network, store: LightClientStore, update: LightClientUpdate, current_slot: int) -> None:
    """Check an update against the store. Raises BadUpdate, UpdateNotUsable."""
    _check_slots(network, store, update, current_slot)
    if not is_valid_light_client_header(network, update.attested_header):
        raise BadUpdate("the attested execution header is not the block's")
    _check_finality(network, update)
    _check_next_committee(network, store, update)
    in_store_period = network.period(update.signature_slot) == network.period(store.finalized_header.beacon.slot)
    committee = store.current_sync_committee if in_store_period else store.next_sync_committee
    aggregate = update.sync_aggregate
    message = signing_root(network, update.attested_header.beacon, update.signature_slot)
    if not bls.fast_aggregate_verify(committee.pubkeys, aggregate.sync_committee_bits, message, aggregate.sync_committee_signature):
        raise BadUpdate(
            f"slot {update.attested_header.beacon.slot}: the signature is not that of the {participants(update)} who are said to have signed"
        )


def _check_slots(network: Network, store: LightClientStore, update: LightClientUpdate, current_slot: int) -> None:
    if participants(update) < MIN_SYNC_COMMITTEE_PARTICIPANTS:
        raise BadUpdate("nobody signed")
    attested, finalized = update.attested_header.beacon.slot, update.finalized_header.beacon.slot
    if not update.signature_slot > attested >= finalized:
        raise BadUpdate(f"signed in slot {update.signature_slot}, attested {attested}, finalised {finalized}: not in this order")
    if update.signature_slot > current_slot:
        raise UpdateNotUsable(f"signed in slot {update.signature_slot}, but this clock says slot {current_slot}; is the clock right?")
    store_slot = store.finalized_header.beacon.slot
    store_period, period = network.period(store_slot), network.period(update.signature_slot)
    known = is_next_sync_committee_known(store)
    if period not in ((store_period, store_period + 1) if known else (store_period,)):
        raise UpdateNotUsable(
            f"signed in period {period}; the store is in {store_period} and {'knows' if known else 'does not know'} the next committee"
        )
    brings_next = not known and is_sync_committee_update(update) and network.period(attested) == store_period
    if attested <= store_slot and not brings_next:
        raise UpdateNotUsable(f"attests slot {attested}; slot {store_slot} is final already")


def _check_finality(network: Network, update: LightClientUpdate) -> None:
    finalized = update.finalized_header
    if not is_finality_update(update):
        if finalized != _NO_HEADER:
            raise BadUpdate("a finalised header without its branch")
        return
    root = block_root(finalized.beacon)
    if finalized.beacon.slot == GENESIS_SLOT:
        if finalized != _NO_HEADER:
            raise BadUpdate("a finalised header at genesis must be empty")
        root = ZERO  # the state says so until something is final
    elif not is_valid_light_client_header(network, finalized):
        raise BadUpdate("the finalised execution header is not the block's")
    attested = update.attested_header.beacon
    if not is_valid_normalized_merkle_branch(root, update.finality_branch, gindices(network.fork(attested.slot)).finalized_root, attested.state_root):
        raise BadUpdate("the finalised header is not in the attested state")


def _check_next_committee(network: Network, store: LightClientStore, update: LightClientUpdate) -> None:
    committee = update.next_sync_committee
    if not is_sync_committee_update(update):
        if committee != _NO_COMMITTEE:
            raise BadUpdate("a next sync committee without its branch")
        return
    attested = update.attested_header.beacon
    in_store_period = network.period(attested.slot) == network.period(store.finalized_header.beacon.slot)
    if in_store_period and is_next_sync_committee_known(store) and committee != store.next_sync_committee:
        raise BadUpdate("the next sync committee is another than the one already known")
    if not is_valid_normalized_merkle_branch(
        committee_root(network, committee),
        update.next_sync_committee_branch,
        gindices(network.fork(attested.slot)).next_sync_committee,
        attested.state_root,
    ):
        raise BadUpdate("the next sync committee is not in the attested state")


def apply_light_client_update(network: Network, store: LightClientStore, update: LightClientUpdate) -> None:
    """Move the store to a validated update. Raises UpdateNotUsable for one that skips the period whose next committee is not known."""
    store_period = network.period(store.finalized_header.beacon.slot)
    finalized_period = network.period(update.finalized_header.beacon.slot)
    if not is_next_sync_committee_known(store):
        if finalized_period != store_period:
            raise UpdateNotUsable(f"final in period {finalized_period}; the store is in {store_period} and does not know the next committee")
        store.next_sync_committee = update.next_sync_committee
    elif finalized_period == store_period + 1:
        store.current_sync_committee = store.next_sync_committee
        store.next_sync_committee = update.next_sync_committee
        store.previous_max_active_participants = store.current_max_active_participants
        store.current_max_active_participants = 0
    if update.finalized_header.beacon.slot > store.finalized_header.beacon.slot:
        store.finalized_header = update.finalized_header
        if store.finalized_header.beacon.slot > store.optimistic_header.beacon.slot:
            store.optimistic_header = store.finalized_header


def process_light_client_store_force_update(network: Network, store: LightClientStore, current_slot: int) -> bool:
    """When nothing became final for a whole period, take the best header seen as final; return whether that was done.

    What it takes may be signed by few and is final by nobody's word: for a person to decide.
    """
    finalized = store.finalized_header.beacon.slot
    best = store.best_valid_update
    if best is None or current_slot <= finalized + network.preset.slots_per_period:
        return False
    if best.finalized_header.beacon.slot <= finalized:
        best = replace(best, finalized_header=best.attested_header)
    apply_light_client_update(network, store, best)
    store.best_valid_update = None
    return True


def process_light_client_update(network: Network, store: LightClientStore, update: LightClientUpdate, current_slot: int) -> None:
    """Validate an update of any kind and take from it what it proves. Raises BadUpdate, UpdateNotUsable.

    Finality and optimistic updates are updates whose other parts are zero (`process_light_client_finality_update`, `..._optimistic_update`).
    """
    validate_light_client_update(network, store, update, current_slot)
    if store.best_valid_update is None or is_better_update(network, update, store.best_valid_update):
        store.best_valid_update = update
    signed = participants(update)
    store.current_max_active_participants = max(store.current_max_active_participants, signed)
    attested, finalized = update.attested_header.beacon.slot, update.finalized_header.beacon.slot
    if signed > get_safety_threshold(store) and attested > store.optimistic_header.beacon.slot:
        store.optimistic_header = update.attested_header
    brings_final_next = (
        not is_next_sync_committee_known(store)
        and is_sync_committee_update(update)
        and is_finality_update(update)
        and network.period(finalized) == network.period(attested)
    )
    if has_supermajority(update) and (finalized > store.finalized_header.beacon.slot or brings_final_next):
        apply_light_client_update(network, store, update)
        store.best_valid_update = None
