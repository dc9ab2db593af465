"""A receipt that stands alone: with its voucher, chain and contract it can be verified and settled by whoever holds it (docs/driver.md).

It has two forms, a JSON object and a short text for a QR code. The text leaves out what follows from the rest: the session (the voucher's
digest), the evidence (the payload's hash) and all of the payload that the receipt says already.
"""

import json
from base64 import b32decode, b32encode
from binascii import Error as BadBase32
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self
from zlib import crc32

from wattseal.errors import BadEvidence, Malformed
from wattseal.protocol import ocmf
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.framing import strict_json
from wattseal.protocol.messages import Address, PlugSignature, Receipt, ReceiptMessage, Text, Uint64, Voucher, Wire, due
from wattseal.protocol.typed_data import TYPES

PREFIX = "WATTSEAL1:"
MAX_TEXT_CHARACTERS = 1500
MAX_JSON_BYTES = 16 << 10
_LEFT_OUT = ("session", "evidence")  # of a receipt's fields
_SALT_BYTES, _CALIBRATION_BYTES = 16, 32
_WIDTHS = {"address": 20, "bytes32": 32}


@dataclass(frozen=True)
class Bill(Wire):
    """A receipt, the plug's signature, the OCMF payload, and what they belong to. `chain_id` is below 2^64 here."""

    chain_id: Uint64
    contract: Address
    voucher: Voucher
    receipt: Receipt
    signature: PlugSignature
    ocmf: Text

    @property
    def domain(self) -> bytes:
        """The EIP-712 domain separator that everything was signed under."""
        return domain_separator(self.chain_id, self.contract)

    @property
    def message(self) -> ReceiptMessage:
        """The receipt as it is on the link."""
        return ReceiptMessage(self.receipt, self.signature, self.ocmf)

    @property
    def due(self) -> int:
        """What the contract owes the host for it, in token base units."""
        return due(self.voucher, self.receipt)

    def to_json(self) -> str:
        """Return the JSON object, readable, with a newline at its end."""
        return json.dumps(self.to_wire(), indent=2) + "\n"

    def to_text(self) -> str:
        """Return the text for a QR code: PREFIX and base32, all of QR's alphanumeric mode. Raises BadEvidence where the payload has another form."""
        payload = strict_json(self.ocmf.encode())
        firmware, salt, calibration = payload["GV"], bytes.fromhex(payload["XN"]), bytes.fromhex(payload["XC"])
        if ocmf.build(self.receipt, self.voucher.plug, firmware, salt, calibration) != self.ocmf:
            raise BadEvidence("the OCMF payload is right but not written as plugs write it: pass the receipt on as JSON")
        parts = [self.chain_id.to_bytes(8), self.contract]
        parts += [_packed(kind, getattr(self.voucher, name)) for kind, name in TYPES["Voucher"]]
        parts += [_packed(kind, getattr(self.receipt, name)) for kind, name in TYPES["Receipt"] if name not in _LEFT_OUT]
        parts += [salt, calibration, bytes([len(firmware)]), firmware.encode(), self.signature]
        body = b"".join(parts)
        return PREFIX + b32encode(body + crc32(body).to_bytes(4)).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote; whether anything in it is true is not looked at. Raises Malformed, BadEvidence or BadSignature."""
        reader = _Reader(_unwrapped(text))
        chain_id, contract = reader.integer(8), reader.take(20)
        voucher = Voucher(**{name: reader.value(kind) for kind, name in TYPES["Voucher"]})
        values = {name: reader.value(kind) for kind, name in TYPES["Receipt"] if name not in _LEFT_OUT}
        salt, calibration = reader.take(_SALT_BYTES), reader.take(_CALIBRATION_BYTES)
        firmware = reader.take(reader.integer(1)).decode("ascii", "replace")
        session = voucher.digest(domain_separator(chain_id, contract))
        receipt = Receipt(session=session, evidence=bytes(32), **values)
        payload = ocmf.build(receipt, voucher.plug, firmware, salt, calibration)
        receipt = replace(receipt, evidence=sha256(payload.encode()).digest())
        bill = cls(chain_id, contract, voucher, receipt, reader.rest(), payload)
        return cls.from_wire(bill.to_wire())

    @classmethod
    def read(cls, text: str) -> Self:
        """Read either form. Raises Malformed, BadEvidence or BadSignature."""
        if text.strip().upper().startswith(PREFIX):
            return cls.from_text(text)
        if len(text.encode()) > MAX_JSON_BYTES:
            raise Malformed(f"this has more than {MAX_JSON_BYTES} bytes: no receipt is as long")
        try:
            found = strict_json(text.encode())
        except ValueError as error:
            raise Malformed(f"this is neither a text that starts with {PREFIX} nor JSON: {error}") from error
        return cls.from_wire(found)


class _Reader:
    """Takes bytes off the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, length: int) -> bytes:
        if length > len(self._data):
            raise Malformed(f"the receipt's text ends {length - len(self._data)} bytes too early: scan or copy it again")
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def integer(self, length: int) -> int:
        return int.from_bytes(self.take(length))

    def value(self, kind: str) -> Any:
        return self.take(_WIDTHS[kind]) if kind in _WIDTHS else self.integer(_width(kind))

    def rest(self) -> bytes:
        return self.take(len(self._data))


def _unwrapped(text: str) -> bytes:
    """Return the bytes behind a text whose prefix, alphabet and checksum are right."""
    letters = "".join(text.split()).upper()
    if len(letters) > MAX_TEXT_CHARACTERS:
        raise Malformed(f"the receipt's text has {len(letters)} characters; none has more than {MAX_TEXT_CHARACTERS}")
    letters = letters.removeprefix(PREFIX)
    try:
        data = b32decode(letters + "=" * (-len(letters) % 8))
    except BadBase32 as error:
        raise Malformed(f"the receipt's text has other characters than A to Z and 2 to 7, or lacks some: {error}; scan or copy it again") from error
    body, checksum = data[:-4], data[-4:]
    if crc32(body).to_bytes(4) != checksum:
        raise Malformed("the receipt's text is damaged (its checksum differs): scan or copy it again")
    return body


def _packed(kind: str, value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.to_bytes(_width(kind))


def _width(kind: str) -> int:
    return int(kind.removeprefix("uint")) // 8
