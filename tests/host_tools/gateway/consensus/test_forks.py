"""Altair to Fulu, over a chain of a simulated committee of 32."""

from dataclasses import replace
from itertools import pairwise

import pytest
from wattseal.errors import BadUpdate, UnsupportedFork, UpdateNotUsable
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.containers import LightClientHeader, SyncCommittee, schema
from wattseal.gateway.consensus.execution import execution_header
from wattseal.gateway.consensus.networks import HOODI, MAINNET, MINIMAL_PRESET, NETWORKS, SEPOLIA, Fork, Network
from wattseal.gateway.consensus.sync_protocol import (
    get_lc_execution_root,
    initialize_light_client_store,
    process_light_client_update,
)
from wattseal.gateway.simulated_committee import SimulatedChain

PERIOD = MINIMAL_PRESET.slots_per_period
FORKS = list(Fork)[1:]


def network(*epochs):
    """A minimal network whose forks from Altair on start at `epochs`."""
    forks = tuple((fork, epoch, bytes([fork, 0, 0, 1])) for fork, epoch in zip(Fork, (0, *epochs), strict=True))
    return Network("simulated", MINIMAL_PRESET, 1, 0, 6, b"\x11" * 32, forks)


def only(fork):
    """A network that is in `fork` from its first slot on."""
    return network(*(0 if fork >= later else 10**9 for later in FORKS))


def over_the_wire(network, kind, value):
    """What a client reads of an object that a node sent, as JSON; the SSZ form must say the same."""
    header = value.header if kind == "bootstrap" else value.attested_header
    fork = network.fork(header.beacon.slot)
    types = getattr(schema(network.preset, fork), kind)
    assert types.decode(types.encode(value)) == value
    return getattr(beacon_json, f"read_{kind}")(network, {"version": fork.name.lower(), "data": types.to_json(value)})


@pytest.fixture(params=FORKS, ids=lambda fork: fork.name.lower())
def fork(request):
    return request.param


@pytest.fixture
def chain(fork):
    return SimulatedChain(only(fork))


def started(chain, slot=16):
    block = chain.block(slot)
    return initialize_light_client_store(chain.network, block.root, over_the_wire(chain.network, "bootstrap", chain.bootstrap(block)))


def feed(chain, store, update, current_slot=None, kind="update"):
    update = over_the_wire(chain.network, kind, update)
    process_light_client_update(chain.network, store, update, update.signature_slot if current_slot is None else current_slot)


def finalizing(chain, slot, back=16, **options):
    """An update at `slot` that makes the block `back` slots earlier final."""
    return chain.update(chain.block(slot, finalized=chain.block(slot - back).header), **options)


def test_one_fork_alone(chain, fork):
    store = started(chain)
    feed(chain, store, finalizing(chain, 40))
    assert (store.finalized_header.beacon.slot, store.optimistic_header.beacon.slot) == (24, 40)
    feed(chain, store, finalizing(chain, 48, parts="finality"), kind="finality_update")
    assert store.finalized_header.beacon.slot == 32
    feed(chain, store, chain.update(chain.block(50), parts=""), kind="optimistic_update")
    assert (store.finalized_header.beacon.slot, store.optimistic_header.beacon.slot) == (32, 50)
    feed(chain, store, finalizing(chain, PERIOD + 40))
    assert store.finalized_header.beacon.slot == PERIOD + 24
    assert store.current_sync_committee == chain.committee(1).public
    assert store.next_sync_committee == chain.committee(2).public
    if fork >= Fork.CAPELLA:
        assert execution_header(chain.network, store.finalized_header).number == PERIOD + 24
    else:
        assert get_lc_execution_root(chain.network, store.finalized_header) == bytes(32)
        with pytest.raises(UpdateNotUsable, match="Capella"):
            execution_header(chain.network, store.finalized_header)


@pytest.mark.parametrize("first_epoch", [8, 10, 13, 15], ids=lambda epoch: f"from epoch {epoch}")
def test_one_store_lives_through_every_fork(first_epoch):
    chain = SimulatedChain(network(0, *(first_epoch + 8 * step for step in range(len(FORKS) - 1))))
    store = started(chain)
    seen = set()
    for slot in range(40, 8 * PERIOD, 8):
        if slot % PERIOD >= 16:
            feed(chain, store, finalizing(chain, slot))
            seen.add((chain.network.fork(slot - 16), chain.network.fork(slot)))
        elif slot % PERIOD == 8:  # the finalised block is of the period before
            feed(chain, store, finalizing(chain, slot, parts="finality"), kind="finality_update")
        raw = schema(MINIMAL_PRESET, Fork.FULU).store.encode(store)
        assert schema(MINIMAL_PRESET, Fork.FULU).store.decode(raw) == store
    assert store.finalized_header.beacon.slot == 8 * PERIOD - 8 - 16
    assert {fork for pair in seen for fork in pair} == set(FORKS)


@pytest.mark.parametrize("later", FORKS[1:], ids=lambda fork: fork.name.lower())
def test_the_fork_of_the_slot_before_the_signature_counts(later):
    chain = SimulatedChain(network(*(0 if fork < later else 4 if fork == later else 10**9 for fork in FORKS)))
    first = 4 * MINIMAL_PRESET.slots_per_epoch
    for signature_slot in (first, first + 1):  # the last block of the fork before, signed in the first slot and one later
        store = started(chain)
        feed(chain, store, finalizing(chain, first - 1, back=8, signature_slot=signature_slot))
    store = started(chain)
    update = finalizing(chain, first - 1, back=8, signature_slot=first)
    with pytest.raises(BadUpdate, match="signature"):
        feed(chain, store, replace(update, signature_slot=first + 1))


@pytest.mark.parametrize("later", [Fork.CAPELLA, Fork.DENEB, Fork.ELECTRA], ids=lambda fork: fork.name.lower())
def test_a_header_keeps_the_form_of_its_own_fork(later):
    """An update of a new fork whose finalised header is of the one before, and what must not be smuggled in it."""
    chain = SimulatedChain(network(*(0 if fork < later else 4 if fork == later else 10**9 for fork in FORKS)))
    update = finalizing(chain, 40)
    assert chain.network.fork(24) == later - 1
    feed(chain, started(chain), update)
    executions = {
        Fork.CAPELLA: {"block_number": 1},
        Fork.DENEB: {"excess_blob_gas": 1},
        Fork.ELECTRA: {"blob_gas_used": 25},
    }
    header = update.finalized_header
    smuggled = replace(header, execution=replace(header.execution, **executions[later]))
    with pytest.raises(BadUpdate, match="finalised execution header"):
        feed(chain, started(chain), replace(update, finalized_header=smuggled))


def test_the_generalised_indices_of_another_fork_are_refused(fork):
    here, there = SimulatedChain(only(fork)), SimulatedChain(only(Fork.DENEB if fork >= Fork.ELECTRA else Fork.ELECTRA))
    update = finalizing(here, 40)
    other = finalizing(there, 40)
    foreign = replace(update, finality_branch=other.finality_branch, next_sync_committee_branch=other.next_sync_committee_branch)
    with pytest.raises(BadUpdate, match="attested state"):
        process_light_client_update(here.network, started(here), foreign, 41)


@pytest.mark.parametrize("part", ["finality_branch", "next_sync_committee_branch"])
def test_what_stands_before_a_shorter_branch_is_zero(fork, part):
    """In memory branches have Electra's depth; an object that did not come over the wire may hold anything there."""
    chain = SimulatedChain(only(fork))
    update = finalizing(chain, 40)
    branch = getattr(update, part)
    with pytest.raises(BadUpdate, match="attested state"):
        process_light_client_update(chain.network, started(chain), replace(update, **{part: (b"\1" * 32, *branch[1:])}), 41)


def test_headers_as_nodes_wrote_them_before_capella(fork):
    chain = SimulatedChain(only(fork))
    update = finalizing(chain, 40)
    data = schema(MINIMAL_PRESET, fork).update.to_json(update)
    flat = data | {name: data[name]["beacon"] for name in ("attested_header", "finalized_header")}
    if fork < Fork.CAPELLA:
        assert beacon_json.read_update(chain.network, {"data": flat}) == update
    else:
        with pytest.raises(BadUpdate, match="attested_header: an object has no beacon"):
            beacon_json.read_update(chain.network, {"data": flat})


def test_labels(fork):
    chain = SimulatedChain(only(fork))
    types = schema(MINIMAL_PRESET, fork)
    data = types.update.to_json(finalizing(chain, 40))
    same_format = ({Fork.ALTAIR, Fork.BELLATRIX}, {Fork.ELECTRA, Fork.FULU})
    for label in FORKS:
        answer = {"version": label.name.lower(), "data": data}
        if label == fork or {label, fork} in same_format:
            beacon_json.read_update(chain.network, answer)
        else:
            with pytest.raises(BadUpdate, match="labelled"):
                beacon_json.read_update(chain.network, answer)
    for label in ("gloas", "heze"):
        with pytest.raises(UnsupportedFork, match=label):
            beacon_json.read_update(chain.network, {"version": label, "data": data})
    with pytest.raises(BadUpdate, match="before Altair"):
        beacon_json.read_update(network(100, *[10**9] * 5), {"data": data})


def test_every_bit_of_a_small_update_counts(chain):
    """One bit in each byte of the SSZ form; the signature's slot alone is the sender's word (the specs: untrusted) and may only be refused."""
    store = started(chain)
    update = finalizing(chain, 40, bits=[place % 8 != 3 for place in range(32)])
    types = schema(MINIMAL_PRESET, chain.network.fork(40)).update
    raw = types.encode(update)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :]
        with pytest.raises((BadUpdate, UpdateNotUsable)):
            process_light_client_update(chain.network, store, types.decode(changed), 41)
    for wrong in [*(raw[:cut] for cut in range(0, len(raw), 7)), raw[:-1], raw + b"\0"]:
        with pytest.raises(BadUpdate):
            process_light_client_update(chain.network, store, types.decode(wrong), 41)
    process_light_client_update(chain.network, store, types.decode(raw), 41)


# -- the tables -----------------------------------------------------------------------------------------------------------------------


def test_networks():
    for known in NETWORKS.values():
        assert [entry[0] for entry in known.forks] == list(Fork)
        assert all(earlier[1] <= later[1] for earlier, later in pairwise(known.forks))
        assert len({version for _, _, version in known.forks}) == len(Fork)
    # first slots of forks, from the networks' metadata; block times from the announcements
    assert MAINNET.fork(269568 * 32 - 1) == Fork.CAPELLA
    assert MAINNET.fork(269568 * 32) == Fork.DENEB
    assert MAINNET.time_of(269568 * 32) == 1710338135  # 13 March 2024, 13:55:35 UTC
    assert MAINNET.time_of(364032 * 32) == 1746612311  # 7 May 2025, 10:05:11 UTC
    assert MAINNET.time_of(411392 * 32) == 1764798551  # 3 December 2025, 21:49:11 UTC
    assert SEPOLIA.time_of(132608 * 32) == 1706655072  # 30 January 2024, 22:51:12 UTC
    assert SEPOLIA.time_of(222464 * 32) == 1741159776  # 5 March 2025, 07:29:36 UTC
    assert HOODI.fork_version(0) == bytes.fromhex("50000910")
    assert HOODI.fork(2048 * 32) == Fork.ELECTRA
    assert HOODI.time_of(2048 * 32) == 1742999832  # 26 March 2025, 14:37:12 UTC
    assert MAINNET.slot_at(MAINNET.time_of(5) + 11) == 5
    assert MAINNET.slot_at(0) == 0


@pytest.mark.parametrize("known", NETWORKS.values(), ids=NETWORKS)
def test_a_store_of_each_network_at_each_of_its_forks(known):
    """512 invented keys under the networks' own fork tables, from one fork, and often one period, into the next."""
    chain = SimulatedChain(known)
    for (_, _, version), (fork, epoch, _) in pairwise(known.forks):
        first = epoch * known.preset.slots_per_epoch
        if known.fork(first) != fork or first == 0:
            continue  # skipped by the network
        assert known.fork_version(first - 1) == version
        begin = first if fork == Fork.ALTAIR else first - 100
        start = chain.block(begin)
        bootstrap = over_the_wire(known, "bootstrap", chain.bootstrap(start))
        store = initialize_light_client_store(known, start.root, bootstrap)
        for slot, final in ((begin + 30, begin + 10), (begin + 169, begin + 90)):
            feed(chain, store, chain.update(chain.block(slot, finalized=chain.block(final).header)))
            assert (store.finalized_header.beacon.slot, store.optimistic_header.beacon.slot) == (final, slot)
        assert known.fork(slot) == fork


def test_what_is_absent_is_zero():
    types = schema(MINIMAL_PRESET, Fork.FULU)
    assert types.sync_committee.decode(bytes(33 * 48)) == SyncCommittee()
    assert types.sync_committee.encode(SyncCommittee()) == bytes(33 * 48)
    assert types.header.decode(types.header.encode(LightClientHeader())) == LightClientHeader()
