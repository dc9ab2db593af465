from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import (
    BadEvidence,
    BadSignature,
    BadTerms,
    Implausible,
    NotMonotone,
    ProtocolError,
    StartChanged,
    UnknownFlags,
    WrongChain,
    WrongPlug,
)
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import ReceiptMessage
from wattseal.relay.verify import check_belongs, check_neighbours, check_receipt, check_session

from tests.host_tools.conftest import Actors, P256Key

ACTORS = Actors()
VOUCHER = ACTORS.voucher()
SESSION = ACTORS.session(VOUCHER).session
OTHER_CHAIN = domain_separator(1, ACTORS.contract)


def check(message: ReceiptMessage, *neighbours: ReceiptMessage, plug: bytes = ACTORS.plug, domain: bytes = ACTORS.domain) -> None:
    check_belongs(domain, SESSION, VOUCHER)
    check_receipt(domain, plug, VOUCHER, message)
    receipts = sorted((neighbour.receipt for neighbour in neighbours), key=lambda one: one.sequence)
    lower = [one for one in receipts if one.sequence < message.receipt.sequence]
    higher = [one for one in receipts if one.sequence > message.receipt.sequence]
    check_neighbours(VOUCHER, message.receipt, lower[-1] if lower else None, higher[0] if higher else None)


def receipt(sequence: int = 2, final: bool = False, **changes: Any) -> ReceiptMessage:
    return ACTORS.receipt_message(SESSION, sequence, final, **changes)


def test_an_honest_session_passes_in_any_order() -> None:
    first, second, last = receipt(1), receipt(2), receipt(3, final=True)
    check(first)
    check(second, first)
    check(second, first, last)
    check(last, second)


def test_a_session_that_never_started_passes() -> None:
    check(receipt(1, final=True, startedAt=ACTORS.now, asOf=ACTORS.now, activeSeconds=0, energyWh=0))


@pytest.mark.parametrize(
    "changes",
    [
        {"startedAt": ACTORS.now, "asOf": ACTORS.now + 600},
        {"startedAt": ACTORS.now + 3600, "asOf": ACTORS.now + 3600 + 580},
        {"asOf": VOUCHER.validUntil},
        {"activeSeconds": 600},
    ],
)
def test_the_bounds_themselves_pass(changes: dict[str, int]) -> None:
    check(receipt(2, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"startedAt": ACTORS.now - 1},
        {"startedAt": ACTORS.now + 3601, "asOf": ACTORS.now + 9000},
        {"asOf": ACTORS.now + 59, "activeSeconds": 0},
        {"asOf": VOUCHER.validUntil + 1},
        {"activeSeconds": 601},
    ],
)
def test_times_that_the_contract_would_not_pay_are_bad_terms(changes: dict[str, int]) -> None:
    with pytest.raises(BadTerms):
        check(receipt(2, **changes))


def test_a_damaged_signature_is_refused() -> None:
    message = receipt()
    with pytest.raises(BadSignature):
        check(replace(message, signature=bytes(65)))
    with pytest.raises(BadSignature):
        check(replace(message, receipt=replace(message.receipt, energyWh=301)))


def test_a_receipt_signed_by_another_plug_is_refused_and_says_who_signed() -> None:
    with pytest.raises(BadSignature, match=ACTORS.other_plug.hex()):
        check(ACTORS.signed(ACTORS.receipt(SESSION, 2), key=ACTORS.other_plug_key))


def test_a_receipt_for_another_plugs_session_is_refused() -> None:
    with pytest.raises(WrongPlug, match=ACTORS.plug.hex()):
        check(receipt(), plug=ACTORS.other_plug)


def test_a_voucher_of_another_chain_is_refused() -> None:
    with pytest.raises(WrongChain):
        check(receipt(), domain=OTHER_CHAIN)


def test_a_receipt_signed_for_another_chain_is_refused() -> None:
    with pytest.raises(BadSignature):
        check(ACTORS.signed(ACTORS.receipt(SESSION, 2), domain=OTHER_CHAIN))


@pytest.mark.parametrize("bit", range(8, 16))
def test_an_unknown_low_flag_is_refused(bit: int) -> None:
    with pytest.raises(UnknownFlags, match=f"{1 << bit:#06x}"):
        check(receipt(flags=1 << bit))


@pytest.mark.parametrize("bit", [*range(1, 8), *range(16, 32)])
def test_a_known_or_a_high_flag_passes(bit: int) -> None:
    check(receipt(flags=1 << bit))


@pytest.mark.parametrize("neighbour", [1, 3])
@pytest.mark.parametrize("changes", [{"startedAt": ACTORS.now + 61}, {"registerWh": 1_000_001}])
def test_the_start_never_changes(neighbour: int, changes: dict[str, int]) -> None:
    with pytest.raises(StartChanged, match=next(iter(changes))):
        check(receipt(2, **changes), receipt(neighbour))


@pytest.mark.parametrize(
    ("name", "below_first", "above_third"),
    [
        ("energyWh", 149, 451),
        ("activeSeconds", 289, 871),
        ("asOf", ACTORS.now + 359, ACTORS.now + 961),
    ],
)
def test_a_total_never_falls(name: str, below_first: int, above_third: int) -> None:
    with pytest.raises(NotMonotone, match=name):
        check(receipt(2, **{"activeSeconds": 290, name: below_first}), receipt(1))
    with pytest.raises(NotMonotone, match=name):
        check(receipt(2, **{"asOf": ACTORS.now + 960, name: above_third}), receipt(1), receipt(3))


def test_nothing_comes_after_the_final_receipt() -> None:
    with pytest.raises(NotMonotone, match="final"):
        check(receipt(2), receipt(1, final=True))
    with pytest.raises(NotMonotone, match="final"):
        check(receipt(2, final=True), receipt(3))


# At the voucher's 2875 W and 60 s of slack: 527 Wh in 600 s, 287 Wh in 300 s, and one more for rounding.
@pytest.mark.parametrize(("energy_wh", "neighbours", "passes"), [(528, (), True), (529, (), False), (438, (1,), True), (439, (1,), False)])
def test_more_energy_than_the_power_limit_allows_is_implausible(energy_wh: int, neighbours: tuple[int, ...], passes: bool) -> None:
    message = receipt(2, energyWh=energy_wh)
    if passes:
        check(message, *map(receipt, neighbours))
        return
    with pytest.raises(Implausible, match="2875 W"):
        check(message, *map(receipt, neighbours))


def test_a_leap_up_to_a_later_receipt_is_implausible_too() -> None:
    with pytest.raises(Implausible):
        check(receipt(2, energyWh=150), receipt(3, energyWh=150 + 289))


def test_evidence_that_says_something_else_is_refused() -> None:
    message = receipt()
    with pytest.raises(BadEvidence):
        check(replace(message, ocmf=message.ocmf.replace("1000300", "1000301")))
    lie = message.ocmf.replace("1000300", "1000301")
    body = replace(message.receipt, evidence=sha256(lie.encode()).digest())
    with pytest.raises(BadEvidence, match="RD"):
        check(ReceiptMessage(body, signatures.sign(ACTORS.plug_key, body.digest(ACTORS.domain)), lie))


uint64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**63, 2**64 - 1, ACTORS.now])


@given(
    changes=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("startedAt", "asOf", "registerWh", "energyWh"), uint64)
        | {name: st.integers(0, 2**32 - 1) for name in ("sequence", "activeSeconds", "flags")}
        | {"session": st.binary(min_size=32, max_size=32), "evidence": st.binary(min_size=32, max_size=32)},
    ),
    payload=st.none() | st.text(st.characters(codec="utf-8"), max_size=60),
    signature=st.none() | st.binary(min_size=65, max_size=65),
)
def test_hostile_receipts_raise_nothing_but_protocol_errors(changes: dict[str, Any], payload: str | None, signature: bytes | None) -> None:
    message = receipt(2)
    body = replace(message.receipt, **changes)
    if payload is not None and "evidence" not in changes:
        body = replace(body, evidence=sha256(payload.encode()).digest())
    signature = signature or signatures.sign(ACTORS.plug_key, body.digest(ACTORS.domain))
    try:
        check(ReceiptMessage(body, signature, message.ocmf if payload is None else payload), receipt(1), receipt(3))
    except ProtocolError:
        return
    # Evidence covers everything but these two, and of seconds the neighbours leave little room.
    assert replace(body, flags=message.receipt.flags, activeSeconds=message.receipt.activeSeconds) == message.receipt
    assert receipt(1).receipt.activeSeconds <= body.activeSeconds <= receipt(3).receipt.activeSeconds
    assert body.activeSeconds <= body.asOf - body.startedAt


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, None),
        ({"driver": bytes(20)}, BadTerms),
        ({"host": bytes(20)}, BadTerms),
        ({"plug": ACTORS.other_plug}, WrongPlug),
        ({"token": b"\x01" * 20}, BadTerms),
        ({"funding": 1}, BadTerms),
        ({"cap": 0}, BadTerms),
        ({"validUntil": ACTORS.now}, BadTerms),
        ({"validUntil": ACTORS.now + 864_000}, None),
        ({"validUntil": ACTORS.now + 864_001}, BadTerms),
        ({"driver": ACTORS.host}, BadSignature),
    ],
)
def test_a_voucher_is_taken_if_the_contract_would_open_it(changes: dict[str, Any], error: type[ProtocolError] | None) -> None:
    message = ACTORS.session(ACTORS.voucher(**changes))
    if error is None:
        check_session(ACTORS.domain, ACTORS.plug, message)
        return
    with pytest.raises(error):
        check_session(ACTORS.domain, ACTORS.plug, message)


def test_a_voucher_for_another_chain_is_wrong_chain() -> None:
    with pytest.raises(WrongChain):
        check_session(OTHER_CHAIN, ACTORS.plug, ACTORS.session())


P256_PLUG = P256Key(7)


def p256_receipt(**changes: Any) -> tuple[Any, ReceiptMessage]:
    """A voucher for a plug with a P-256 key, and that plug's receipt."""
    voucher = ACTORS.voucher(plug=P256_PLUG.plug)
    message = ACTORS.signed(ACTORS.receipt(ACTORS.session(voucher).session, 1, **changes), plug=P256_PLUG.plug)
    return voucher, replace(message, signature=P256_PLUG.sign(message.receipt.digest(ACTORS.domain)))


def test_a_receipt_of_a_p256_plug_passes() -> None:
    voucher, message = p256_receipt()
    check_receipt(ACTORS.domain, P256_PLUG.plug, voucher, message)


def test_a_receipt_of_a_p256_plug_is_refused_where_another_key_signed_or_s_is_high() -> None:
    voucher, message = p256_receipt()
    digest = message.receipt.digest(ACTORS.domain)
    for signature in (
        P256Key(8).sign(digest),
        P256_PLUG.sign(digest, is_high=True),
        P256_PLUG.sign(bytes(32)),
        signatures.sign(ACTORS.plug_key, digest),
    ):
        with pytest.raises(BadSignature):
            check_receipt(ACTORS.domain, P256_PLUG.plug, voucher, replace(message, signature=signature))
