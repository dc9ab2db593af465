import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadEvidence
from wattseal.protocol import ocmf

from tests.host_tools.conftest import Actors

ACTORS = Actors()
RECEIPT = ACTORS.receipt(b"\xab" * 32, 3, startedAt=1772374800, asOf=1772375700, registerWh=20_000, energyWh=500)
FINAL = ACTORS.receipt(b"\xab" * 32, 3, final=True)
PAYLOAD = (
    '{"FV":"1.0","GI":"Wattseal","GS":"0x' + ACTORS.plug.hex() + '","GV":"0.1.0","PG":"T3","IS":true,"IL":"NONE","IF":[],"IT":"NONE","ID":"",'
    '"XS":"0x' + "ab" * 32 + '","XN":"' + "5c" * 16 + '","XC":"' + "ca" * 32 + '","RD":['
    '{"TM":"2026-03-01T14:20:00,000+0000 R","TX":"B","RV":20000,"RI":"1-0:1.8.0*255","RU":"Wh","ST":"G"},'
    '{"TM":"2026-03-01T14:35:00,000+0000 R","TX":"C","RV":20500,"RI":"1-0:1.8.0*255","RU":"Wh","ST":"G"}]}'
)


def check(payload: str, receipt: Any = RECEIPT) -> None:
    """Check a payload whose hash is right."""
    ocmf.check(payload, replace(receipt, evidence=sha256(payload.encode()).digest()), ACTORS.plug)


def changed(**members: Any) -> str:
    return json.dumps(json.loads(PAYLOAD) | members)


def test_the_payload_is_the_one_of_the_page() -> None:
    assert ocmf.build(RECEIPT, ACTORS.plug, "0.1.0", b"\x5c" * 16, b"\xca" * 32) == PAYLOAD
    check(PAYLOAD)


def test_the_final_reading_ends_the_transaction() -> None:
    payload = ocmf.build(FINAL, ACTORS.plug, "0.1.0", bytes(16), bytes(32))
    assert json.loads(payload)["RD"][1]["TX"] == "E"
    check(payload, FINAL)
    with pytest.raises(BadEvidence, match="RD"):
        check(payload, replace(FINAL, flags=0))


def test_another_hash_is_refused() -> None:
    with pytest.raises(BadEvidence, match="SHA-256"):
        ocmf.check(PAYLOAD, RECEIPT, ACTORS.plug)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("FV", "1.1"),
        ("GI", "Other"),
        ("GS", "0x" + "00" * 20),
        ("GV", ""),
        ("GV", "a|b"),
        ("GV", 1),
        ("PG", "T4"),
        ("IS", 1),
        ("IF", {}),
        ("XS", "0x" + "ac" * 32),
        ("XN", "5c" * 15),
        ("XN", None),
        ("RD", []),
        ("RD", None),
    ],
)
def test_a_member_that_says_something_else_is_refused_and_named(key: str, value: object) -> None:
    with pytest.raises(BadEvidence, match=key):
        check(changed(**{key: value}))


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TM", "2026-03-01T14:20:01,000+0000 R"),
        ("TM", "2026-03-01T14:20:00,000+0000 U"),
        ("TX", "X"),
        ("RV", 20_501),
        ("RV", True),
        ("RV", "20000"),
        ("RU", "kWh"),
        ("ST", "E"),
        ("EF", "E"),
    ],
)
def test_a_reading_that_says_something_else_is_refused(index: int, key: str, value: object) -> None:
    readings = json.loads(PAYLOAD)["RD"]
    readings[index][key] = value
    with pytest.raises(BadEvidence, match="RD"):
        check(changed(RD=readings))


@pytest.mark.parametrize(
    "payload", ["", "{}", "[]", "null", "{", PAYLOAD[:-1] + ',"XX":1}', PAYLOAD[:-1] + ',"FV":"1.0"}', PAYLOAD.replace("20500,", "20500.0,")]
)
def test_what_is_no_strict_payload_is_refused(payload: str) -> None:
    with pytest.raises(BadEvidence):
        check(payload)


@given(payload=st.text(st.characters(codec="utf-8")))
def test_arbitrary_text_raises_nothing_but_bad_evidence(payload: str) -> None:
    with pytest.raises(BadEvidence):
        check(payload)


def test_a_time_without_a_date_is_refused() -> None:
    with pytest.raises(BadEvidence, match="no calendar date"):
        check(PAYLOAD, replace(RECEIPT, startedAt=2**64 - 1))
