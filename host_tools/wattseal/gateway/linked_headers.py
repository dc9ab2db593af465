"""From one vouched header back to those before it: each is proven by the parent hash of the one after it."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Protocol

from wattseal.errors import RpcError
from wattseal.gateway import blocks
from wattseal.gateway.header import FullHeader
from wattseal.gateway.types import Header
from wattseal.gateway.upstreams import Upstreams

# About half a day of mainnet's blocks, 2 KB each.
MAX_KNOWN = 4096


class KnownHeaders:
    """Full headers by hash, which never change: asked of the upstreams once, and the last of them kept. Thread-safe."""

    def __init__(self, upstreams: Upstreams) -> None:
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

    def back_from(self, newest: Header) -> Iterator[FullHeader]:
        """Yield a header and those before it, newest first. Raises RpcError, ProofError."""
        full = self.full(newest.hash)
        yield full
        while full.header.number:
            full = self.full(full.fields["parentHash"])
            yield full


class Anchor(Protocol):
    """What vouches for one newest header, as a consensus light client does."""

    @property
    def basis(self) -> str:
        """What the header's being canonical rests on, in words."""
        ...

    def latest(self) -> Header:
        """Return the newest vouched header. Raises GatewayError."""
        ...


class LinkedHeaders:
    """A `HeaderSource` from an anchor that knows its newest header only."""

    def __init__(self, anchor: Anchor, known: KnownHeaders) -> None:
        """Nothing is asked yet."""
        self._anchor = anchor
        self._known = known
        self.basis = anchor.basis

    def latest(self) -> Header:
        """Return the anchor's newest header. Raises GatewayError."""
        return self._anchor.latest()

    def by_number(self, number: int) -> Header:
        """Return the ancestor of the newest header with that number. Raises RpcError where it is newer, or too old to be walked to."""
        newest = self.latest()
        if number > newest.number:
            raise RpcError(f"block {number} is after the newest one that is vouched for, {newest.number}")
        if newest.number - number >= MAX_KNOWN:
            raise RpcError(f"block {number} is {newest.number - number} blocks before the newest; the last {MAX_KNOWN} can be proven")
        if number == newest.number:
            return newest
        return next(full.header for full in self._known.back_from(newest) if full.header.number == number)
