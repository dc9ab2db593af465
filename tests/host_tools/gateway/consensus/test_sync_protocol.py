"""What a store does with little participation, stalls, rollovers and contradictions; on a simulated committee of 32."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
from wattseal.errors import BadUpdate, UpdateNotUsable
from wattseal.gateway.consensus.containers import SyncCommittee
from wattseal.gateway.consensus.networks import MINIMAL_PRESET, Fork, Network
from wattseal.gateway.consensus.sync_protocol import (
    initialize_light_client_store,
    is_better_update,
    is_next_sync_committee_known,
    process_light_client_store_force_update,
    process_light_client_update,
)
from wattseal.gateway.simulated_committee import SimulatedChain

PERIOD = MINIMAL_PRESET.slots_per_period
NETWORK = Network("simulated", MINIMAL_PRESET, 1, 0, 6, b"\x22" * 32, tuple((fork, 0, bytes([fork, 0, 0, 1])) for fork in Fork))
CHAIN = SimulatedChain(NETWORK)


@pytest.fixture
def store():
    block = CHAIN.block(16)
    return initialize_light_client_store(NETWORK, block.root, CHAIN.bootstrap(block))


def signed_by(count):
    return [place < count for place in range(32)]


def update(slot, back=16, **options):
    return CHAIN.update(CHAIN.block(slot, finalized=CHAIN.block(slot - back).header), **options)


def process(store, update, current_slot=None):
    process_light_client_update(NETWORK, store, update, update.signature_slot if current_slot is None else current_slot)


def slots(store):
    return store.finalized_header.beacon.slot, store.optimistic_header.beacon.slot


def test_a_checkpoint_is_one_block():
    block, other = CHAIN.block(16), CHAIN.block(16, parent_root=b"\1" * 32)
    with pytest.raises(BadUpdate, match="not the trusted"):
        initialize_light_client_store(NETWORK, block.root, CHAIN.bootstrap(other))
    foreign = replace(CHAIN.bootstrap(block), current_sync_committee=CHAIN.committee(1).public)
    with pytest.raises(BadUpdate, match="not in the block's state"):
        initialize_light_client_store(NETWORK, block.root, foreign)
    stuffed = replace(block.header, execution=replace(block.header.execution, block_number=17))
    with pytest.raises(BadUpdate, match="not the block's"):
        initialize_light_client_store(NETWORK, block.root, replace(CHAIN.bootstrap(block), header=stuffed))


@pytest.mark.parametrize(("count", "finalized"), [(1, 16), (21, 16), (22, 24), (32, 24)])
def test_two_thirds_make_final(store, count, finalized):
    process(store, update(40, bits=signed_by(count)))
    assert store.finalized_header.beacon.slot == finalized
    assert (store.best_valid_update is None) == (finalized == 24)
    assert is_next_sync_committee_known(store) == (finalized == 24)


def test_nobody_signed(store):
    before = copy.copy(store)
    with pytest.raises(BadUpdate, match="nobody"):
        process(store, update(40, bits=signed_by(0)))
    assert store == before


def test_the_optimistic_header_wants_more_than_half_of_the_most_seen(store):
    process(store, update(40))
    process(store, update(42, bits=signed_by(16), parts=""))
    assert slots(store) == (24, 40)
    process(store, update(42, bits=signed_by(17), parts=""))
    assert slots(store) == (24, 42)


def test_slots_in_order(store):
    with pytest.raises(BadUpdate, match="order"):  # nobody signs a block in its own slot
        process(store, update(40, signature_slot=40))
    with pytest.raises(BadUpdate, match="order"):
        process(store, CHAIN.update(CHAIN.block(40, finalized=CHAIN.block(41).header)), 50)
    process(store, update(40, back=0, parts="committee"))
    process(store, update(48))
    with pytest.raises(UpdateNotUsable, match="final already"):
        process(store, update(32))
    process(store, update(33, parts=""))
    assert slots(store) == (32, 48)


@pytest.mark.parametrize("wrong", ["signature", "bits", "committee", "next committee", "genesis", "fork"])
def test_a_signature_by_somebody_else(store, wrong):
    good = update(40)
    aggregate = good.sync_aggregate
    if wrong == "signature":
        bad = replace(good, sync_aggregate=replace(aggregate, sync_committee_signature=update(41).sync_aggregate.sync_committee_signature))
    elif wrong == "bits":
        bad = replace(good, sync_aggregate=replace(aggregate, sync_committee_bits=tuple(signed_by(31))))
    elif wrong == "committee":
        bad = update(40, signers=SimulatedChain(NETWORK, b"another").committee(0))
    elif wrong == "next committee":
        bad = update(40, signers=CHAIN.committee(1))
    else:
        changes = {"genesis": {"genesis_validators_root": bytes(32)}, "fork": {"forks": NETWORK.forks[:-1]}}
        foreign = SimulatedChain(replace(NETWORK, **changes[wrong]))
        bad = foreign.update(foreign.block(40, finalized=foreign.block(24).header))
    with pytest.raises(BadUpdate, match="signature"):
        process(store, bad)


@pytest.mark.parametrize(
    "signature", [bytes(96), b"\xc0" + bytes(95), b"\xff" * 96, b"\x80" + bytes(94) + b"\2"], ids=["zeros", "infinity", "ones", "no subgroup"]
)
def test_a_signature_that_is_no_point_of_the_group(store, signature):
    good = update(40)
    with pytest.raises(BadUpdate, match="signature"):
        process(store, replace(good, sync_aggregate=replace(good.sync_aggregate, sync_committee_signature=signature)))


def test_a_committee_with_a_key_at_infinity(store):
    """Its sum, and so a signature of the others, would be right: the key itself must be refused."""
    committee = CHAIN.committee(0)
    store.current_sync_committee = SyncCommittee((b"\xc0" + bytes(47), *committee.public.pubkeys[1:]), committee.public.aggregate_pubkey)
    with pytest.raises(BadUpdate, match="signature"):
        process(store, update(40, bits=[place > 0 for place in range(32)]))


def test_rollover(store):
    process(store, update(40))
    process(store, update(PERIOD + 8, parts="finality"))  # signed by the new committee, final in the old period
    assert store.current_sync_committee == CHAIN.committee(0).public
    process(store, update(PERIOD + 24))
    assert store.current_sync_committee == CHAIN.committee(1).public
    assert store.next_sync_committee == CHAIN.committee(2).public
    assert (store.previous_max_active_participants, store.current_max_active_participants) == (32, 0)
    with pytest.raises(BadUpdate, match="signature"):
        process(store, update(PERIOD + 32, signers=CHAIN.committee(0)))
    with pytest.raises(UpdateNotUsable, match="period"):
        process(store, update(3 * PERIOD + 24))


def test_rollover_without_the_committee_after(store):
    process(store, update(40))
    process(store, update(PERIOD + 24, parts="finality"))
    assert store.current_sync_committee == CHAIN.committee(1).public
    assert not is_next_sync_committee_known(store)
    with pytest.raises(UpdateNotUsable, match="does not know"):
        process(store, update(2 * PERIOD + 8))
    process(store, update(PERIOD + 32))
    assert store.next_sync_committee == CHAIN.committee(2).public


def test_the_next_committee_may_come_with_older_data(store):
    process(store, update(10, back=8))
    assert slots(store) == (16, 16)
    assert store.next_sync_committee == CHAIN.committee(1).public


def test_two_next_committees(store):
    process(store, update(40))
    other = CHAIN.block(48, finalized=CHAIN.block(32).header, next_committee=SimulatedChain(NETWORK, b"another").committee(1))
    with pytest.raises(BadUpdate, match="another than the one already known"):
        process(store, CHAIN.update(other))


def test_two_final_blocks_of_one_slot(store):
    """A committee that signs both shows itself dishonest; the first that was seen stays."""
    process(store, update(40))
    before = copy.copy(store)
    other = CHAIN.block(24, parent_root=b"\7" * 32)
    process(store, CHAIN.update(CHAIN.block(42, finalized=other.header, parent_root=b"\7" * 32)))
    assert store.finalized_header == before.finalized_header
    assert store.next_sync_committee == before.next_sync_committee


@pytest.mark.parametrize("parts", ["committee", "finality", ""])
def test_a_part_without_its_proof(store, parts):
    whole, some = update(40), update(40, parts=parts)
    stuffed = replace(some, next_sync_committee=whole.next_sync_committee, finalized_header=whole.finalized_header)
    with pytest.raises(BadUpdate, match="without its branch"):
        process(store, stuffed)


def test_before_anything_is_final(store):
    genesis = CHAIN.block(0)
    young = initialize_light_client_store(NETWORK, genesis.root, CHAIN.bootstrap(genesis))
    process(young, CHAIN.update(CHAIN.block(5)))
    assert slots(young) == (0, 5)
    stuffed = replace(CHAIN.update(CHAIN.block(6)), finalized_header=genesis.header)
    with pytest.raises(BadUpdate, match="genesis"):
        process(young, stuffed)


def test_force_update(store):
    assert not process_light_client_store_force_update(NETWORK, store, 10 * PERIOD)  # nothing was seen
    process(store, update(40, bits=signed_by(20)))
    assert not process_light_client_store_force_update(NETWORK, store, 16 + PERIOD)
    assert process_light_client_store_force_update(NETWORK, store, 17 + PERIOD)
    assert slots(store) == (24, 40)
    assert store.next_sync_committee == CHAIN.committee(1).public
    process(store, CHAIN.update(CHAIN.block(50, finalized=CHAIN.block(20).header)))  # nothing newer is final
    assert process_light_client_store_force_update(NETWORK, store, 25 + PERIOD)
    assert slots(store) == (50, 50)


def test_a_better_update_is_kept(store):
    """From worst to best, in the order of the specs' rules."""
    final_before = CHAIN.block(PERIOD - 8).header
    ranking = [
        update(40, bits=signed_by(1)),
        update(40, bits=signed_by(21)),
        update(41, bits=signed_by(32), parts=""),
        update(PERIOD - 1, signature_slot=PERIOD, bits=signed_by(32)),  # the committee of a period that is over
        update(40, bits=signed_by(32), parts="committee"),
        CHAIN.update(CHAIN.block(PERIOD + 5, finalized=final_before), bits=signed_by(22)),  # final in the period before
        update(40, bits=signed_by(22)),
        update(40, bits=signed_by(30)),
        update(43, signature_slot=46),
        update(43, signature_slot=45),
        update(42, signature_slot=44),
    ]
    for worse, better in pairwise(ranking):
        assert is_better_update(NETWORK, better, worse)
        assert not is_better_update(NETWORK, worse, better)
    assert not is_better_update(NETWORK, ranking[0], ranking[0])
    for signed in (5, 12, 9):
        process(store, update(40, bits=signed_by(signed)))
    assert store.best_valid_update == update(40, bits=signed_by(12))
