"""Mainnet and Sepolia as their nodes served them, and with anything in it changed."""

import copy
import sys
from functools import lru_cache

import pytest
from eth_hash.auto import keccak
from wattseal.errors import GatewayError, UpdateNotUsable
from wattseal.gateway import mpt
from wattseal.gateway.consensus import beacon_json, containers, sync_protocol
from wattseal.gateway.consensus.execution import execution_header
from wattseal.gateway.consensus.sync_protocol import (
    initialize_light_client_store,
    is_next_sync_committee_known,
    process_light_client_update,
)


def bootstrapped(network, bootstrap, root):
    return initialize_light_client_store(network, root, beacon_json.read_bootstrap(network, bootstrap))


def process(network, store, kind, answer, current_slot=None):
    update = getattr(beacon_json, f"read_{kind}")(network, answer)
    process_light_client_update(network, store, update, update.signature_slot if current_slot is None else current_slot)


def followed(real, count):
    """The store after the first `count` answers."""
    network, bootstrap, root, answers = real
    store = bootstrapped(network, bootstrap, root)
    for kind, answer in answers[:count]:
        process(network, store, kind, answer)
    return store


def slot(answer, header):
    return int(answer["data"][header]["beacon"]["slot"])


def test_chain_is_followed(real):
    _, bootstrap, _, answers = real
    store = followed(real, len(answers))
    finalized = [slot(bootstrap, "header"), *(slot(answer, "finalized_header") for _, answer in answers)]
    attested = [slot(bootstrap, "header"), *(slot(answer, "attested_header") for _, answer in answers)]
    assert store.finalized_header.beacon.slot == max(finalized)
    assert store.optimistic_header.beacon.slot == max(attested)
    assert is_next_sync_committee_known(store) == bool(answers)


def test_committee_changes_with_the_period(chains):
    real = chains["mainnet_deneb_committee_change"]
    before, after = followed(real, 1), followed(real, 2)
    assert after.current_sync_committee == before.next_sync_committee != before.current_sync_committee
    assert after.next_sync_committee not in (before.current_sync_committee, before.next_sync_committee)


def test_execution_header_carries_a_real_state_proof(chains, mainnet):
    real = chains["mainnet_deneb"]
    header = execution_header(real[0], followed(real, 2).finalized_header)
    assert header.number == 20360596
    proof = mainnet["proof"]
    nodes = [bytes.fromhex(node[2:]) for node in proof["accountProof"]]
    assert mpt.prove(header.state_root, keccak(bytes.fromhex(proof["address"][2:])), nodes) is not None


def test_a_period_is_not_skipped(chains):
    network, bootstrap, root, answers = chains["mainnet_deneb_committee_change"]
    store = bootstrapped(network, bootstrap, root)
    with pytest.raises(UpdateNotUsable, match="period"):
        process(network, store, *answers[1])


def test_an_update_from_the_future_or_the_past(chains):
    network, _, _, answers = chains["mainnet_deneb"]
    store = followed(chains["mainnet_deneb"], 1)
    kind, answer = answers[1]
    with pytest.raises(UpdateNotUsable, match="clock"):
        process(network, store, kind, answer, int(answer["data"]["signature_slot"]) - 1)
    process(network, store, kind, answer)
    with pytest.raises(UpdateNotUsable, match="final already"):
        process(network, store, *answers[0])


# -- anything changed -----------------------------------------------------------------------------------------------------------------


def leaves(value, path=()):
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    else:
        yield path, value


def changes(path, text):
    """Every change of one leaf: a bit in each byte (one bit a committee key, all of participation), each bit of a number, wrong lengths."""
    if not text.startswith("0x"):
        bits = 256 if path[-1] == "base_fee_per_gas" else 64
        yield from (str(int(text) ^ 1 << bit) for bit in range(bits))
        yield from ("-1", "", "0" + text, hex(int(text)), str(int(text) + (1 << bits)))
        return
    data = bytes.fromhex(text[2:])
    number = path[-1] if isinstance(path[-1], int) else 0
    if "pubkeys" in path:
        flips = [(number % 48, number // 48 % 8)]
    elif path[-1] == "sync_committee_bits":
        flips = [(place, bit) for place in range(len(data)) for bit in range(8)]
    else:
        flips = [(place, (place + number) % 8) for place in range(len(data))]
    for place, bit in flips:
        yield "0x" + (data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]).hex()
    if "pubkeys" not in path or number == 0:
        yield from ("0x" + data[:-1].hex(), text + "00", text[2:], text[:-1], "0x" + "zz" * len(data))


def changed(answer):
    """Each change of `answer["data"]`, made in place and undone."""
    data = answer["data"]
    for path, text in list(leaves(data)):
        *way, last = path
        holder = data
        for step in way:
            holder = holder[step]
        for other in filter(text.__ne__, changes(path, text)):
            holder[last] = other
            yield path
        holder[last] = None
        yield path
        holder[last] = text
    for inner in {path[:depth] for path, _ in leaves(data) for depth in range(1, len(path))}:
        *way, last = inner
        holder = data
        for step in way:
            holder = holder[step]
        whole = holder[last]
        others = [None, [], {}, "0x"] + ([whole[:-1], [*whole, whole[-1]], whole[::-1]] if isinstance(whole, list) else [])
        for other in others:
            holder[last] = other
            yield inner
        holder[last] = whole


def refused(action, *arguments):
    try:
        action(*arguments)
    except GatewayError:
        return True
    return False


@pytest.fixture
def unchanged_is_shared(monkeypatch):
    """A committee with the same JSON as just before is not read and hashed again: both depend on nothing else, and are nearly all of the time."""
    read, root = containers._SyncCommitteeType.from_json, sync_protocol.committee_root

    @lru_cache(maxsize=2)
    def read_once(type_, pubkeys, aggregate_pubkey):
        return read(type_, {"pubkeys": list(pubkeys), "aggregate_pubkey": aggregate_pubkey})

    def from_json(type_, value):
        match value:
            case {"pubkeys": [*pubkeys], "aggregate_pubkey": str() as aggregate} if not {*map(type, pubkeys)} - {str}:
                return read_once(type_, tuple(pubkeys), aggregate)
        return read(type_, value)

    monkeypatch.setattr(containers._SyncCommitteeType, "from_json", from_json)
    monkeypatch.setattr(sync_protocol, "committee_root", lru_cache(maxsize=2)(root))


@pytest.mark.usefixtures("unchanged_is_shared")
def test_every_change_is_refused(real, record_property, capsys):
    network, bootstrap, root, answers = real
    tried = 0
    for path in changed(bootstrap):
        tried += 1
        assert refused(bootstrapped, network, bootstrap, root), path
    for number, (kind, answer) in enumerate(answers):
        store = followed(real, number)
        before = copy.copy(store)
        current_slot = int(answer["data"]["signature_slot"])
        for path in changed(answer):
            tried += 1
            assert refused(process, network, store, kind, answer, current_slot), path
            assert store == before, path
        process(network, store, kind, answer, current_slot)
    record_property("changes refused", tried)
    with capsys.disabled():
        sys.stdout.write(f" [{tried} changes refused] ")
