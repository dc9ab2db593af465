"""From settings to a `Chain`: who is asked, and what it is that is believed."""

import logging
from dataclasses import dataclass
from pathlib import Path

from wattseal.errors import ConfigError
from wattseal.gateway.chain import Chain
from wattseal.gateway.consensus.beacon_client import BeaconClient
from wattseal.gateway.consensus.containers import LightClientStore
from wattseal.gateway.consensus.light_client import LightClient
from wattseal.gateway.consensus.networks import NETWORKS
from wattseal.gateway.consensus.store_file import StoreFile
from wattseal.gateway.signed_headers import SyncCommitteeHeaders
from wattseal.gateway.simulated_network import learn
from wattseal.gateway.upstreams import Upstream, UpstreamHeaders, Upstreams

ONE_OF_THREE = (
    "choose one of --beacon URL (nodes whose sync committee is followed), --simulated-beacon URL (development) and --trust-rpc (the servers' word)"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """One chain, its JSON-RPC servers in the order in which they are asked, and one of `beacon`, `simulated_beacon` and `trust_rpc`.

    `beacon` are beacon nodes, followed with `light_client_store` and, the first time, `checkpoint` (32 bytes). `simulated_beacon`, for
    development, says itself what its checkpoint is, and needs no store. `trust_rpc` takes headers on trust. `timeout_s` bounds each read.
    """

    chain_id: int
    rpc: tuple[str, ...]
    beacon: tuple[str, ...] = ()
    light_client_store: Path | None = None
    checkpoint: bytes | None = None
    simulated_beacon: str | None = None
    trust_rpc: bool = False
    timeout_s: float = 10.0


def connect(settings: ChainSettings) -> Chain:
    """Return the chain of these settings. A server that is caught lying is named in the log.

    Only a simulated beacon is asked at once, for its network. Raises ConfigError, StoreError, BeaconError.
    """
    if (len(settings.beacon) > 0) + (settings.simulated_beacon is not None) + settings.trust_rpc != 1:
        raise ConfigError(f"what vouches for headers? {ONE_OF_THREE}")
    upstreams = Upstreams(settings.rpc, settings.chain_id, settings.timeout_s, on_lie=_log_lie)
    if settings.trust_rpc:
        return Chain(upstreams, UpstreamHeaders(upstreams))
    client = _light_client(settings) if settings.simulated_beacon is None else _simulated_client(settings, settings.simulated_beacon)
    signed = SyncCommitteeHeaders(client, upstreams)
    return Chain(upstreams, signed, signed.finalized)


def _light_client(settings: ChainSettings) -> LightClient:
    network = next((known for known in NETWORKS.values() if known.chain_id == settings.chain_id), None)
    if network is None:
        known = ", ".join(f"{known.name} {known.chain_id}" for known in NETWORKS.values())
        raise ConfigError(f"no sync committee is known for chain {settings.chain_id}; there are {known}")
    if settings.light_client_store is None:
        raise ConfigError("the light client needs a file to keep what it knows; give --light-client-store")
    nodes = [BeaconClient(url, network, settings.timeout_s) for url in settings.beacon]
    return LightClient(network, nodes, StoreFile(settings.light_client_store, network), settings.checkpoint)


def _simulated_client(settings: ChainSettings, url: str) -> LightClient:
    told = learn(url, settings.chain_id, settings.timeout_s)
    path = settings.light_client_store
    file = _NotKept(Path(), told.network) if path is None else StoreFile(path, told.network)
    return LightClient(told.network, [BeaconClient(url, told.network, settings.timeout_s)], file, told.checkpoint, told.clock)


class _NotKept(StoreFile):
    """Keeps nothing: a simulated chain ends with its process."""

    def load(self) -> None:
        """Return nothing."""

    def save(self, store: LightClientStore) -> None:
        """Do nothing."""


def _log_lie(upstream: Upstream) -> None:
    _log.error("an upstream was caught lying and is asked only where no other answers", extra={"upstream": upstream.name, "lie": upstream.lie})
