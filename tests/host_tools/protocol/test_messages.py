import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadSignature, Malformed, ProtocolError, UnknownType
from wattseal.protocol import eip712, messages, signatures
from wattseal.protocol.messages import Enrol, Receipt, ReceiptMessage, Retire, Stop, Struct, Voucher, due, parse_plug_message, to_hex
from wattseal.protocol.typed_data import TYPES

from tests.host_tools.conftest import Actors

ACTORS = Actors()
SESSION = ACTORS.session()
A = "0x" + "11" * 20
FRAMES: list[dict[str, Any]] = [
    ACTORS.hello(),
    {"type": "offer", "nonce": 2**64 - 1, "issued_at": ACTORS.now, "price_per_kwh": 0, "price_per_hour": 2**96 - 1},
    SESSION.frame(),
    ACTORS.receipt_message(SESSION.session, 1).frame(),
    ACTORS.status("charging", SESSION.session),
    ACTORS.status("idle", power_mw=-1),
    {"type": "refused", "code": "busy", "message": "a session is charging", "session": None},
    {"type": "health", "uptime_s": 2**40, "refused": 1, "damaged": 0, "meter_failures": 7, "meter_discarded": 2, "crash": "TaskDied: it hangs"},
    {
        "type": "enrolment",
        "plug": A,
        "host": A,
        "epoch": 2**64 - 1,
        "curve": "secp256k1",
        "public_key": "0x" + "cd" * 64,
        "signature": "0x" + "ab" * 65,
    },
    {"type": "retired", "plug": A, "successor": A, "epoch": 7, "signature": "0x" + "ab" * 65},
    {"type": "pong"},
]
PLACES = [(index, key) for index, frame in enumerate(FRAMES) for key in frame if key != "type"]

hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=70)
    | st.sampled_from(["0x", "0x" + "AA" * 32, "0x" + "ab" * 31, 2**64, -1, 1 << 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("struct", [Voucher, Receipt, Stop])
def test_the_structs_have_the_fields_of_the_definition_in_its_order(struct: type[Struct]) -> None:
    assert [field.name for field in fields(struct)] == [name for _, name in TYPES[struct.__name__]]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["type"])
def test_a_message_survives_the_wire(frame: dict[str, Any]) -> None:
    assert parse_plug_message(frame).frame() == frame


@pytest.mark.parametrize(("index", "key"), PLACES)
def test_a_missing_key_is_malformed_and_named(index: int, key: str) -> None:
    frame = {name: value for name, value in FRAMES[index].items() if name != key}
    with pytest.raises(Malformed, match=key):
        parse_plug_message(frame)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["type"])
def test_an_extra_key_is_malformed_and_named(frame: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="surplus"):
        parse_plug_message(frame | {"surplus": 1})


@given(place=st.sampled_from(PLACES), value=hostile)
def test_a_hostile_value_raises_nothing_but_a_protocol_error(place: tuple[int, str], value: object) -> None:
    index, key = place
    message = ""
    try:
        parse_plug_message(FRAMES[index] | {key: value})
    except ProtocolError as error:
        message = str(error)
    assert len(message) < 500


@pytest.mark.parametrize(
    ("index", "key", "value"),
    [
        (0, "chain_id", "31337"),
        (0, "version", True),
        (0, "plug", ACTORS.hello()["plug"].upper()),
        (0, "plug", ACTORS.hello()["plug"][2:]),
        (1, "nonce", 2**64),
        (1, "nonce", -1),
        (2, "signature", "0x" + "00" * 128),
        (3, "signature", "0x" + "00" * 64 + "0"),
        (3, "signature", "0x" + "zz" * 65),
        (3, "signature", ""),
        (3, "signature", 65),
        (4, "state", "asleep"),
        (4, "contactor", 2),
        (4, "session", "0x12"),
        (4, "register_mwh", 2**63),
        (6, "message", "x" * 2049),
        (6, "message", "a NUL: \0"),
    ],
)
def test_a_value_out_of_range_is_malformed(index: int, key: str, value: object) -> None:
    with pytest.raises(Malformed, match=key):
        parse_plug_message(FRAMES[index] | {key: value})


def test_a_plug_signs_with_65_or_128_bytes() -> None:
    for length in (0, 1, 64, 66, 127, 129):
        with pytest.raises(BadSignature, match=f"has {length} bytes"):
            parse_plug_message(FRAMES[3] | {"signature": "0x" + "00" * length})
    for length in (65, 128):
        message = parse_plug_message(FRAMES[3] | {"signature": "0x" + "01" * length})
        assert isinstance(message, ReceiptMessage)
        assert message.signature == b"\x01" * length


def test_a_wrong_field_inside_a_struct_is_named() -> None:
    frame = SESSION.frame()
    with pytest.raises(Malformed, match=r"Voucher\.cap"):
        parse_plug_message(frame | {"voucher": frame["voucher"] | {"cap": 2**128}})
    with pytest.raises(Malformed, match=r"Voucher\.cap"):
        parse_plug_message(frame | {"voucher": frame["voucher"] | {"cap": False}})


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(UnknownType, match="reboot"):
        parse_plug_message({"type": "reboot"})


@pytest.mark.parametrize("kind", [messages.Lock, messages.Settled])
def test_relay_messages_have_exactly_their_keys(kind: Callable[[bytes], messages.Message]) -> None:
    assert kind(b"\x05" * 32).frame() == {"type": kind(b"").type, "session": "0x" + "05" * 32}


@pytest.mark.parametrize(
    ("energy_wh", "active_s", "changes", "expected"),
    [
        (0, 0, {}, 0),
        (1500, 3600, {"pricePerHour": 0}, 1_500 * 10**12),
        (1500, 3599, {"pricePerKwh": 0, "pricePerHour": 3600}, 3599),
        (10_000, 3600, {"pricePerHour": 0, "maxPowerW": 2000}, 2_000 * 10**12),  # no more than its power allows
        (999, 3600, {"pricePerKwh": 1, "pricePerHour": 0}, 0),  # rounds down
        (10_000_000, 2**32 - 1, {"cap": 5}, 5),
    ],
)
def test_due_is_the_formula_of_the_page(energy_wh: int, active_s: int, changes: dict[str, int], expected: int) -> None:
    receipt = ACTORS.receipt(bytes(32), 1, energyWh=energy_wh, activeSeconds=active_s)
    assert due(replace(ACTORS.voucher(), **changes), receipt) == expected


VECTORS = json.loads((Path(__file__).parents[2] / "vectors/typed_data.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vectors_are_reproduced(vector: dict[str, Any]) -> None:
    struct = {struct.__name__: struct for struct in (Voucher, Receipt, Stop, Enrol, Retire)}[vector["type"]].from_wire(vector["values"])
    domain = eip712.domain_separator(vector["chain_id"], bytes.fromhex(vector["contract"][2:]))
    secret = bytes.fromhex(vector["secret"][2:])
    assert to_hex(domain) == vector["domain_separator"]
    assert to_hex(struct.digest(domain)) == vector["digest"]
    assert to_hex(signatures.sign(secret, struct.digest(domain))) == vector["signature"]
    assert to_hex(signatures.recover(struct.digest(domain), bytes.fromhex(vector["signature"][2:]))) == vector["signer"]
    assert struct.to_wire() == vector["values"]
