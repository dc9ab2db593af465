"""A light client that follows a chain from one trusted block root (specs/altair/light-client/light-client.md)."""

import copy
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from wattseal.errors import BeaconError, ConfigError, GatewayError, UpdateNotUsable
from wattseal.gateway.consensus.beacon_client import BeaconClient
from wattseal.gateway.consensus.beacon_nodes import BeaconNodes
from wattseal.gateway.consensus.containers import LightClientHeader, LightClientStore, LightClientUpdate
from wattseal.gateway.consensus.networks import Network
from wattseal.gateway.consensus.store_file import StoreFile
from wattseal.gateway.consensus.sync_protocol import (
    has_supermajority,
    initialize_light_client_store,
    is_next_sync_committee_known,
    participants,
    process_light_client_store_force_update,
    process_light_client_update,
)

# About the shortest weak-subjectivity period of mainnet: who signed longer ago may have withdrawn its stake and lose nothing by lying.
WEAK_SUBJECTIVITY_S = 14 * 24 * 3600

_log = logging.getLogger(__name__)


class LightClient:
    """Follows `network`. To be used from one thread; whoever wants the newest headers calls `advance` first."""

    def __init__(
        self,
        network: Network,
        beacons: Sequence[BeaconClient],
        file: StoreFile,
        checkpoint: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`checkpoint`, the root of a block trusted to be final, is needed once, where `file` has no store. `clock` gives UTC seconds.

        Raises ConfigError without nodes, StoreError for a file that cannot be used.
        """
        self.network = network
        self.nodes = BeaconNodes(beacons)
        self._file = file
        self._checkpoint = checkpoint
        self.clock = clock
        self._store = file.load()
        if self._store is not None:
            self._warn_of_age(self._store)

    @property
    def finalized_header(self) -> LightClientHeader:
        """The newest final header. Raises BeaconError before the first successful `advance` without a store."""
        return self._started().finalized_header

    @property
    def optimistic_header(self) -> LightClientHeader:
        """The newest header that two thirds of the committee signed; it may still be replaced. Raises as `finalized_header` does."""
        return self._started().optimistic_header

    @property
    def current_slot(self) -> int:
        """The slot that this machine's clock says."""
        return self.network.slot_at(self.clock())

    def age_s(self, header: LightClientHeader) -> float:
        """Return how long ago a header's slot began, in seconds."""
        return self.clock() - self.network.time_of(header.beacon.slot)

    def advance(self) -> None:
        """Bring the store as far as the nodes have proof for, and save it.

        Raises BeaconError, UnsupportedFork when no node is of use or all are an epoch behind this machine's clock, ConfigError without
        store and checkpoint, StoreError. What was verified until then is kept and saved.
        """
        if self._store is None:
            self._bootstrap()
        before = copy.copy(self._started())
        try:
            self._follow_committees()
            self._follow_head()
        finally:
            if self._store != before:
                self._file.save(self._started())

    def force_update(self) -> bool:
        """After more than a period without finality, take the best header seen as final; return whether there was one.

        Such a header is not final: to be called by a person who knows why the chain stalls, never by a program.
        """
        done = process_light_client_store_force_update(self.network, self._started(), self.current_slot)
        if done:
            self._file.save(self._started())
            _log.warning("a header was taken as final without finality", extra={"slot": self.finalized_header.beacon.slot})
        return done

    def _started(self) -> LightClientStore:
        if self._store is None:
            raise BeaconError("the light client knows no header yet; no beacon node has answered")
        return self._store

    def _bootstrap(self) -> None:
        root = self._checkpoint
        if root is None:
            raise ConfigError("the light client needs a checkpoint: the root of a recent finalised block from a source that you trust")
        self._store = self.nodes.ask(lambda beacon: initialize_light_client_store(self.network, root, beacon.bootstrap(root)))
        self._file.save(self._store)
        self._warn_of_age(self._store)

    def _warn_of_age(self, store: LightClientStore) -> None:
        age_s = self.age_s(store.finalized_header)
        if age_s > WEAK_SUBJECTIVITY_S:
            _log.warning(
                "the newest block known is older than the weak-subjectivity period; compare a recent block root with a source that you trust",
                extra={"slot": store.finalized_header.beacon.slot, "age_days": round(age_s / 86400)},
            )

    def _follow_committees(self) -> None:
        """Take the updates of all periods up to now, each of which brings the committee of the next."""
        while (start := self._wanted_period()) is not None:
            count = max(1, self.network.period(self.current_slot) - start)
            try:
                self.nodes.ask(partial(self._take_updates, start=start, count=count))
            except GatewayError as error:
                if start < self.network.period(self.current_slot):
                    raise
                _log.debug("next committee not known yet", extra={"period": start + 1, "reason": str(error)})
                return

    def _wanted_period(self) -> int | None:
        """Return the first period whose update is wanted, None when there is none."""
        store = self._started()
        period = self.network.period(store.finalized_header.beacon.slot)
        if not is_next_sync_committee_known(store):
            return period
        return period + 1 if period + 1 < self.network.period(self.current_slot) else None

    def _take_updates(self, beacon: BeaconClient, start: int, count: int) -> None:
        for update in beacon.updates(start, count):
            self._process(update)
        if self._wanted_period() == start:
            raise UpdateNotUsable(f"nothing that two thirds signed makes a block of period {start} final")

    def _process(self, update: LightClientUpdate) -> None:
        """Take an update that two thirds signed. The specs let fewer move the optimistic header, at first even one; nobody should be paid by that."""
        if not has_supermajority(update):
            signed, size = participants(update), len(update.sync_aggregate.sync_committee_bits)
            raise UpdateNotUsable(f"slot {update.attested_header.beacon.slot} is signed by {signed} of {size}; two thirds are needed")
        process_light_client_update(self.network, self._started(), update, self.current_slot)

    def _follow_head(self) -> None:
        def head(beacon: BeaconClient) -> None:
            for update in (beacon.finality_update(), beacon.optimistic_update()):
                self._process(update)
            behind = self.current_slot - self.optimistic_header.beacon.slot
            if behind > self.network.preset.slots_per_epoch:
                raise UpdateNotUsable(f"its newest block is {behind} slots old")

        self.nodes.ask(head)
