"""From settings to a chain: what is refused before anything is asked."""

import pytest
from wattseal.errors import ConfigError
from wattseal.gateway.connect import ChainSettings, connect

NOBODY = "http://127.0.0.1:9"


def test_headers_on_trust_are_called_that():
    assert connect(ChainSettings(chain_id=1, rpc=(NOBODY,), trust_rpc=True)).basis == "header taken on trust from the RPC"


def test_headers_of_beacon_nodes(tmp_path):
    settings = ChainSettings(chain_id=1, rpc=(NOBODY,), beacon=(NOBODY,), light_client_store=tmp_path / "store", checkpoint=bytes(32))
    chain = connect(settings)
    assert chain.basis == "header signed by the sync committee of mainnet"
    assert chain.finalized is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "choose one"),
        ({"beacon": (NOBODY,), "trust_rpc": True}, "choose one"),
        ({"beacon": (NOBODY,), "simulated_beacon": NOBODY}, "choose one"),
        ({"rpc": (), "trust_rpc": True}, "no JSON-RPC server"),
        ({"beacon": (NOBODY,)}, "--light-client-store"),
        ({"beacon": (NOBODY,), "chain_id": 31337}, "no sync committee is known for chain 31337"),
    ],
)
def test_settings_that_cannot_be_used(settings, message):
    with pytest.raises(ConfigError, match=message):
        connect(ChainSettings(**{"chain_id": 1, "rpc": (NOBODY,), **settings}))
