"""Transactions as a block holds them: legacy, EIP-2930, EIP-1559, EIP-4844, EIP-7702. Read strictly, written again byte by byte."""

from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from wattseal.errors import ProofError
from wattseal.gateway import rlp_strict
from wattseal.gateway.rlp_strict import Item
from wattseal.gateway.rpc import data, elements, field, quantity, to_hex
from wattseal.protocol import signatures

# A field by its JSON-RPC name; what it holds: an integer of so many bits, an address ("to": or none), bytes, or one of three kinds of list.
_HEAD = (("nonce", 64), ("gasPrice", 256), ("gas", 64), ("to", "to"), ("value", 256), ("input", "bytes"))
_FEES = (("chainId", 64), ("nonce", 64), ("maxPriorityFeePerGas", 256), ("maxFeePerGas", 256), ("gas", 64))
_CALL = (("to", "to"), ("value", 256), ("input", "bytes"), ("accessList", "access"))
_MUST_CALL = (("to", "address"), *_CALL[1:])
_FIELDS: dict[int, tuple[tuple[str, int | str], ...]] = {
    0: _HEAD,
    1: (("chainId", 64), *_HEAD, ("accessList", "access")),
    2: (*_FEES, *_CALL),
    3: (*_FEES, *_MUST_CALL, ("maxFeePerBlobGas", 256), ("blobVersionedHashes", "hashes")),
    4: (*_FEES, *_MUST_CALL, ("authorizationList", "authorizations")),
}
BLOB = 3
_AUTHORIZATION: tuple[tuple[str, int | str], ...] = (("chainId", 256), ("address", "address"), ("nonce", 64), ("yParity", 8), ("r", 256), ("s", 256))
GAS_PER_BLOB = 1 << 17  # EIP-4844


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded transaction: `raw` is its consensus encoding, `fields` its members by their JSON-RPC names, the signature apart."""

    raw: bytes
    kind: int
    fields: dict[str, Item]
    v: int
    r: int
    s: int

    @property
    def hash(self) -> bytes:
        """The transaction's hash."""
        return keccak(self.raw)

    def number(self, name: str) -> int:
        """Return a member that is an integer, 0 where this kind has none."""
        value = self.fields.get(name, b"")
        return int.from_bytes(value, "big") if isinstance(value, bytes) else 0

    @property
    def to(self) -> bytes | None:
        """The address that is called (20 bytes), None where a contract is created."""
        return self._bytes("to") or None

    @property
    def call(self) -> bytes:
        """What the called contract gets, or the code that creates one."""
        return self._bytes("input")

    @property
    def chain_id(self) -> int | None:
        """The chain it is for; None of a legacy transaction without replay protection (EIP-155)."""
        if self.kind:
            return self.number("chainId")
        return None if self.v in (27, 28) else (self.v - 35) // 2

    def sender(self) -> bytes:
        """Recover the address that signed (20 bytes). Raises BadSignature."""
        parity = self.v if self.kind else (self.v - 27 if self.v in (27, 28) else (self.v - 35) % 2)
        signature = self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + bytes([parity])
        return signatures.recover(self._signed_digest(), signature)

    def created(self) -> bytes | None:
        """Return the address of the contract that it creates, None where it creates none. Raises BadSignature."""
        if self.fields["to"]:
            return None
        address: bytes = keccak(rlp_strict.encode([self.sender(), self.fields["nonce"]]))[-20:]
        return address

    def effective_gas_price(self, base_fee_per_gas: int) -> int:
        """Return what it pays for a unit of gas in a block with that base fee, in wei (EIP-1559)."""
        if self.kind < 2:
            return self.number("gasPrice")
        return min(self.number("maxFeePerGas"), base_fee_per_gas + self.number("maxPriorityFeePerGas"))

    def _bytes(self, name: str) -> bytes:
        value = self.fields[name]
        return value if isinstance(value, bytes) else b""  # decoded, so it is

    def _signed_digest(self) -> bytes:
        members: list[Any] = list(self.fields.values())
        if self.kind == 0:
            return keccak(rlp_strict.encode(members if self.chain_id is None else [*members, self.chain_id, 0, 0]))
        return keccak(bytes([self.kind]) + rlp_strict.encode(members))


def decode(raw: bytes) -> Transaction:
    """Decode a transaction's consensus encoding (EIP-2718). Raises ProofError for anything that no block can hold."""
    kind = raw[0] if raw and raw[0] < 0x80 else 0
    if kind not in _FIELDS or raw[:1] == b"\0":
        raise ProofError(f"transactions of type {raw[0]:#x} are not known; 0 to 4 are")
    names = _FIELDS[kind]
    items = rlp_strict.decode(raw[1:] if kind else raw)
    if not isinstance(items, list) or len(items) != len(names) + 3:
        raise ProofError(f"a transaction of type {kind} is a list of {len(names) + 3} members")
    for (name, form), item in zip(names, items, strict=False):
        _check(name, form, item)
    v, r, s = (_integer(name, bits, item) for name, bits, item in zip("vrs", (64, 256, 256), items[-3:], strict=True))
    if (kind and v > 1) or (not kind and v not in (27, 28) and v < 35):
        raise ProofError(f"a transaction's v is {v}, which type {kind} does not have")
    return Transaction(raw, kind, {name: item for (name, _), item in zip(names, items, strict=False)}, v, r, s)


def encode(answer: object) -> bytes:
    """Return the consensus encoding of a transaction as eth_getBlockBy... returns it. Proven it is not yet. Raises ProofError."""
    kind = quantity(field(answer, "type"), "type") if isinstance(answer, dict) and "type" in answer else 0
    if kind not in _FIELDS:
        raise ProofError(f"transactions of type {kind:#x} are not known; 0 to 4 are")
    members = [_read(answer, name, form) for name, form in _FIELDS[kind]]
    signature = [_read_integer(field(answer, name), name) for name in "vrs"]
    body: bytes = rlp_strict.encode([*members, *signature])
    return bytes([kind]) + body if kind else body


def to_json(transaction: Transaction) -> dict[str, Any]:
    """Return the members that the transaction itself holds, its hash and its sender, as JSON-RPC writes them. Raises BadSignature."""
    shown: dict[str, Any] = {"type": to_hex(transaction.kind), "hash": to_hex(transaction.hash), "from": to_hex(transaction.sender())}
    shown |= {name: _shown(form, transaction.fields[name]) for name, form in _FIELDS[transaction.kind]}
    if transaction.kind:
        shown["yParity"] = to_hex(transaction.v)
    elif transaction.chain_id is not None:
        shown["chainId"] = to_hex(transaction.chain_id)
    return shown | {"v": to_hex(transaction.v), "r": to_hex(transaction.r), "s": to_hex(transaction.s)}


# -- one form of each: check, read from JSON, write as JSON ---------------------------------------------------------------------------


def _check(name: str, form: int | str, item: Item) -> None:
    if isinstance(form, int):
        _integer(name, form, item)
    elif form in ("to", "address", "bytes"):
        _bytes(name, item, {"to": (0, 20), "address": (20,), "bytes": None}[form])
    elif form == "hashes":
        for member in _list(name, item):
            _bytes(name, member, (32,))
    elif form == "access":
        for member in _list(name, item):
            address, keys = _pair(name, member)
            _bytes(name, address, (20,))
            for key in _list(name, keys):
                _bytes(name, key, (32,))
    else:
        for member in _list(name, item):
            parts = _list(name, member)
            if len(parts) != len(_AUTHORIZATION):
                raise ProofError(f"an entry of a transaction's {name} has {len(parts)} members, not {len(_AUTHORIZATION)}")
            for (part, part_form), value in zip(_AUTHORIZATION, parts, strict=True):
                _check(part, part_form, value)


def _read(answer: object, name: str, form: int | str) -> Any:
    if isinstance(form, int):
        return _read_integer(field(answer, name), name)
    if form == "to":
        return data(answer["to"], "to", 20) if isinstance(answer, dict) and answer.get("to") is not None else b""
    if form in ("address", "bytes"):
        return data(field(answer, name), name, 20 if form == "address" else None)
    if form == "hashes":
        return [data(member, name, 32) for member in elements(answer, name)]
    if form == "access":
        entries = elements(answer, name)
        return [[data(field(e, "address"), name, 20), [data(key, name, 32) for key in elements(e, "storageKeys")]] for e in entries]
    return [[_read(member, part, part_form) for part, part_form in _AUTHORIZATION] for member in elements(answer, name)]


def _shown(form: int | str, item: Any) -> Any:
    if isinstance(form, int):
        return to_hex(int.from_bytes(item, "big"))
    if form == "to":
        return to_hex(item) if item else None
    if form in ("address", "bytes"):
        return to_hex(item)
    if form == "hashes":
        return [to_hex(member) for member in item]
    if form == "access":
        return [{"address": to_hex(address), "storageKeys": [to_hex(key) for key in keys]} for address, keys in item]
    return [{part: _shown(part_form, value) for (part, part_form), value in zip(_AUTHORIZATION, entry, strict=True)} for entry in item]


def _read_integer(value: object, name: str) -> bytes:
    number = quantity(value, name)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _integer(name: str, bits: int, item: Item) -> int:
    raw = _bytes(name, item, None)
    if raw[:1] == b"\0" or len(raw) > bits // 8:
        raise ProofError(f"a transaction's {name} is no integer of {bits} bits: {to_hex(raw)[:80]}")
    return int.from_bytes(raw, "big")


def _bytes(name: str, item: Item, lengths: tuple[int, ...] | None) -> bytes:
    if not isinstance(item, bytes):
        raise ProofError(f"a transaction's {name} is a list where bytes belong")
    if lengths is not None and len(item) not in lengths:
        raise ProofError(f"a transaction's {name} has {len(item)} bytes, not {' or '.join(map(str, lengths))}")
    return item


def _list(name: str, item: Item) -> list[Item]:
    if not isinstance(item, list):
        raise ProofError(f"a transaction's {name} is no list")
    return item


def _pair(name: str, item: Item) -> list[Item]:
    pair = _list(name, item)
    if len(pair) != 2:
        raise ProofError(f"an entry of a transaction's {name} has {len(pair)} members, not 2")
    return pair
