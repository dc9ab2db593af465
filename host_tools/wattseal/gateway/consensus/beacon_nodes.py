"""Several beacon nodes, one of which is enough if it is honest."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from wattseal.errors import BadUpdate, BeaconError, ConfigError, GatewayError, UnsupportedFork, UpdateNotUsable
from wattseal.gateway.consensus.beacon_client import BeaconClient

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(slots=True)
class BeaconNode:
    """A node and what came of asking it. `dropped_for` is the lie for which it is not asked again, empty while it is."""

    client: BeaconClient
    failures: int = 0
    lies: int = 0
    dropped_for: str = ""
    rests_until: float = 0.0


class BeaconNodes:
    """Asks one node after the other until one has what can be verified. A node that sends what nobody honest sends is dropped."""

    def __init__(self, clients: Sequence[BeaconClient]) -> None:
        """Clients in order of preference. Raises ConfigError when there are none."""
        if not clients:
            raise ConfigError("the light client needs the address of at least one beacon node")
        self.all = [BeaconNode(client) for client in clients]

    def ask(self, action: Callable[[BeaconClient], _T]) -> _T:
        """Return what `action`, which must also verify, makes of the first node with which it succeeds.

        Raises UnsupportedFork when a node speaks of one and no other is of use, else BeaconError, which says what is wrong with each.
        """
        troubles: list[tuple[BeaconNode, GatewayError | str]] = []
        for node in sorted(self.all, key=lambda node: node.failures):
            trouble = self._try_later(node)
            if trouble:
                troubles.append((node, trouble))
                continue
            try:
                answer = action(node.client)
            except BeaconError as error:
                node.failures += 1
                node.rests_until = time.monotonic() + error.retry_after_s
                troubles.append((node, error))
            except BadUpdate as error:
                node.lies += 1
                node.dropped_for = str(error)
                _log.error("beacon node dropped", extra={"server": node.client.server, "lie": str(error)})
                troubles.append((node, f"dropped for a lie: {error}"))
            except (UpdateNotUsable, UnsupportedFork) as error:
                node.failures += 1
                troubles.append((node, error))
            else:
                node.failures = 0
                return answer
        for _, cause in troubles:
            if isinstance(cause, UnsupportedFork):
                raise cause
        raise BeaconError("no beacon node is of use: " + "; ".join(f"{node.client.server}: {cause}" for node, cause in troubles))

    def _try_later(self, node: BeaconNode) -> str:
        if node.dropped_for:
            return f"dropped for a lie: {node.dropped_for}"
        rest_s = node.rests_until - time.monotonic()
        return f"rests for {rest_s:.0f} s more" if rest_s > 0 else ""
