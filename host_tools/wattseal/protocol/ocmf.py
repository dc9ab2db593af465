"""The OCMF payload that a receipt's `evidence` is the hash of (docs/protocol.md, section 4; Open Charge Metering Format 1.x)."""

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from wattseal.errors import BadEvidence
from wattseal.protocol.framing import strict_json
from wattseal.protocol.messages import Receipt

_OBIS_IMPORT = "1-0:1.8.0*255"
_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that TM can write
# Printable ASCII without quotes and backslash (no escapes to disagree on) and without the pipe that separates OCMF sections.
_FIRMWARE = re.compile(r"[ !#-\[\]-{}~]{1,64}")
_SALT = re.compile(r"[0-9a-f]{32}")
_CALIBRATION = re.compile(r"[0-9a-f]{64}")
_AS_BUILT = re.compile(r'\{"FV":"1\.0","GI":"Wattseal","GS":"[^"]*","GV":"([^"]*)".*"XN":"([^"]*)","XC":"([^"]*)","RD".*')
_KEYS = ("FV", "GI", "GS", "GV", "PG", "IS", "IL", "IF", "IT", "ID", "XS", "XN", "XC", "RD")


def build(receipt: Receipt, plug: bytes, firmware: str, salt: bytes, calibration: bytes) -> str:
    """Return the payload text for a receipt's session, sequence, times, readings and final flag.

    `plug` is a 20-byte address, `salt` 16 random bytes, `calibration` the SHA-256 (32 bytes) of the meter's calibration. The receipt's
    `evidence` is not read. Raises BadEvidence where a time has no calendar date or the firmware name does not fit.
    """
    return _payload(receipt, plug, firmware, salt.hex(), calibration.hex())


def check(payload: str, receipt: Receipt, plug: bytes) -> None:
    """Raise BadEvidence unless the payload has the signed hash and says what the receipt of this plug (20-byte address) says."""
    data = payload.encode()
    if sha256(data).digest() != receipt.evidence:
        raise BadEvidence(f"the payload's SHA-256 is {sha256(data).hexdigest()}, the receipt's evidence {receipt.evidence.hex()}")
    as_built = _AS_BUILT.fullmatch(payload)
    if as_built and payload == _payload(receipt, plug, *as_built.groups()):
        return
    try:
        found = strict_json(data)
    except ValueError as error:
        raise BadEvidence(f"the OCMF payload is no JSON: {error}") from error
    if not isinstance(found, dict) or set(found) != set(_KEYS):
        raise BadEvidence(f"the OCMF payload's keys are not {', '.join(_KEYS)}")
    expected = json.loads(_payload(receipt, plug, found["GV"], found["XN"], found["XC"]))
    for key in _KEYS:
        if not _same(found[key], expected[key]):
            raise BadEvidence(f"OCMF {key} is {found[key]!r:.200}; by the receipt it is {expected[key]!r}")


def _payload(receipt: Receipt, plug: bytes, firmware: object, salt: object, calibration: object) -> str:
    if not isinstance(firmware, str) or not _FIRMWARE.fullmatch(firmware):
        raise BadEvidence(f"OCMF GV is {firmware!r:.80}; expected 1 to 64 plain characters")
    if not isinstance(salt, str) or not _SALT.fullmatch(salt):
        raise BadEvidence(f"OCMF XN is {salt!r:.80}; expected 32 lower-case hex digits")
    if not isinstance(calibration, str) or not _CALIBRATION.fullmatch(calibration):
        raise BadEvidence(f"OCMF XC is {calibration!r:.80}; expected 64 lower-case hex digits")
    start = _reading(receipt.startedAt, "B", receipt.registerWh)
    now = _reading(receipt.asOf, "E" if receipt.final else "C", receipt.registerWh + receipt.energyWh)
    return (
        f'{{"FV":"1.0","GI":"Wattseal","GS":"0x{plug.hex()}","GV":"{firmware}","PG":"T{receipt.sequence}",'
        f'"IS":true,"IL":"NONE","IF":[],"IT":"NONE","ID":"","XS":"0x{receipt.session.hex()}","XN":"{salt}","XC":"{calibration}",'
        f'"RD":[{start},{now}]}}'
    )


def _reading(utc: int, kind: str, register_wh: int) -> str:
    return f'{{"TM":"{_date(utc)}","TX":"{kind}","RV":{register_wh},"RI":"{_OBIS_IMPORT}","RU":"Wh","ST":"G"}}'


@lru_cache(4096)  # a session's start comes with each of its receipts
def _date(utc: int) -> str:
    if utc > _LAST_SECOND:
        raise BadEvidence(f"{utc} has no calendar date")
    return datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%dT%H:%M:%S,000+0000 R")


def _same(found: object, expected: object) -> bool:
    """Equality that, unlike Python's, tells true from 1."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_same, found, expected))
    return type(found) is type(expected) and found == expected
