"""Reading the parameters of a JSON-RPC request: what a client may write, and nothing else."""

import re
from typing import Any

from wattseal.errors import Malformed
from wattseal.gateway.logs import LogFilter

_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,63})", re.ASCII | re.IGNORECASE)
_DATA = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII | re.IGNORECASE)

MAX_TOPICS = 4
MAX_SLOTS = 64  # whose proofs are below a megabyte
MAX_ALTERNATIVES = 1000  # addresses, or topics at one place, in a filter


def quantity(name: str, value: object) -> int:
    """Read a JSON-RPC quantity of at most 256 bits. Raises Malformed."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise Malformed(f"{name} is no quantity as 0x1f: {value!r:.80}")
    return int(value, 16)


def data(name: str, value: object, length: int | None = None) -> bytes:
    """Read JSON-RPC bytes, of `length` bytes if given. Raises Malformed."""
    if not isinstance(value, str) or not _DATA.fullmatch(value) or (length is not None and len(value) != 2 + 2 * length):
        form = "an even number of" if length is None else str(2 * length)
        raise Malformed(f"{name} is not 0x and {form} hex digits: {value!r:.80}")
    return bytes.fromhex(value[2:])


def slot(value: object) -> int:
    """Read a storage slot: a quantity, or 32 bytes. Raises Malformed."""
    if isinstance(value, str) and len(value) == 66:
        return int.from_bytes(data("the slot", value, 32), "big")
    return quantity("the slot", value)


def slots(value: object) -> list[int]:
    """Read storage slots, at most MAX_SLOTS of them. Raises Malformed."""
    if not isinstance(value, list) or len(value) > MAX_SLOTS:
        raise Malformed(f"the slots are no array of at most {MAX_SLOTS}")
    return [slot(member) for member in value]


def flag(name: str, value: object) -> bool:
    """Read true or false. Raises Malformed."""
    if not isinstance(value, bool):
        raise Malformed(f"{name} is neither true nor false: {value!r:.80}")
    return value


def block_count(value: object) -> int:
    """Read a number of blocks, which some clients write in decimal. Raises Malformed."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return quantity("the number of blocks", value)


def percentiles(value: object) -> list[float]:
    """Read percentiles in rising order, 0 to 100, at most 100 of them. Raises Malformed."""
    if value is None:
        return []
    members = value if isinstance(value, list) else None
    if members is None or len(members) > 100 or not all(isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= 100 for p in members):
        raise Malformed("the percentiles are no array of at most 100 numbers from 0 to 100")
    if members != sorted(members):
        raise Malformed("the percentiles do not rise")
    return members


def log_filter(value: dict[str, Any]) -> LogFilter:
    """Read `address` and `topics` of a filter object. Raises Malformed."""
    topics = value.get("topics") or []
    if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
        raise Malformed(f"the topics are no array of at most {MAX_TOPICS}")
    return LogFilter(_alternatives("an address", value.get("address"), 20), tuple(_alternatives("a topic", topic, 32) for topic in topics))


def _alternatives(name: str, value: object, length: int) -> frozenset[bytes]:
    members = value if isinstance(value, list) else [] if value is None else [value]
    if len(members) > MAX_ALTERNATIVES:
        raise Malformed(f"a filter has more than {MAX_ALTERNATIVES} alternatives")
    return frozenset(data(name, member, length) for member in members)
