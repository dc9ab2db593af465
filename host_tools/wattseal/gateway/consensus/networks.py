"""Presets, forks and networks as tables. Sources: consensus-specs presets and configs, eth-clients/{mainnet,sepolia,hoodi} metadata."""

from dataclasses import dataclass
from enum import IntEnum

from wattseal.errors import BadUpdate, UnsupportedFork

DOMAIN_SYNC_COMMITTEE = bytes.fromhex("07000000")


class Fork(IntEnum):
    """Forks in order; an object's fork is that of its (attested) header's slot."""

    PHASE0 = 0
    ALTAIR = 1
    BELLATRIX = 2
    CAPELLA = 3
    DENEB = 4
    ELECTRA = 5
    FULU = 6


@dataclass(frozen=True, slots=True)
class GeneralizedIndices:
    """Where the light-client's leaves stand in BeaconState."""

    finalized_root: int
    current_sync_committee: int
    next_sync_committee: int


ALTAIR_GINDICES = GeneralizedIndices(finalized_root=105, current_sync_committee=54, next_sync_committee=55)
ELECTRA_GINDICES = GeneralizedIndices(finalized_root=169, current_sync_committee=86, next_sync_committee=87)
EXECUTION_PAYLOAD_GINDEX = 25  # in BeaconBlockBody, since Capella


def gindices(fork: Fork) -> GeneralizedIndices:
    """Return the generalised indices in the state of a fork."""
    return ELECTRA_GINDICES if fork >= Fork.ELECTRA else ALTAIR_GINDICES


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes that are fixed when a client is built."""

    name: str
    sync_committee_size: int
    slots_per_epoch: int
    epochs_per_sync_committee_period: int

    @property
    def slots_per_period(self) -> int:
        """Length of a sync-committee period in slots; also UPDATE_TIMEOUT."""
        return self.slots_per_epoch * self.epochs_per_sync_committee_period


MAINNET_PRESET = Preset("mainnet", sync_committee_size=512, slots_per_epoch=32, epochs_per_sync_committee_period=256)
MINIMAL_PRESET = Preset("minimal", sync_committee_size=32, slots_per_epoch=8, epochs_per_sync_committee_period=8)


@dataclass(frozen=True, slots=True)
class Network:
    """A beacon chain. `forks` holds (fork, first epoch, version) in order, from phase 0; times in UTC seconds."""

    name: str
    preset: Preset
    chain_id: int
    genesis_time_s: int
    seconds_per_slot: int
    genesis_validators_root: bytes
    forks: tuple[tuple[Fork, int, bytes], ...]

    def epoch(self, slot: int) -> int:
        """Return the epoch of a slot."""
        return slot // self.preset.slots_per_epoch

    def period(self, slot: int) -> int:
        """Return the sync-committee period of a slot."""
        return slot // self.preset.slots_per_period

    def fork(self, slot: int) -> Fork:
        """Return the fork that holds at a slot."""
        return self._fork_entry(slot)[0]

    def fork_version(self, slot: int) -> bytes:
        """Return the 4-byte fork version at a slot."""
        return self._fork_entry(slot)[2]

    def slot_at(self, time_s: float) -> int:
        """Return the slot that runs at a time in UTC seconds; 0 before genesis."""
        return max(0, int(time_s) - self.genesis_time_s) // self.seconds_per_slot

    def time_of(self, slot: int) -> int:
        """Return when a slot starts, in UTC seconds."""
        return self.genesis_time_s + slot * self.seconds_per_slot

    def _fork_entry(self, slot: int) -> tuple[Fork, int, bytes]:
        epoch = self.epoch(slot)
        return next(entry for entry in reversed(self.forks) if epoch >= entry[1])


def fork_named(name: object) -> Fork:
    """Return the fork that the beacon API calls `name`. Raises UnsupportedFork for one from Gloas on, BadUpdate for none."""
    if not isinstance(name, str):
        raise BadUpdate(f"the version is no text: {name!r:.80}")
    try:
        return Fork[name.upper()]
    except KeyError as error:
        raise UnsupportedFork(f"light-client data of the fork {name[:20]!r}; this version knows Altair to Fulu: update Wattseal") from error


def _forks(epochs: tuple[int, ...], versions: tuple[str, ...]) -> tuple[tuple[Fork, int, bytes], ...]:
    return tuple((fork, epoch, bytes.fromhex(version)) for fork, epoch, version in zip(Fork, epochs, versions, strict=True))


MAINNET = Network(
    name="mainnet",
    preset=MAINNET_PRESET,
    chain_id=1,
    genesis_time_s=1606824023,
    seconds_per_slot=12,
    genesis_validators_root=bytes.fromhex("4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95"),
    forks=_forks(
        (0, 74240, 144896, 194048, 269568, 364032, 411392),
        ("00000000", "01000000", "02000000", "03000000", "04000000", "05000000", "06000000"),
    ),
)
SEPOLIA = Network(
    name="sepolia",
    preset=MAINNET_PRESET,
    chain_id=11155111,
    genesis_time_s=1655733600,
    seconds_per_slot=12,
    genesis_validators_root=bytes.fromhex("d8ea171f3c94aea21ebc42a1ed61052acf3f9209c00e4efbaaddac09ed9b8078"),
    forks=_forks(
        (0, 50, 100, 56832, 132608, 222464, 272640),
        ("90000069", "90000070", "90000071", "90000072", "90000073", "90000074", "90000075"),
    ),
)
HOODI = Network(
    name="hoodi",
    preset=MAINNET_PRESET,
    chain_id=560048,
    genesis_time_s=1742213400,
    seconds_per_slot=12,
    genesis_validators_root=bytes.fromhex("212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f"),
    forks=_forks(
        (0, 0, 0, 0, 0, 2048, 50688),
        ("10000910", "20000910", "30000910", "40000910", "50000910", "60000910", "70000910"),
    ),
)
NETWORKS = {network.name: network for network in (MAINNET, SEPOLIA, HOODI)}
