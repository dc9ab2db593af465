"""The store on disk: one file, replaced as a whole, so that a kill or a power cut leaves the old one or the new one."""

import os
from hashlib import sha256
from pathlib import Path

from wattseal.errors import BadUpdate, StoreError
from wattseal.gateway.consensus.containers import LightClientStore, schema
from wattseal.gateway.consensus.networks import Fork, Network

_MAGIC = b"wattseal light client 1\n"
_PREFIX_BYTES = len(_MAGIC) + 32 + 32
_MAX_BYTES = 1 << 20


class StoreFile:
    """A light client's store at a path. Layout: magic line, genesis validators root, SHA-256 of the rest, the store in SSZ."""

    def __init__(self, path: Path, network: Network) -> None:
        """Nothing is opened yet; the directory must exist when something is saved."""
        self._path = path
        self._network = network
        self._type = schema(network.preset, Fork.FULU).store

    def load(self) -> LightClientStore | None:
        """Return what was saved last, None where nothing was. Raises StoreError for a file that is damaged or of another network."""
        try:
            with self._path.open("rb") as file:
                raw = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read the light client's store {self._path}: {error}") from error
        prefix, body = raw[:_PREFIX_BYTES], raw[_PREFIX_BYTES:]
        advice = "move it away and start from a fresh checkpoint"
        if not prefix.startswith(_MAGIC) or prefix[-32:] != sha256(body).digest():
            raise StoreError(f"{self._path} is no whole light-client store of this version; {advice}")
        if prefix[len(_MAGIC) : -32] != self._network.genesis_validators_root:
            raise StoreError(f"{self._path} belongs to another network than {self._network.name}; {advice}")
        try:
            store: LightClientStore = self._type.decode(body)
        except BadUpdate as error:
            raise StoreError(f"{self._path} cannot be read: {error}; {advice}") from error
        return store

    def save(self, store: LightClientStore) -> None:
        """Replace what is saved; durable when this returns. Raises StoreError, and then the last one saved is still there."""
        body = self._type.encode(store)
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("wb") as file:
                file.write(_MAGIC + self._network.genesis_validators_root + sha256(body).digest() + body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise StoreError(f"cannot save the light client's store {self._path}: {error}") from error
