import json
from pathlib import Path

import pytest
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.networks import MAINNET, SEPOLIA
from wattseal.gateway.consensus.sync_protocol import block_root

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
