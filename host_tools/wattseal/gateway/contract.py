"""What Wattseal.vy looks like from outside: calls, storage slots, events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

from eth_abi.abi import encode
from eth_hash.auto import keccak

from wattseal.errors import BadSignature
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
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_canonical, parameter['components']))}){kind.removeprefix('tuple')}"  # with the brackets of an array


def _parameters(kind: str) -> dict[tuple[str, int], list[str]]:
    """Return the parameters' types of all functions or events by name and number: a function with a default argument is there twice."""
    entries = [entry for entry in _ARTIFACT["abi"] if entry["type"] == kind]
    return {(entry["name"], len(entry["inputs"])): [_canonical(parameter) for parameter in entry["inputs"]] for entry in entries}


def _signature_hash(name: str, parameters: list[str]) -> bytes:
    return keccak(f"{name}({','.join(parameters)})".encode())


_FUNCTIONS = _parameters("function")
_EVENT_TOPICS = {name: _signature_hash(name, parameters) for (name, _), parameters in _parameters("event").items()}
_EVENT_NAMES = {topic: name for name, topic in _EVENT_TOPICS.items()}

MAX_CLAIMS = 100  # in one call
CLAIM_BYTES = 28 * 32
_SESSION_AT = len(TYPES["Voucher"]) * 32  # the receipt, whose first word it is, follows the voucher
_SETTLE, _SETTLE_MANY = (_signature_hash(name, _FUNCTIONS[name, 1])[:4] for name in ("settle", "settle_many"))

# What a call takes: structs, byte strings and integers, and lists and tuples of these.
Argument: TypeAlias = "Voucher | Receipt | bytes | int | list[Argument] | tuple[Argument, ...]"


def call_data(function: str, *arguments: Argument) -> bytes:
    """Return the input of a call to a function of the contract. Addresses are 20 bytes."""
    parameters = _FUNCTIONS[function, len(arguments)]
    return _signature_hash(function, parameters)[:4] + encode(parameters, [_plain(argument) for argument in arguments])


def claim(voucher: Voucher, receipt: Receipt, plug_signature: bytes, driver_signature: bytes = b"") -> Argument:
    """Return one claim of `settle_many`: the same words that `settle` takes, none of them smaller than 32 bytes."""
    plug_words, driver_words = _signature_words(plug_signature), _signature_words(driver_signature)
    return tuple(map(_word, _plain(voucher))), (receipt.session, *map(_word, _plain(receipt)[1:-1]), receipt.evidence), plug_words, driver_words[:3]


def settle_call(claims: "list[Argument]") -> bytes:
    """Return the call that settles what `claim` gave: `settle` for one, `settle_many` for more."""
    return call_data("settle", claims[0]) if len(claims) == 1 else call_data("settle_many", claims)


def encoded_claim(claim: Argument) -> bytes:
    """Return a claim as it stands in a call, CLAIM_BYTES long."""
    return call_data("settle", claim)[4:]


def claims_in(call: bytes) -> list[bytes]:
    """Return the encoded claims in a call of `settle_call`'s, none of any other."""
    heads = {_SETTLE: 4, _SETTLE_MANY: 4 + 2 * 32}  # an array has its offset and its length before it
    start = heads.get(call[:4])
    if start is None or (len(call) - start) % CLAIM_BYTES:
        return []
    return [call[place : place + CLAIM_BYTES] for place in range(start, len(call), CLAIM_BYTES)]


def claimed_session(encoded: bytes) -> bytes:
    """Return the session that an encoded claim is for."""
    return encoded[_SESSION_AT : _SESSION_AT + 32]


def refusals(answer: bytes, count: int) -> list[str]:
    """Read what `settle_many` returns for so many claims: the code of each refusal, else "". What is no such answer refuses nothing."""
    if len(answer) != (2 + count) * 32:
        return [""] * count
    words = [answer[start : start + 32] for start in range(64, len(answer), 32)]
    return [word.rstrip(b"\0").decode("ascii", "replace") for word in words]


def _word(value: int | bytes) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, "big")


def _signature_words(signature: bytes) -> tuple[int, ...]:
    """Return r, s, v, 0 or r, s, x, y of a signature of 65 or 128 bytes, zeros of none. Raises BadSignature for any other length."""
    if len(signature) not in (0, 65, 128):
        raise BadSignature(f"a signature has 65 or 128 bytes, this one {len(signature)}")
    parts = [signature[start : start + 32] for start in range(0, 128, 32)]
    return tuple(int.from_bytes(part, "big") for part in parts)


def _plain(argument: Argument) -> Any:
    """Return what eth_abi takes for an argument."""
    if isinstance(argument, Voucher | Receipt):
        return tuple(getattr(argument, name) for _, name in TYPES[type(argument).__name__])
    return [_plain(member) for member in argument] if isinstance(argument, list | tuple) else argument


def session_slot(session: bytes) -> int:
    """Return the storage slot of a session (32 bytes). Vyper hashes the mapping's slot first, then the key."""
    return _mapping_slot("sessions", session)


def balance_slot(owner: bytes, token: bytes) -> int:
    """Return the storage slot of an address's balance of a token (20 bytes, zeros for the native coin)."""
    return _mapping_slot("balances", owner.rjust(32, b"\0"), token.rjust(32, b"\0"))


def _mapping_slot(name: str, *keys: bytes) -> int:
    slot: int = _ARTIFACT["storage_slots"][name]
    for key in keys:
        slot = int.from_bytes(keccak(slot.to_bytes(32, "big") + key), "big")
    return slot


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

    @property
    def closed(self) -> bool:
        """Whether a `Settled` event closed its session."""
        return self.words[2] != 0


def event_topic(name: str) -> bytes:
    """Return the first topic of an event."""
    return _EVENT_TOPICS[name]


def events(receipt: TransactionReceipt, contract: bytes) -> Iterator[Event]:
    """Yield the events that `contract` logged in a transaction, in order."""
    for log in receipt.logs:
        if log.address == contract and log.topics and log.topics[0] in _EVENT_NAMES:
            words = [int.from_bytes(log.data[start : start + 32], "big") for start in range(0, len(log.data), 32)]
            yield Event(_EVENT_NAMES[log.topics[0]], log.topics[1:], tuple(words))
