"""The consensus specs' own light-client sync vectors, step by step with their expected stores."""

from pathlib import Path

import cramjam
import pytest
import yaml
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


@pytest.mark.parametrize("folder", sorted(VECTORS.iterdir()), ids=lambda folder: folder.name)
def test_steps(folder):
    network, trusted = network_of(folder)
    types = schema(MINIMAL_PRESET, Fork.FULU)
    raw = read(folder / "bootstrap.ssz_snappy")
    bootstrap = types.bootstrap.decode(raw)
    assert types.bootstrap.encode(bootstrap) == raw
    store = initialize_light_client_store(network, trusted, bootstrap)
    steps = yaml.load((folder / "steps.yaml").read_text(), Strings)
    for step in steps:
        ((action, arguments),) = step.items()
        slot = int(arguments["current_slot"])
        if action == "process_update":
            raw = read(folder / f"{arguments['update']}.ssz_snappy")
            update = types.update.decode(raw)
            assert types.update.encode(update) == raw
            process_light_client_update(network, store, update, slot)
        else:
            assert action == "force_update"
            process_light_client_store_force_update(network, store, slot)
        check(network, store, arguments["checks"])
        raw_store = types.store.encode(store)
        assert types.store.decode(raw_store) == store
