"""Full headers by hash, and from one back to those before it: each is proven by the parent hash of the one after it."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from wattseal.gateway import blocks
from wattseal.gateway.header import FullHeader

if TYPE_CHECKING:
    from wattseal.gateway.upstreams import Upstreams

# About half a day of mainnet's blocks, 2 KB each.
MAX_KNOWN = 4096


class KnownHeaders:
    """Full headers by hash, which never change: asked of the upstreams once, and those used last are kept. Thread-safe."""

    def __init__(self, upstreams: "Upstreams") -> None:
        """Nothing is asked yet."""
        self._upstreams = upstreams
        self._known: OrderedDict[bytes, FullHeader] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def full(self, block_hash: bytes) -> FullHeader:
        """Return all fields of the header with that hash. Raises RpcError, ProofError."""
        with self._lock:
            known = self._known.get(block_hash)
            if known is not None:
                self._known.move_to_end(block_hash)
        if known is None:
            known = self._upstreams.ask(partial(blocks.full_header, block_hash=block_hash))
            with self._lock:
                self._known[block_hash] = known
                while len(self._known) > MAX_KNOWN:
                    self._known.popitem(last=False)
        return known

    def back_from(self, block_hash: bytes) -> Iterator[FullHeader]:
        """Yield the header with that hash and those before it, newest first. Raises RpcError, ProofError."""
        full = self.full(block_hash)
        yield full
        while full.header.number:
            full = self.full(full.fields["parentHash"])
            yield full
