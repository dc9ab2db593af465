"""The network of a simulated beacon node, and how a client learns it from the node: everything that a real client must not take from a server."""

import ipaddress
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from wattseal.errors import BeaconError, ConfigError
from wattseal.gateway.consensus.networks import MINIMAL_PRESET, NETWORKS, Fork, Network, Preset
from wattseal.gateway.http import HttpServer

SECONDS_PER_SLOT = 1
# The minimal preset's committee and period, but mainnet's epoch: what is an epoch old is not taken, and these slots are short.
PRESET = Preset("simulated", MINIMAL_PRESET.sync_committee_size, slots_per_epoch=32, epochs_per_sync_committee_period=2)
NETWORK_PATH = "/simulated/network"
_MAX_ANSWER_BYTES = 4096


def simulated_network(chain_id: int, genesis_time_s: int) -> Network:
    """Return the network of a simulated beacon: 32 signers, Fulu from the start, a slot a second. Raises ConfigError for a known network's id."""
    _refuse_known(chain_id)
    return Network(
        name="simulated beacon chain",
        preset=PRESET,
        chain_id=chain_id,
        genesis_time_s=genesis_time_s,
        seconds_per_slot=SECONDS_PER_SLOT,
        # of each run another, so that nobody goes on with the light-client store of an earlier one
        genesis_validators_root=(chain_id.to_bytes(8) + genesis_time_s.to_bytes(8)).rjust(32, b"\x5e"),
        forks=tuple((fork, 0, bytes([fork, 0, 0, 1])) for fork in Fork),
    )


@dataclass(slots=True)
class SimulatedClock:
    """UTC seconds of a simulated chain: since its genesis they go by `pace` times as fast as this machine's; `ahead_s` puts it forward."""

    genesis_time_s: int
    pace: int = 1
    ahead_s: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.genesis_time_s + (time.time() - self.genesis_time_s) * self.pace + self.ahead_s


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a client needs to follow a simulated beacon: its network, the root of a final block (32 bytes), its clock."""

    network: Network
    checkpoint: bytes
    clock: SimulatedClock


def learn(url: str, chain_id: int, timeout_s: float) -> Simulation:
    """Ask a simulated beacon for its network and checkpoint. Raises ConfigError for another chain or another machine, BeaconError."""
    _refuse_known(chain_id)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"the simulated beacon's address is no address: {error}") from error
    if parts.hostname is None or not _is_loopback(parts.hostname):
        raise ConfigError(f"a simulated beacon proves nothing and is for development on one machine: {parts.hostname} is not of the loopback")
    server = parts.netloc.rpartition("@")[2]
    answer = _fetch(url.rstrip("/") + NETWORK_PATH, server, timeout_s)
    try:
        found = int(answer["chain_id"])
        genesis_time_s, pace, checkpoint = (
            int(answer["genesis_time"]),
            int(answer["pace"]),
            bytes.fromhex(str(answer["checkpoint"]).removeprefix("0x")),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise BeaconError(f"{server} answers {answer!r:.80}, not as a simulated beacon does; check the address") from error
    if found != chain_id:
        raise ConfigError(f"the simulated beacon at {server} wraps chain {found}, not {chain_id}; set the right address or chain id")
    if len(checkpoint) != 32 or pace < 1 or not 0 <= genesis_time_s < 1 << 63:
        raise BeaconError(f"{server} answers {answer!r:.80}, not as a simulated beacon does; check the address")
    return Simulation(simulated_network(chain_id, genesis_time_s), checkpoint, SimulatedClock(genesis_time_s, pace))


def _refuse_known(chain_id: int) -> None:
    known = next((network for network in NETWORKS.values() if network.chain_id == chain_id), None)
    if known is not None:
        raise ConfigError(f"chain {chain_id} is {known.name}, which has a real beacon chain: nothing simulated is of use there; give --beacon")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetch(url: str, server: str, timeout_s: float) -> Any:
    try:
        return HttpServer(url, timeout_s, BeaconError).request("simulated network", _MAX_ANSWER_BYTES).json()
    except ValueError as error:
        raise BeaconError(f"{server} does not answer in JSON; is a simulated beacon there?") from error
