# ruff: noqa: N815 - the fields of signed structs keep their EIP-712 names everywhere
"""The signed structs and the messages of the plug link, typed (docs/protocol.md, sections 1 and 2).

Byte strings are `bytes` here and `0x` hex on the wire. `from_wire` takes exactly the keys and ranges that the page names.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints

from wattseal.errors import BadSignature, Malformed, UnknownType
from wattseal.protocol import eip712
from wattseal.protocol.typed_data import FLAG_FINAL, TYPES

PROTOCOL_VERSION = 1
STATES = ("idle", "authorised", "charging", "suspended", "ending")

_HEX = re.compile(r"0x[0-9a-f]*")
_BYTE_LENGTHS = {"address": 20, "bytes32": 32, "public_key": 64, "signature": 65}
_PLUG_SIGNATURE_BYTES = (65, 128)  # on secp256k1, on P-256
_MAX_TEXT = 2048

Reader = Callable[[object], Any]
Address = Annotated[bytes, "address"]
Hash = Annotated[bytes, "bytes32"]
Signature = Annotated[bytes, "signature"]
PlugSignature = Annotated[bytes, "plug_signature"]
PublicKey = Annotated[bytes, "public_key"]
Uint1 = Annotated[int, "uint1"]
Int64 = Annotated[int, "int64"]
Uint32 = Annotated[int, "uint32"]
Uint63 = Annotated[int, "uint63"]
Uint64 = Annotated[int, "uint64"]
Uint96 = Annotated[int, "uint96"]
Uint256 = Annotated[int, "uint256"]
Text = Annotated[str, "text"]
State = Annotated[str, "state"]


@dataclass(frozen=True)
class Wire:
    """Base of everything that has a JSON object on the wire."""

    @classmethod
    def from_wire(cls, value: object) -> Self:
        """Read a JSON object. Raises Malformed, naming the key, for anything but exactly this type's keys and ranges."""
        readers = _readers(cls)  # type: ignore[arg-type]  # every class is hashable
        members = _exact_keys(cls.__name__, value, readers)
        return cls(*[read(members[name]) for name, read in readers.items()])

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {name: _write(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Struct(Wire):
    """Base of the signed structs, whose fields are those of `TYPES`."""

    def digest(self, domain: bytes) -> bytes:
        """Return the 32 bytes that are signed under a domain separator. Raises Malformed where a field is out of range."""
        return eip712.digest(domain, eip712.hash_struct(type(self).__name__, vars(self)))


@dataclass(frozen=True)
class Voucher(Struct):
    """A driver's terms for one session. Prices and cap in token base units, power in W, times in UTC seconds."""

    driver: bytes
    host: bytes
    plug: bytes
    token: bytes
    funding: int
    pricePerKwh: int
    pricePerHour: int
    maxPowerW: int
    cap: int
    issuedAt: int
    validUntil: int
    nonce: int


@dataclass(frozen=True)
class Receipt(Struct):
    """A session's totals so far, as the plug signs them. Energy in Wh, times in UTC seconds."""

    session: bytes
    sequence: int
    startedAt: int
    asOf: int
    activeSeconds: int
    registerWh: int
    energyWh: int
    flags: int
    evidence: bytes

    @property
    def final(self) -> bool:
        """Whether nothing comes after this receipt."""
        return bool(self.flags & FLAG_FINAL)


@dataclass(frozen=True)
class Stop(Struct):
    """A driver's wish to end a session."""

    session: bytes


@dataclass(frozen=True)
class Enrol(Struct):
    """A plug's word for whom it works, from an epoch on."""

    plug: bytes
    host: bytes
    epoch: int


@dataclass(frozen=True)
class Retire(Struct):
    """A plug's last word: its key is given up for its successor's."""

    plug: bytes
    successor: bytes
    epoch: int


def due(voucher: Voucher, receipt: Receipt) -> int:
    """Return what the contract owes the host for a receipt, in token base units."""
    wh = min(receipt.energyWh, voucher.maxPowerW * receipt.activeSeconds // 3600)
    return min(voucher.cap, wh * voucher.pricePerKwh // 1000 + receipt.activeSeconds * voucher.pricePerHour // 3600)


@dataclass(frozen=True)
class Message(Wire):
    """Base of the messages on the link; `type` is the one on the wire."""

    type: ClassVar[str]

    def frame(self) -> dict[str, Any]:
        """Return the JSON object with its `type`, ready for `framing.encode`."""
        return {"type": self.type, **self.to_wire()}


# -- plug to relay --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello(Message):
    """Who speaks."""

    type = "hello"
    version: Uint32
    plug: Address
    chain_id: Uint256
    contract: Address
    firmware: Text
    board: Text
    rated_power_w: Uint32


@dataclass(frozen=True)
class Offer(Message):
    """The plug is free; a voucher must carry this nonce and pay at least these prices (token base units)."""

    type = "offer"
    nonce: Uint64
    issued_at: Uint64
    price_per_kwh: Uint96
    price_per_hour: Uint96


@dataclass(frozen=True)
class SessionMessage(Message):
    """The plug has accepted a voucher."""

    type = "session"
    session: Hash
    voucher: Voucher
    signature: Signature


@dataclass(frozen=True)
class ReceiptMessage(Message):
    """A receipt, and the payload its `evidence` is the hash of."""

    type = "receipt"
    receipt: Receipt
    signature: PlugSignature
    ocmf: Text

    @property
    def session(self) -> bytes:
        """The session of the receipt."""
        return self.receipt.session


@dataclass(frozen=True)
class Status(Message):
    """What the plug does and measures at the UTC second `at`. Unsigned: for display only."""

    type = "status"
    state: State
    session: Hash | None
    at: Uint63
    voltage_mv: Uint63
    current_ma: Uint63
    power_mw: Int64
    register_mwh: Uint63
    contactor: Uint1
    frequency_mhz: Uint32 | None
    contact_mc: Int64 | None
    plug_mc: Int64 | None
    guard: Text
    waits_for: Text | None
    trip: Text | None
    trip_detail: Text | None
    weld: Text


@dataclass(frozen=True)
class Health(Message):
    """What went wrong since boot, counted; and the last crash in words."""

    type = "health"
    uptime_s: Uint63
    refused: Uint63
    damaged: Uint63
    meter_failures: Uint63
    meter_discarded: Uint63
    crash: Text | None


@dataclass(frozen=True)
class Enrolment(Message):
    """The plug's key (x || y), and its signature over `Enrol`: for whom it works from an epoch on."""

    type = "enrolment"
    plug: Address
    host: Address
    epoch: Uint64
    curve: Text
    public_key: PublicKey
    signature: PlugSignature

    @property
    def statement(self) -> Enrol:
        """What is signed."""
        return Enrol(self.plug, self.host, self.epoch)


@dataclass(frozen=True)
class RetiredMessage(Message):
    """The signature over `Retire` by the key of `plug`, which the speaker's key has replaced."""

    type = "retired"
    plug: Address
    successor: Address
    epoch: Uint64
    signature: PlugSignature

    @property
    def statement(self) -> Retire:
        """What is signed."""
        return Retire(self.plug, self.successor, self.epoch)


@dataclass(frozen=True)
class Pong(Message):
    """Answers `ping`; `budget_ma` is the newest budget that the plug has taken since its boot, None before the first."""

    type = "pong"
    budget_ma: Uint32 | None


@dataclass(frozen=True)
class Gone(Message):
    """The plug's last will at the broker: its connection has ended."""

    type = "gone"


# -- both ways ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refused(Message):
    """Something was not taken."""

    type = "refused"
    code: Text
    message: Text
    session: Hash | None


# -- relay to plug --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Time(Message):
    """Chain time, UTC seconds."""

    type = "time"
    utc: Uint64


@dataclass(frozen=True)
class VoucherMessage(Message):
    """A driver's voucher."""

    type = "voucher"
    voucher: Voucher
    signature: Signature


@dataclass(frozen=True)
class Lock(Message):
    """The lock of a session's voucher is open on chain."""

    type = "lock"
    session: Hash


@dataclass(frozen=True)
class StopMessage(Message):
    """The driver's signature over `Stop`."""

    type = "stop"
    session: Hash
    signature: Signature


@dataclass(frozen=True)
class Ack(Message):
    """A receipt is committed; `status` is `stored` or `superseded`."""

    type = "ack"
    session: Hash
    sequence: Uint32
    status: Text


@dataclass(frozen=True)
class Settled(Message):
    """The final receipt is paid."""

    type = "settled"
    session: Hash


@dataclass(frozen=True)
class End(Message):
    """The host ends a session."""

    type = "end"
    session: Hash


@dataclass(frozen=True)
class Budget(Message):
    """What a site grants the plug for the next 15 minutes."""

    type = "budget"
    current_ma: Uint32


@dataclass(frozen=True)
class ClearTrip(Message):
    """The host has looked at a tripped plug."""

    type = "clear_trip"


@dataclass(frozen=True)
class Reboot(Message):
    """The host restarts a plug whose contacts are open."""

    type = "reboot"


@dataclass(frozen=True)
class EnrolMessage(Message):
    """Asks for `enrolment`, for the host of the plug's own configuration."""

    type = "enrol"
    epoch: Uint64


@dataclass(frozen=True)
class Ping(Message):
    """Asks for `pong`."""

    type = "ping"


@dataclass(frozen=True)
class Greet(Message):
    """Asks the plug to start over as on a new connection: hello first, and everything unacknowledged again."""

    type = "greet"


@dataclass(frozen=True)
class NewContactor(Message):
    """The host has replaced the contactor: its wear counts from 0."""

    type = "new_contactor"


Command = End | Budget | ClearTrip | NewContactor | Reboot
_COMMANDS: dict[str, type[Command]] = {kind.type: kind for kind in get_args(Command)}

PlugMessage = Hello | Offer | SessionMessage | ReceiptMessage | Status | Health | Enrolment | RetiredMessage | Refused | Pong | Gone
_PLUG_MESSAGES: dict[str, type[PlugMessage]] = {kind.type: kind for kind in get_args(PlugMessage)}

RelayMessage = Time | VoucherMessage | Lock | StopMessage | Ack | Settled | EnrolMessage | Ping | Greet | Refused | Command


def parse_plug_message(frame: Mapping[str, Any]) -> PlugMessage:
    """Read what `framing.decode` made of a plug's line. Raises UnknownType or Malformed."""
    kind = _PLUG_MESSAGES.get(frame["type"])
    if kind is None:
        raise UnknownType(f"no message type {frame['type']!r:.40}; this relay speaks version {PROTOCOL_VERSION} of the protocol")
    return kind.from_wire({key: value for key, value in frame.items() if key != "type"})


def parse_command(frame: Mapping[str, Any]) -> Command:
    """Read a host's command to a plug, an object with its `type`. Raises Malformed."""
    kind = _COMMANDS.get(frame["type"]) if isinstance(frame.get("type"), str) else None
    if kind is None:
        raise Malformed(f"type is {frame.get('type')!r:.40}; expected one of {', '.join(_COMMANDS)}")
    return kind.from_wire({key: value for key, value in frame.items() if key != "type"})


# -- values on the wire ---------------------------------------------------------------------------------------------------------------


@cache
def _readers(cls: type[Wire]) -> dict[str, Reader]:
    """Field names of a class, in order, and what reads each: by its kind in `TYPES`, else by the annotation."""
    if cls.__name__ in TYPES:
        kinds: dict[str, Any] = {name: kind for kind, name in TYPES[cls.__name__]}
    else:
        hints = get_type_hints(cls, include_extras=True)
        kinds = {field.name: hints[field.name] for field in fields(cls)}
    return {name: _reader(kind, f"{cls.__name__}.{name}") for name, kind in kinds.items()}


def _exact_keys(what: str, value: object, keys: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Malformed(f"{what} is no object: {value!r:.80}")
    if value.keys() == keys.keys():
        return value
    for key in keys:
        if key not in value:
            raise Malformed(f"{what}.{key} is missing")
    other = next(key for key in value if key not in keys)
    raise Malformed(f"{what} has no {other!r:.40}: expected {', '.join(keys) or 'no keys'}")


def _reader(kind: Any, name: str) -> Reader:
    if get_origin(kind) is UnionType or NoneType in get_args(kind):
        read = _reader(get_args(kind)[0], name)
        return lambda value: None if value is None else read(value)
    if is_dataclass(kind):
        return kind.from_wire  # type: ignore[union-attr,no-any-return]
    kind = get_args(kind)[1] if get_origin(kind) is Annotated else kind
    if kind in _BYTE_LENGTHS:
        return partial(read_hex, name, length=_BYTE_LENGTHS[kind])
    return partial(_READERS.get(kind) or partial(eip712.check_value, kind), name)


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT or "\0" in value:
        raise Malformed(f"{name} is no text of at most {_MAX_TEXT} characters, none of them NUL: {value!r:.80}")
    return value


def _read_state(name: str, value: object) -> str:
    if value not in STATES:
        raise Malformed(f"{name} is {value!r:.80}; expected one of {', '.join(STATES)}")
    return str(value)


def _read_int64(name: str, value: object) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise Malformed(f"{name} is no integer of 64 bits: {value!r:.80}")
    return value


def read_hex(name: str, value: object, length: int) -> bytes:
    """Read `0x` and lower-case hex of `length` bytes. Raises Malformed, naming the field."""
    if not isinstance(value, str) or len(value) != 2 + 2 * length or not _HEX.fullmatch(value):
        raise Malformed(f"{name} is not 0x and {2 * length} lower-case hex digits: {value!r:.80}")
    return bytes.fromhex(value[2:])


def _read_plug_signature(name: str, value: object) -> bytes:
    length = (len(value) - 2) // 2 if isinstance(value, str) else _PLUG_SIGNATURE_BYTES[0]
    signature = read_hex(name, value, length)
    if length not in _PLUG_SIGNATURE_BYTES:
        raise BadSignature(f"{name} has {length} bytes, not 65 (secp256k1) or 128 (P-256)")
    return signature


_READERS: dict[str, Callable[[str, object], Any]] = {
    "plug_signature": _read_plug_signature,
    "text": _read_text,
    "state": _read_state,
    "int64": _read_int64,
}


def to_hex(value: bytes) -> str:
    """Write bytes as they are on the wire."""
    return "0x" + value.hex()


def _write(value: Any) -> Any:
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, Wire):
        return value.to_wire()
    return value
