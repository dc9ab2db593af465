import dataclasses
import json

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadEvidence, Malformed, ProtocolError
from wattseal.protocol.bill import MAX_JSON_BYTES, MAX_TEXT_CHARACTERS, PREFIX, Bill
from wattseal.protocol.messages import Receipt, Voucher
from wattseal.protocol.typed_data import TYPES

from tests.host_tools.conftest import Actors, P256Key

ACTORS = Actors()


def bill(**changes: object) -> Bill:
    message = ACTORS.receipt_message(ACTORS.session().session, 3)
    return dataclasses.replace(
        Bill(ACTORS.chain_id, ACTORS.contract, ACTORS.voucher(), message.receipt, message.signature, message.ocmf),
        **changes,  # type: ignore[arg-type]
    )


def p256_bill() -> Bill:
    key = P256Key(7)
    voucher = ACTORS.voucher(plug=key.plug)
    message = ACTORS.signed(ACTORS.receipt(voucher.digest(ACTORS.domain), 1), plug=key.plug)
    return Bill(ACTORS.chain_id, ACTORS.contract, voucher, message.receipt, key.sign(message.receipt.digest(ACTORS.domain)), message.ocmf)


@pytest.mark.parametrize("one", [bill(), p256_bill()])
def test_both_forms_hold_all_of_it(one: Bill) -> None:
    assert Bill.read(one.to_json()) == one
    assert Bill.read(one.to_text()) == one
    assert Bill.read("\n" + one.to_text().lower() + "  \n") == one


def test_the_text_fits_a_qr_code_that_a_telephone_reads() -> None:
    text = p256_bill().to_text()
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567:1")
    assert segno.make(text, error="l", micro=False).version <= 15  # 77 modules a side
    assert len(text) + 100 < MAX_TEXT_CHARACTERS


NUMBERS = {kind: st.integers(0, (1 << int(kind[4:])) - 1) for kind in ("uint8", "uint32", "uint64", "uint96", "uint128")}
VALUES = NUMBERS | {"address": st.binary(min_size=20, max_size=20), "bytes32": st.just(bytes(32))}


@given(st.fixed_dictionaries({name: VALUES[kind] for kind, name in TYPES["Voucher"]}), st.data())
def test_every_value_of_every_field_survives(terms: dict[str, int], data: st.DataObject) -> None:
    values = {name: data.draw(VALUES[kind]) for kind, name in TYPES["Receipt"]}
    values |= {name: data.draw(st.integers(0, 1 << 37)) for name in ("startedAt", "asOf")}  # what OCMF can write
    voucher = Voucher(**terms)  # type: ignore[arg-type]
    receipt = Receipt(**values | {"session": voucher.digest(ACTORS.domain)})  # type: ignore[arg-type]
    message = ACTORS.signed(receipt, plug=voucher.plug)
    one = Bill(ACTORS.chain_id, ACTORS.contract, voucher, message.receipt, message.signature, message.ocmf)
    assert Bill.read(one.to_text()) == one


@given(st.integers(0, 600), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_letter_that_was_copied_wrongly_is_noticed(place: int, letter: str) -> None:
    text = bill().to_text()
    place = min(max(place, len(PREFIX)), len(text) - 2)  # the last letter has spare bits
    if text[place] != letter:
        with pytest.raises(Malformed, match="again"):
            Bill.read(text[:place] + letter + text[place + 1 :])


@given(st.integers(1, 500))
def test_a_text_that_ends_early(cut: int) -> None:
    with pytest.raises(Malformed, match="again"):
        Bill.read(bill().to_text()[:-cut][: -1 if cut == 1 else None])


@given(st.binary(max_size=400))
def test_any_bytes_behind_a_right_checksum_are_refused_by_name(body: bytes) -> None:
    from base64 import b32encode
    from zlib import crc32

    with pytest.raises(ProtocolError):
        Bill.read(PREFIX + b32encode(body + crc32(body).to_bytes(4)).decode().rstrip("="))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "{}",
        PREFIX,
        PREFIX + "1",
        PREFIX + "A" * (MAX_TEXT_CHARACTERS + 1),
        "[" * 5000,
        " " * (MAX_JSON_BYTES + 1),
        json.dumps(bill().to_wire() | {"more": 1}),
        json.dumps(bill().to_wire() | {"chain_id": 1.5}),
    ],
)
def test_what_is_no_receipt_is_refused_by_name(text: str) -> None:
    with pytest.raises(ProtocolError):
        Bill.read(text)


def test_a_payload_in_another_form_has_no_text() -> None:
    one = bill()
    spaced = json.dumps(json.loads(one.ocmf))
    with pytest.raises(BadEvidence, match="as JSON"):
        dataclasses.replace(one, ocmf=spaced).to_text()
