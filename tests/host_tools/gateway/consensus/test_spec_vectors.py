"""The consensus specs' own light-client sync vectors, step by step with their expected stores."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import cramjam
import pytest
import yaml
from wattseal.errors import BadUpdate, UpdateNotUsable
from wattseal.gateway.consensus.containers import schema
from wattseal.gateway.consensus.networks import MINIMAL_PRESET, Fork, Network
from wattseal.gateway.consensus.sync_protocol import (
    block_root,
    get_lc_execution_root,
    initialize_light_client_store,
    process_light_client_store_force_update,
    process_light_client_update,
)

VECTORS = Path(__file__).parents[3] / "vectors/light_client/spec_fulu_minimal"


def scalar(text):
    return bytes.fromhex(text[2:])


def read(path):
    return bytes(cramjam.snappy.decompress_raw(path.read_bytes()))


class Strings(yaml.SafeLoader):
    """Leaves 0x00000001 the text that it is."""


Strings.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:int"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def network_of(folder):
    config = yaml.load((folder / "config.yaml").read_text(), Strings)
    meta = yaml.load((folder / "meta.yaml").read_text(), Strings)
    names = ["GENESIS", *(fork.name for fork in list(Fork)[1:])]
    return Network(
        name=folder.name,
        preset=MINIMAL_PRESET,
        chain_id=int(config["DEPOSIT_CHAIN_ID"]),
        genesis_time_s=int(config["MIN_GENESIS_TIME"]),
        seconds_per_slot=6,
        genesis_validators_root=scalar(meta["genesis_validators_root"]),
        forks=tuple(
            (fork, int(config.get(f"{name}_FORK_EPOCH", 0)), scalar(config[f"{name}_FORK_VERSION"])) for fork, name in zip(Fork, names, strict=True)
        ),
    ), scalar(meta["trusted_block_root"])


def check(network, store, expected):
    for name, header in expected.items():
        have = getattr(store, name)
        assert have.beacon.slot == int(header["slot"])
        assert block_root(have.beacon) == scalar(header["beacon_root"])
        assert get_lc_execution_root(network, have) == scalar(header["execution_root"])


FOLDERS = pytest.mark.parametrize("folder", sorted(VECTORS.iterdir()), ids=lambda folder: folder.name)
TYPES = schema(MINIMAL_PRESET, Fork.FULU)


def started(folder):
    network, trusted = network_of(folder)
    raw = read(folder / "bootstrap.ssz_snappy")
    bootstrap = TYPES.bootstrap.decode(raw)
    assert TYPES.bootstrap.encode(bootstrap) == raw
    return network, initialize_light_client_store(network, trusted, bootstrap)


def steps(folder):
    """Each step as (slot, bytes of the update or None to force one, checks)."""
    for step in yaml.load((folder / "steps.yaml").read_text(), Strings):
        ((action, arguments),) = step.items()
        assert action in ("process_update", "force_update")
        raw = read(folder / f"{arguments['update']}.ssz_snappy") if action == "process_update" else None
        yield int(arguments["current_slot"]), raw, arguments["checks"]


def take(network, store, slot, raw):
    if raw is None:
        process_light_client_store_force_update(network, store, slot)
    else:
        process_light_client_update(network, store, TYPES.update.decode(raw), slot)


@FOLDERS
def test_steps(folder):
    network, store = started(folder)
    for slot, raw, checks in steps(folder):
        assert raw is None or TYPES.update.encode(TYPES.update.decode(raw)) == raw
        take(network, store, slot, raw)
        check(network, store, checks)
        assert TYPES.store.decode(TYPES.store.encode(store)) == store


def one_bit_changed(raw):
    for place in range(len(raw)):
        yield raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :]


@FOLDERS
def test_every_change_is_refused(folder, capsys):
    """A bit in each byte. Only the signature's slot, which the specs call untrusted, may be another one of the same fork and period."""
    network, trusted = network_of(folder)
    refused = 0
    for wrong in one_bit_changed(read(folder / "bootstrap.ssz_snappy")):
        refused += 1
        with pytest.raises(BadUpdate):
            initialize_light_client_store(network, trusted, TYPES.bootstrap.decode(wrong))
    network, store = started(folder)
    for slot, raw, _ in steps(folder):
        before = copy.copy(store)
        for wrong in one_bit_changed(raw or b""):
            try:
                take(network, store, slot, wrong)
            except (BadUpdate, UpdateNotUsable):
                refused += 1
                assert store == before
            else:
                right, accepted = TYPES.update.decode(raw), TYPES.update.decode(wrong)
                assert replace(accepted, signature_slot=right.signature_slot) == right
                store = copy.copy(before)
        take(network, store, slot, raw)
    with capsys.disabled():
        sys.stdout.write(f" [{refused} changes refused] ")
