"""The store on disk: whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from wattseal.errors import StoreError
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.containers import LightClientStore
from wattseal.gateway.consensus.networks import HOODI, MAINNET
from wattseal.gateway.consensus.store_file import StoreFile
from wattseal.gateway.consensus.sync_protocol import initialize_light_client_store, process_light_client_update


@pytest.fixture
def path(tmp_path):
    return tmp_path / "light_client"


@pytest.fixture
def store(nodes):
    """A store with something in each of its fields."""
    node = nodes()
    chain = node.chain
    store = initialize_light_client_store(chain.network, chain.block(16).root, chain.bootstrap(chain.block(16)))
    process_light_client_update(chain.network, store, node.made(40), 41)
    process_light_client_update(chain.network, store, node.made(44, bits=[place < 9 for place in range(32)]), 45)
    assert store.best_valid_update
    return chain.network, store


def test_saved_and_loaded(path, store):
    network, value = store
    file = StoreFile(path, network)
    assert file.load() is None
    file.save(value)
    assert file.load() == value
    value.best_valid_update = None
    file.save(value)
    assert file.load() == value
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_every_damage_is_seen(path, store):
    network, value = store
    file = StoreFile(path, network)
    file.save(value)
    good = path.read_bytes()
    for place in [*range(0, 200), *range(200, len(good), 97)]:
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        with pytest.raises(StoreError, match=str(path)):
            file.load()
    for length in [*range(0, 100), *range(100, len(good), 101)]:
        path.write_bytes(good[:length])
        with pytest.raises(StoreError, match="checkpoint"):
            file.load()


def test_another_network(path, chains):
    network, bootstrap, root, _ = chains["mainnet_deneb"]
    value = initialize_light_client_store(network, root, beacon_json.read_bootstrap(network, bootstrap))
    StoreFile(path, MAINNET).save(value)
    assert StoreFile(path, MAINNET).load() == value
    with pytest.raises(StoreError, match="another network than hoodi"):
        StoreFile(path, HOODI).load()


def test_no_room(path, store):
    network, value = store
    file = StoreFile(path, network)
    file.save(value)
    blocked = StoreFile(path / "below a file", network)
    with pytest.raises(StoreError, match="cannot"):
        blocked.save(value)
    assert file.load() == value


WRITER = """
import sys
from pathlib import Path
from wattseal.gateway.consensus.networks import MAINNET
from wattseal.gateway.consensus.store_file import StoreFile
from dataclasses import replace
file = StoreFile(Path(sys.argv[1]), MAINNET)
store = file.load()
print("ready", flush=True)
while True:
    header = store.finalized_header
    store.finalized_header = replace(header, beacon=replace(header.beacon, slot=header.beacon.slot + 1))
    file.save(store)
"""


def test_killed_at_any_point(path, chains):
    """What is found after a kill is whole, and never older than what was found before."""
    network, bootstrap, root, _ = chains["mainnet_deneb"]
    file = StoreFile(path, MAINNET)
    file.save(initialize_light_client_store(network, root, beacon_json.read_bootstrap(network, bootstrap)))
    newest = file.load().finalized_header.beacon.slot
    first = newest
    for kill in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=os.environ) as writer:
            writer.stdout.readline()
            time.sleep(0.003 * kill)  # the moment is what is varied
            writer.send_signal(signal.SIGKILL)
        store = file.load()
        assert isinstance(store, LightClientStore)
        assert store.finalized_header.beacon.slot >= newest
        newest = store.finalized_header.beacon.slot
        expected = replace(store.finalized_header, beacon=replace(store.finalized_header.beacon, slot=first))
        assert expected == beacon_json.read_bootstrap(network, bootstrap).header
    assert newest > first
