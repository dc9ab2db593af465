"""What the relay believes of a plug's key: enrolments, retirements, and receipts of keys that were given up."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadSignature, Malformed, NotEnrolled, PlugRefused, ProtocolError, WrongPlug
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Enrol, Enrolment, Retire, RetiredMessage, parse_plug_message, to_hex
from wattseal.relay.verify import check_enrolment, check_retirement
from wattseal.store import plugs

from tests.host_tools.conftest import Actors, P256Key, RunningRelay, ScriptedPlug, until

pytestmark = pytest.mark.anyio

ACTORS = Actors()
OTHER_CHAIN = domain_separator(1, ACTORS.contract)
NEW_KEY = ACTORS.other_plug_key
NEW = ACTORS.other_plug
THIRD_KEY = b"\x07" * 32
THIRD = signatures.address(THIRD_KEY)


def enrolment(epoch: int = 5, host: bytes = ACTORS.host, key: bytes = ACTORS.plug_key, domain: bytes = ACTORS.domain) -> Enrolment:
    plug = signatures.address(key)
    signature = signatures.sign(key, Enrol(plug, host, epoch).digest(domain))
    return Enrolment(plug, host, epoch, "secp256k1", PrivateKey(key).public_key.format(compressed=False)[1:], signature)


def retirement(epoch: int = 6, key: bytes = ACTORS.plug_key, successor: bytes = NEW, domain: bytes = ACTORS.domain) -> RetiredMessage:
    plug = signatures.address(key)
    return RetiredMessage(plug, successor, epoch, signatures.sign(key, Retire(plug, successor, epoch).digest(domain)))


# -- the statements themselves --------------------------------------------------------------------------------------------------------


def test_honest_statements_pass() -> None:
    check_enrolment(ACTORS.domain, ACTORS.plug, enrolment())
    check_enrolment(ACTORS.domain, ACTORS.plug, enrolment((1 << 64) - 1))
    check_retirement(ACTORS.domain, NEW, retirement())


def test_statements_of_a_plug_with_a_p256_key() -> None:
    key = P256Key(7)
    message = Enrolment(key.plug, ACTORS.host, 5, "p256", key.public_key, key.sign(Enrol(key.plug, ACTORS.host, 5).digest(ACTORS.domain)))
    check_enrolment(ACTORS.domain, key.plug, message)
    for wrong in (
        replace(message, curve="secp256k1"),
        replace(message, epoch=6),
        replace(message, public_key=P256Key(8).public_key),
        replace(message, signature=P256Key(8).sign(message.statement.digest(ACTORS.domain))),
        replace(message, signature=enrolment().signature),
    ):
        with pytest.raises(BadSignature):
            check_enrolment(ACTORS.domain, key.plug, wrong)
    for successor in (NEW, P256Key(8).plug):
        signature = key.sign(Retire(key.plug, successor, 6).digest(ACTORS.domain))
        check_retirement(ACTORS.domain, successor, RetiredMessage(key.plug, successor, 6, signature))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (enrolment(key=NEW_KEY), WrongPlug),
        (replace(enrolment(), plug=NEW), WrongPlug),
        (replace(enrolment(), curve="p384"), Malformed),
        (replace(enrolment(), curve="p256"), BadSignature),
        (replace(enrolment(), curve=""), Malformed),
        (enrolment(host=bytes(20)), Malformed),
        (enrolment(0), Malformed),
        (replace(enrolment(), host=b"\x45" * 20), BadSignature),
        (replace(enrolment(), epoch=6), BadSignature),
        (replace(enrolment(), public_key=enrolment(key=NEW_KEY).public_key), BadSignature),
        (replace(enrolment(), signature=enrolment(key=NEW_KEY).signature), BadSignature),
        (replace(enrolment(), signature=bytes(65)), BadSignature),
        (enrolment(domain=OTHER_CHAIN), BadSignature),
    ],
)
def test_an_enrolment_is_refused(message: Enrolment, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        check_enrolment(ACTORS.domain, ACTORS.plug, message)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (retirement(successor=THIRD), WrongPlug),
        (retirement(key=NEW_KEY), Malformed),
        (replace(retirement(), plug=THIRD), BadSignature),
        (replace(retirement(), epoch=7), BadSignature),
        (replace(retirement(successor=THIRD), successor=NEW), BadSignature),
        (replace(retirement(), signature=bytes(65)), BadSignature),
        (retirement(domain=OTHER_CHAIN), BadSignature),
    ],
)
def test_a_retirement_is_refused(message: RetiredMessage, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        check_retirement(ACTORS.domain, NEW, message)


def test_an_enrolment_does_not_pass_for_a_retirement() -> None:
    """Enrol(plug, host, epoch) for a host whose address is the successor's is no Retire of the same fields."""
    signature = enrolment(6, host=NEW).signature
    with pytest.raises(BadSignature):
        check_retirement(ACTORS.domain, NEW, replace(retirement(), signature=signature))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=140),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_honest: list[dict[str, Any]] = [enrolment().frame(), retirement().frame()]


@given(which=st.integers(0, 1), field=st.integers(0, 5), value=_json, drop=st.booleans())
def test_a_malformed_statement_raises_nothing_but_a_protocol_error(which: int, field: int, value: object, drop: bool) -> None:
    frame = dict(_honest[which])
    key = sorted(frame.keys() - {"type"})[field % (len(frame) - 1)]
    if drop:
        del frame[key]
    else:
        frame[key] = value
    if frame == _honest[which]:
        return
    with pytest.raises(ProtocolError):
        _check(frame)


@given(which=st.integers(0, 1), field=st.integers(0, 5), bit=st.integers(0, 511))
def test_a_flipped_bit_anywhere_is_refused(which: int, field: int, bit: int) -> None:
    frame = dict(_honest[which])
    hexes = sorted(key for key, value in frame.items() if isinstance(value, str) and value.startswith("0x"))
    key = hexes[field % len(hexes)]
    data = bytearray.fromhex(frame[key][2:])
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        _check(frame | {key: to_hex(bytes(data))})


def _check(frame: dict[str, Any]) -> None:
    message = parse_plug_message(frame)
    if isinstance(message, Enrolment):
        check_enrolment(ACTORS.domain, ACTORS.plug, message)
    if isinstance(message, RetiredMessage):
        check_retirement(ACTORS.domain, NEW, message)


# -- what the relay makes of them -----------------------------------------------------------------------------------------------------


async def refusal(plug: ScriptedPlug, message: Enrolment | RetiredMessage) -> str:
    await plug.send(message.frame())
    code: str = (await plug.expect("refused"))["code"]
    return code


async def taken(running: RunningRelay, plug: ScriptedPlug, message: Enrolment | RetiredMessage) -> None:
    """Send a statement; the relay, which does not answer one that it takes, has taken it when it refuses the next message."""
    before = len(running.quarantined_codes())
    await plug.send(message.frame(), {"type": "marker"})
    await plug.expect("refused")
    assert running.quarantined_codes()[before:] == ["unknown_type"]


async def test_an_enrolment_is_asked_for_kept_and_given_out(running: RunningRelay) -> None:
    plug = await running.connect()
    with pytest.raises(NotEnrolled):
        running.relay.enrolment(ACTORS.plug)
    for asked, epoch in ((None, 1), (None, 2), (9, 9), (9, 9)):
        asking = asyncio.create_task(running.relay.enrol(ACTORS.plug, asked))
        assert (await plug.expect("enrol"))["epoch"] == epoch
        await plug.send(enrolment(epoch).frame())
        assert await asking == enrolment(epoch)
    assert running.store.enrolment(ACTORS.plug) == enrolment(9)


async def asked_for(running: RunningRelay, plug: ScriptedPlug, key: bytes) -> int:
    """Have the relay ask for its next epoch, answer, return the epoch."""
    asking = asyncio.create_task(running.relay.enrol(signatures.address(key), None))
    epoch: int = (await plug.expect("enrol"))["epoch"]
    await plug.send(enrolment(epoch, key=key).frame())
    await asking
    return epoch


async def test_the_next_epoch_is_above_those_of_the_keys_before(running: RunningRelay) -> None:
    new = await successor(running)
    await taken(running, new, retirement(6))
    assert await asked_for(running, new, NEW_KEY) == 7
    third = await successor(running, THIRD_KEY)
    await taken(running, third, retirement(9, NEW_KEY, THIRD))
    assert await asked_for(running, third, THIRD_KEY) == 10
    assert await asked_for(running, third, THIRD_KEY) == 11


async def test_there_is_none_above_the_last_epoch(running: RunningRelay) -> None:
    plug = await running.connect()
    await taken(running, plug, enrolment((1 << 64) - 1))
    assert await asked_for(running, plug, ACTORS.plug_key) == (1 << 64) - 1


async def test_the_plugs_refusal_is_handed_on(running: RunningRelay) -> None:
    plug = await running.connect()
    asking = asyncio.create_task(running.relay.enrol(ACTORS.plug, None))
    await plug.expect("enrol")
    await plug.send({"type": "refused", "code": "no_host", "message": "the plug's words", "session": None})
    with pytest.raises(PlugRefused, match="the plug's words"):
        await asking


async def test_epochs_of_a_plug_rise_and_each_has_one_host(running: RunningRelay) -> None:
    plug = await running.connect()
    await taken(running, plug, enrolment(5))
    await taken(running, plug, enrolment(5))
    assert await refusal(plug, enrolment(4)) == "stale_epoch"
    assert await refusal(plug, enrolment(5, host=b"\x45" * 20)) == "conflict"
    await taken(running, plug, enrolment(6, host=b"\x45" * 20))
    assert running.store.enrolment(ACTORS.plug) == enrolment(6, host=b"\x45" * 20)


async def successor(running: RunningRelay, key: bytes = NEW_KEY) -> ScriptedPlug:
    return await running.connect(ACTORS.hello(plug=to_hex(signatures.address(key))))


async def test_the_first_retirement_of_a_key_stands(running: RunningRelay) -> None:
    plug = await running.connect()
    await taken(running, plug, enrolment(5))
    new = await successor(running)
    assert await refusal(new, retirement(5)) == "stale_epoch"
    assert running.store.retirement(ACTORS.plug) is None
    for _ in range(2):
        await taken(running, new, retirement(6))
    third = await successor(running, THIRD_KEY)
    for epoch in (5, 6, 7, (1 << 64) - 1):
        assert await refusal(third, retirement(epoch, successor=THIRD)) == "retired"
    assert await refusal(new, retirement(7)) == "retired"
    assert running.store.retirement(ACTORS.plug) == retirement(6)
    assert running.store.identities(NEW) == [NEW, ACTORS.plug]
    assert running.store.identities(THIRD) == [THIRD]


async def test_invented_keys_that_give_up_find_no_room(running: RunningRelay) -> None:
    new = await running.connect(ACTORS.hello(plug=to_hex(NEW)))
    for number in range(1, plugs.MAX_PREDECESSORS + 1):
        await new.send(retirement(1, key=number.to_bytes(31) + b"\xee").frame())
    await until(lambda: len(running.store.identities(NEW)) == 1 + plugs.MAX_PREDECESSORS)
    assert await refusal(new, retirement(1, key=b"\xee" * 32)) == "too_many"


async def test_a_retired_key_enrols_no_more(running: RunningRelay) -> None:
    await taken(running, await successor(running), retirement(6))
    assert await refusal(await running.connect(), enrolment(9)) == "retired"
    assert running.store.enrolment(ACTORS.plug) is None


async def test_nobody_else_brings_a_plugs_statements(running: RunningRelay) -> None:
    stranger = await successor(running, THIRD_KEY)
    assert await refusal(stranger, enrolment()) == "wrong_plug"
    assert await refusal(stranger, retirement()) == "wrong_plug"


async def test_a_receipt_of_the_key_before_comes_from_its_successor_and_is_paid(running: RunningRelay) -> None:
    new = await successor(running)
    accepted = ACTORS.session()
    final = ACTORS.receipt_message(accepted.session, 1, final=True)
    await new.send(accepted.frame())
    assert (await new.expect("refused"))["code"] == "wrong_plug"
    await taken(running, new, retirement())
    running.gateway.open(accepted.session)
    await new.send(accepted.frame(), final.frame())
    assert (await new.expect("ack"))["status"] == "stored"
    assert (await new.expect("settled"))["session"] == to_hex(accepted.session)
    assert running.store.newest_receipt(accepted.session) == final
    again = await successor(running)
    await until(lambda: running.relay.connections.get(NEW) is not None)
    await again.send(final.frame())
    assert (await again.expect("ack"))["status"] == "stored"
    assert any(message["type"] == "settled" for message in again.heard)


async def test_a_chain_of_keys_holds_and_a_circle_ends(running: RunningRelay) -> None:
    await taken(running, await successor(running), retirement(6))
    await taken(running, await successor(running, THIRD_KEY), retirement(7, NEW_KEY, THIRD))
    assert running.store.identities(THIRD) == [THIRD, NEW, ACTORS.plug]
    await taken(running, await running.connect(), retirement(8, THIRD_KEY, ACTORS.plug))
    assert sorted(running.store.identities(THIRD)) == sorted([THIRD, NEW, ACTORS.plug])


async def test_a_receipt_of_the_successor_is_not_taken_from_the_retired_key(running: RunningRelay) -> None:
    await taken(running, await successor(running), retirement())
    old = await running.connect()
    accepted = ACTORS.session(ACTORS.voucher(plug=NEW))
    await old.send(accepted.frame())
    assert (await old.expect("refused"))["code"] == "wrong_plug"
