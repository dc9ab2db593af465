"""Which logs a filter asks for, and which blocks cannot hold any: the bloom of a proven header (yellow paper, section 4.3.1)."""

from collections.abc import Iterator
from dataclasses import dataclass

from eth_hash.auto import keccak

from wattseal.gateway.proofs import Log


@dataclass(frozen=True, slots=True)
class LogFilter:
    """One of `addresses` (none: any), and at each place of `topics` one of the given (none: any)."""

    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes], ...]

    def takes(self, log: Log) -> bool:
        """Return whether a log is asked for."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(log.topics) < len(self.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))

    def may_be_in(self, bloom: bytes) -> bool:
        """Return whether a block or receipt with that bloom (256 bytes) may hold such a log. False is certain."""
        bits = int.from_bytes(bloom, "big")
        groups = (self.addresses, *self.topics)
        return all(not group or any(bits & mask == mask for mask in map(bloom_mask, group)) for group in groups)


def bloom_mask(value: bytes) -> int:
    """Return the bits that an address or topic sets in a bloom."""
    digest = keccak(value)
    mask = 0
    for bit in _bits(digest):
        mask |= 1 << bit
    return mask


def _bits(digest: bytes) -> Iterator[int]:
    return (int.from_bytes(digest[place : place + 2], "big") & 2047 for place in (0, 2, 4))
