"""Light-client objects as the beacon API sends them: `{"version": fork, "data": object}`.

The slot of the (attested) header decides in which fork's format an object is read; a label of another format is refused.
"""

from typing import Any

from wattseal.errors import BadUpdate
from wattseal.gateway.consensus.containers import LightClientBootstrap, LightClientUpdate, Schema, schema
from wattseal.gateway.consensus.networks import Fork, Network, fork_named
from wattseal.gateway.consensus.ssz import Uint


def read_bootstrap(network: Network, answer: object) -> LightClientBootstrap:
    """Read an answer of light_client/bootstrap. Raises BadUpdate, UnsupportedFork."""
    data, types = _open(network, answer, "header")
    bootstrap: LightClientBootstrap = types.bootstrap.from_json(data)
    return bootstrap


def read_update(network: Network, answer: object) -> LightClientUpdate:
    """Read one element of light_client/updates. Raises BadUpdate, UnsupportedFork."""
    data, types = _open(network, answer, "attested_header")
    update: LightClientUpdate = types.update.from_json(data)
    return update


def read_finality_update(network: Network, answer: object) -> LightClientUpdate:
    """Read an answer of light_client/finality_update. Raises BadUpdate, UnsupportedFork."""
    data, types = _open(network, answer, "attested_header")
    update: LightClientUpdate = types.finality_update.from_json(data)
    return update


def read_optimistic_update(network: Network, answer: object) -> LightClientUpdate:
    """Read an answer of light_client/optimistic_update. Raises BadUpdate, UnsupportedFork."""
    data, types = _open(network, answer, "attested_header")
    update: LightClientUpdate = types.optimistic_update.from_json(data)
    return update


def _open(network: Network, answer: object, header: str) -> tuple[dict[str, Any], Schema]:
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
        raise BadUpdate(f"no light-client object: {answer!r:.80}")
    label = fork_named(answer["version"]) if "version" in answer else None
    data: dict[str, Any] = answer["data"]
    try:
        slot = Uint(8).from_json(data[header].get("beacon", data[header])["slot"])
    except (AttributeError, KeyError, TypeError) as error:
        raise BadUpdate(f"the object has no {header} with a slot") from error
    fork = network.fork(slot)
    if fork < Fork.ALTAIR:
        raise BadUpdate(f"slot {slot} is before Altair on {network.name}: there is no sync committee")
    if label is not None and _format(label) != _format(fork):
        raise BadUpdate(f"labelled {label.name.lower()}, but slot {slot} of {network.name} is in {fork.name.lower()}")
    return data, schema(network.preset, fork)


def _format(fork: Fork) -> Fork:
    """Return the fork that brought the format in which a fork writes light-client objects."""
    return {Fork.BELLATRIX: Fork.ALTAIR, Fork.FULU: Fork.ELECTRA}.get(fork, fork)
