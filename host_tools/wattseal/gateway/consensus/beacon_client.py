"""The light-client part of the beacon API (ethereum/beacon-APIs) of one node. What comes from here is read strictly and not believed."""

import re
from typing import Any

from wattseal.errors import BadUpdate, BeaconError
from wattseal.gateway.consensus import beacon_json
from wattseal.gateway.consensus.containers import LightClientBootstrap, LightClientUpdate
from wattseal.gateway.consensus.networks import Network
from wattseal.gateway.http import NOT_FOUND, OK, SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS, HttpServer

MAX_REQUEST_LIGHT_CLIENT_UPDATES = 128
# An update with its committee is 63 kB of JSON; nodes may indent.
_MAX_OBJECT_BYTES = 256 << 10
_DEFAULT_REST_S = 30.0
_MAX_REST_S = 3600.0


class BeaconClient:
    """One beacon node. Thread-safe."""

    def __init__(self, url: str, network: Network, timeout_s: float = 10.0) -> None:
        """`timeout_s` bounds each read and, four times over, a whole answer. Nothing is asked yet; at the first use the genesis is compared."""
        self._http = HttpServer(url.rstrip("/") + "/eth/v1/beacon/", timeout_s, BeaconError)
        self.server = self._http.name
        self._network = network
        self._same_network = False

    def bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """Return the bootstrap at a block. Raises BeaconError, BadUpdate, UnsupportedFork."""
        return beacon_json.read_bootstrap(self._network, self._get(f"bootstrap/0x{block_root.hex()}", _MAX_OBJECT_BYTES))

    def updates(self, start_period: int, count: int) -> list[LightClientUpdate]:
        """Return the best updates of up to `count` (at most 128) periods from `start_period` on. Raises as `bootstrap` does."""
        count = min(count, MAX_REQUEST_LIGHT_CLIENT_UPDATES)
        answers = self._get(f"updates?start_period={start_period}&count={count}", count * _MAX_OBJECT_BYTES)
        if not isinstance(answers, list) or len(answers) > count:
            raise BadUpdate(f"asked for {count} updates, got {answers!r:.80}")
        return [beacon_json.read_update(self._network, answer) for answer in answers]

    def finality_update(self) -> LightClientUpdate:
        """Return the newest finality update. Raises as `bootstrap` does."""
        return beacon_json.read_finality_update(self._network, self._get("finality_update", _MAX_OBJECT_BYTES))

    def optimistic_update(self) -> LightClientUpdate:
        """Return the newest optimistic update. Raises as `bootstrap` does."""
        return beacon_json.read_optimistic_update(self._network, self._get("optimistic_update", _MAX_OBJECT_BYTES))

    def _get(self, what: str, limit: int) -> Any:
        if not self._same_network:
            self._check_network()
        answer = self._fetch("light_client/" + what, limit)
        if answer is None:
            raise BeaconError(f"{what}: the beacon node at {self.server} does not have it; it may serve no light clients, or not keep it any more")
        return answer

    def _check_network(self) -> None:
        """Compare the node's genesis with the network's. A server that has no genesis to tell may serve light clients only."""
        answer = self._fetch("genesis", _MAX_OBJECT_BYTES)
        if answer is not None:
            told = answer.get("data") if isinstance(answer, dict) else None
            root = told.get("genesis_validators_root") if isinstance(told, dict) else None
            if str(root).lower() != "0x" + self._network.genesis_validators_root.hex():
                raise BeaconError(f"the beacon node at {self.server} is not of {self._network.name}: its genesis validators root is {root!r:.80}")
        self._same_network = True

    def _fetch(self, what: str, limit: int) -> Any:
        """Return what the node answers, None where it has nothing."""
        reply = self._http.request(what, limit, path=what)
        if reply.status == NOT_FOUND:
            return None
        if reply.status in (TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE):
            asked = reply.retry_after
            rest_s = min(float(asked), _MAX_REST_S) if re.fullmatch("[0-9]{1,9}", asked, re.ASCII) else _DEFAULT_REST_S
            raise BeaconError(f"{what}: the beacon node at {self.server} asks for {rest_s:.0f} s of rest (HTTP {reply.status})", retry_after_s=rest_s)
        if reply.status != OK:
            raise BeaconError(f"{what}: the beacon node at {self.server} answers HTTP {reply.status}; check the address")
        try:
            return reply.json()
        except ValueError as error:
            raise BeaconError(f"{what}: the beacon node at {self.server} did not answer in JSON; check the address") from error
