import json
from pathlib import Path

import pytest
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.beacon_client import BeaconClient
from wattseal.gateway.consensus.containers import schema
from wattseal.gateway.consensus.networks import MAINNET, MINIMAL_PRESET, SEPOLIA, Fork, Network
from wattseal.gateway.consensus.sync_protocol import block_root
from wattseal.gateway.simulated_committee import SimulatedChain

from tests.host_tools.gateway.http_server import Handler, LocalServer

VECTORS = Path(__file__).parents[3] / "vectors/light_client"


def load(name):
    answer = json.loads((VECTORS / name).read_text())
    return answer[0] if isinstance(answer, list) else answer


# Name: network, bootstrap, trusted root, then what is processed in turn as (kind, answer).
def _chain(network, bootstrap, *answers):
    return network, bootstrap, block_root(beacon_json.read_bootstrap(network, bootstrap).header.beacon), list(answers)


def _chains():
    deneb, change = "mainnet_deneb", "mainnet_deneb_committee_change"
    return {
        deneb: _chain(
            MAINNET,
            load(f"{deneb}/BootstrapDeneb.json"),
            ("update", load(f"{deneb}/UpdateDeneb.json")),
            ("finality_update", load(f"{deneb}/FinalityUpdateDeneb.json")),
        ),
        change: _chain(
            MAINNET,
            load(f"{change}/BootstrapDeneb.json"),
            ("update", load(f"{change}/UpdateDeneb.json")),
            ("update", load(f"{change}/UpdateNewPeriodDeneb.json")),
        ),
        "sepolia_capella": _chain(SEPOLIA, {"version": "capella", "data": load("sepolia_capella/bootstrap.json")["bootstrap"]}),
    }


@pytest.fixture
def chains():
    return _chains()


@pytest.fixture(params=["mainnet_deneb", "mainnet_deneb_committee_change", "sepolia_capella"])
def real(request, chains):
    return chains[request.param]


SIMULATED = Network("simulated", MINIMAL_PRESET, 1, 1_700_000_000, 6, b"\x33" * 32, tuple((fork, 0, bytes([fork, 0, 0, 1])) for fork in Fork))


class Node:
    """A beacon node over HTTP. `answers` maps what follows light_client/ to a value for JSON, to (status, headers, body), or to a callable."""

    def __init__(self, chain):
        self.chain = chain
        self.asked = []
        self.answers = {"genesis": {"data": {"genesis_validators_root": "0x" + chain.network.genesis_validators_root.hex()}}}
        node = self

        class BeaconApi(Handler):
            def answer(self):
                what = self.path.removeprefix("/eth/v1/beacon/").removeprefix("light_client/")
                if what != "genesis":
                    node.asked.append(what)
                answer = node.answers.get(what, (404, {}, b'{"code":404}'))
                if callable(answer):
                    answer = answer()
                self.send(answer if isinstance(answer, tuple) else json.dumps(answer).encode())

        self.server = LocalServer(BeaconApi)
        self.url = self.server.url

    def client(self, **options):
        return BeaconClient(self.url, self.chain.network, **options)

    def close(self):
        self.server.close()

    def json(self, kind, value):
        header = value.header if kind == "bootstrap" else value.attested_header
        fork = self.chain.network.fork(header.beacon.slot)
        return {"version": fork.name.lower(), "data": getattr(schema(self.chain.network.preset, fork), kind).to_json(value)}

    def tell(self, head):
        """Serve an honest chain whose newest block is at `head`, each 16 slots after the one that is final; return the checkpoint at slot 16."""
        chain, per_period = self.chain, self.chain.network.preset.slots_per_period
        start = chain.block(16)
        self.answers[f"bootstrap/0x{start.root.hex()}"] = self.json("bootstrap", chain.bootstrap(start))
        updates = [self.json("update", self.made(period * per_period + 40)) for period in range((head + 20) // per_period)]
        for first in range(len(updates) + 1):
            for count in range(1, 129):
                self.answers[f"updates?start_period={first}&count={count}"] = updates[first : first + count]
        self.answers["finality_update"] = self.json("finality_update", self.made(head))
        self.answers["optimistic_update"] = self.json("optimistic_update", chain.update(chain.block(head), parts=""))
        return start.root

    def made(self, slot, **options):
        return self.chain.update(self.chain.block(slot, finalized=self.chain.block(slot - 16).header), **options)


@pytest.fixture
def nodes():
    """Makes nodes of the simulated chain."""
    made = []

    def make(seed=b"simulated"):
        made.append(Node(SimulatedChain(SIMULATED, seed)))
        return made[-1]

    yield make
    for node in made:
        node.close()
