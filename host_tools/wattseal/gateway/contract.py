"""What Wattseal.vy looks like from outside: calls, storage slots, events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.types import SessionState
from wattseal.protocol.messages import Receipt, Voucher
from wattseal.protocol.typed_data import TYPES

_ARTIFACT = json.loads((files(__package__) / "wattseal_contract.json").read_text())

BYTECODE = bytes.fromhex(_ARTIFACT["bytecode"].removeprefix("0x"))

STATUS_NONE = 0  # never opened, or closed and forgotten
STATUS_OPEN = 1
STATUS_CLOSED = 2
_STATUS_SHIFT = 248


def _canonical(parameter: dict[str, Any]) -> str:
    """Return a parameter's type as it stands in a signature."""
    if parameter["type"] == "tuple":
        return f"({','.join(map(_canonical, parameter['components']))})"
    return str(parameter["type"])


_PARAMETERS = {
    (entry["type"], entry["name"]): [_canonical(parameter) for parameter in entry["inputs"]] for entry in _ARTIFACT["abi"] if "name" in entry
}


def _signature_hash(kind: str, name: str) -> bytes:
    return keccak(f"{name}({','.join(_PARAMETERS[kind, name])})".encode())


_EVENT_NAMES = {_signature_hash(kind, name): name for kind, name in _PARAMETERS if kind == "event"}


def call_data(function: str, *arguments: Voucher | Receipt | bytes) -> bytes:
    """Return the input of a call to a function of the contract. Addresses are 20 bytes."""
    values = [_members(argument) if isinstance(argument, Voucher | Receipt) else argument for argument in arguments]
    return _signature_hash("function", function)[:4] + encode(_PARAMETERS["function", function], values)


def _members(struct: Voucher | Receipt) -> tuple[int | bytes, ...]:
    return tuple(getattr(struct, name) for _, name in TYPES[type(struct).__name__])


def session_slot(session: bytes) -> int:
    """Return the storage slot of a session (32 bytes). Vyper hashes the mapping's slot first, then the key."""
    return _mapping_slot("sessions", session)


def balance_slot(owner: bytes) -> int:
    """Return the storage slot of an address's balance."""
    return _mapping_slot("balance_of", owner.rjust(32, b"\0"))


def _mapping_slot(name: str, key: bytes) -> int:
    slot: int = _ARTIFACT["storage_slots"][name]
    return int.from_bytes(keccak(slot.to_bytes(32, "big") + key), "big")


def session_state(word: int) -> SessionState:
    """Read a session's slot."""
    return SessionState(status=word >> _STATUS_SHIFT, paid=word & ((1 << _STATUS_SHIFT) - 1))


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the contract: its indexed arguments as 32-byte keys, the others as words."""

    name: str
    keys: tuple[bytes, ...]
    words: tuple[int, ...]

    @property
    def total_paid(self) -> int:
        """What the session was paid in total, of a `Settled` event."""
        return self.words[1]


def event_topic(name: str) -> bytes:
    """Return the first topic of an event."""
    return _signature_hash("event", name)


def events(receipt: TransactionReceipt, contract: bytes) -> Iterator[Event]:
    """Yield the events that `contract` logged in a transaction, in order."""
    for log in receipt.logs:
        if log.address == contract and log.topics and log.topics[0] in _EVENT_NAMES:
            words = [int.from_bytes(log.data[start : start + 32], "big") for start in range(0, len(log.data), 32)]
            yield Event(_EVENT_NAMES[log.topics[0]], log.topics[1:], tuple(words))
