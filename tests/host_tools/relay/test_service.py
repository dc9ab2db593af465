"""A scripted plug and the relay, over TCP, into SQLite, against a chain that does what the test says."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wattseal.errors import (
    BadSignature,
    NoOffer,
    PlugOffline,
    PlugRefused,
    PlugSilent,
    RpcError,
    SettlementRefused,
    UnknownPlug,
    UnknownSession,
)
from wattseal.gateway.types import SessionState
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import ReceiptMessage, due, to_hex
from wattseal.relay.links import Timings
from wattseal.relay.settle_policy import SettlePolicy
from wattseal.store import Store

from tests.host_tools.conftest import CLOSED, Actors, FakeGateway, RunningRelay, ScriptedPlug, until

pytestmark = pytest.mark.anyio


async def deliver(plug: ScriptedPlug, message: ReceiptMessage) -> dict[str, Any]:
    """Send a receipt and return the ack."""
    await plug.send(message.frame())
    return await plug.expect("ack")


# -- receipts -------------------------------------------------------------------------------------------------------------------------


async def test_a_receipt_is_committed_before_it_is_acknowledged(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    message = running.actors.receipt_message(session, 1)
    assert await deliver(plug, message) == {"type": "ack", "session": to_hex(session), "sequence": 1, "status": "stored"}
    assert running.store.newest_receipt(session) == message


async def test_a_receipt_sent_again_is_acknowledged_again(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    message = running.actors.receipt_message(session, 1)
    for _ in range(2):
        assert (await deliver(plug, message))["status"] == "stored"
    assert running.store.count_receipts(session) == 1


async def test_an_older_receipt_that_comes_late_is_superseded(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    newer = running.actors.receipt_message(session, 3)
    assert (await deliver(plug, newer))["status"] == "stored"
    older = await deliver(plug, running.actors.receipt_message(session, 1))
    assert (older["sequence"], older["status"]) == (1, "superseded")
    assert running.store.newest_receipt(session) == newer
    assert running.quarantined_codes() == []


def wrong_signature(actors: Actors, session: bytes) -> ReceiptMessage:
    message = actors.receipt_message(session, 2)
    return replace(message, signature=message.signature[:10] + b"\x00" + message.signature[11:])


def by_another_plug(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.signed(actors.receipt(session, 2), key=actors.other_plug_key)


def less_energy(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 2, energyWh=149)


def for_another_chain(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.signed(actors.receipt(session, 2), domain=domain_separator(1, actors.contract))


def of_another_session(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(b"\x00" * 32, 2)


def other_bytes(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 1, energyWh=151)


def unknown_flag(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 2, flags=1 << 9)


def other_start(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 2, registerWh=999_999)


def other_payload(actors: Actors, session: bytes) -> ReceiptMessage:
    message = actors.receipt_message(session, 2)
    return replace(message, ocmf=message.ocmf.replace('"ST":"G"', '"ST":"E"'))


def more_than_its_power(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 2, energyWh=600)


def ahead_of_the_chain(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 2, asOf=actors.now + 80_000)


def too_early(actors: Actors, session: bytes) -> ReceiptMessage:
    return actors.receipt_message(session, 2, startedAt=actors.now - 1)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (wrong_signature, "bad_signature"),
        (by_another_plug, "bad_signature"),
        (for_another_chain, "bad_signature"),
        (less_energy, "not_monotone"),
        (of_another_session, "unknown_session"),
        (other_bytes, "conflict"),
        (unknown_flag, "unknown_flags"),
        (other_start, "start_changed"),
        (other_payload, "bad_evidence"),
        (too_early, "bad_terms"),
        (more_than_its_power, "implausible"),
        (ahead_of_the_chain, "implausible"),
    ],
)
async def test_a_bad_receipt_is_refused_and_quarantined_and_touches_nothing(running: RunningRelay, make: Any, code: str) -> None:
    running.gateway.head = running.actors.now + 1000
    plug = await running.connect()
    session = await running.charge(plug)
    good = running.actors.receipt_message(session, 1)
    await deliver(plug, good)
    bad = make(running.actors, session)
    await plug.send(bad.frame())
    refused = await plug.expect("refused")
    assert (refused["code"], refused["session"]) == (code, to_hex(bad.receipt.session))
    assert "\n" not in refused["message"]
    entry = running.store.quarantined()[0]
    assert (entry.code, entry.message, entry.plug) == (code, refused["message"], running.actors.plug)
    assert to_hex(bad.signature).encode() in entry.raw
    assert running.store.receipts(session) == [good]
    assert (await deliver(plug, running.actors.receipt_message(session, 3)))["status"] == "stored"


async def test_a_receipt_that_another_plug_brings_is_wrong_plug(running: RunningRelay) -> None:
    session = await running.charge(await running.connect())
    other = await running.connect(running.actors.hello(plug=to_hex(running.actors.other_plug)))
    await other.send(running.actors.receipt_message(session, 1).frame())
    assert (await other.expect("refused"))["code"] == "wrong_plug"
    assert running.store.count_receipts(session) == 0


async def test_a_voucher_for_another_chain_is_wrong_chain(running: RunningRelay) -> None:
    actors = Actors()
    actors.domain = domain_separator(1, actors.contract)
    plug = await running.connect()
    await plug.send(actors.session().frame())
    assert (await plug.expect("refused"))["code"] == "wrong_chain"
    assert running.store.plugs() == []


async def test_a_store_that_fails_acknowledges_nothing_and_lets_the_plug_come_back(running: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    message = running.actors.receipt_message(session, 1)
    running.store._execute("CREATE TRIGGER full BEFORE INSERT ON receipts BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    await plug.send(message.frame())
    await plug.closed()
    assert "ack" not in [heard["type"] for heard in plug.heard]
    running.store._execute("DROP TRIGGER full")
    assert (await deliver(await running.connect(), message))["status"] == "stored"


# -- the lock -------------------------------------------------------------------------------------------------------------------------


async def test_lock_is_sent_when_the_lock_is_proven_open_and_not_before(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    calls = running.gateway.calls
    await until(lambda: running.gateway.calls > calls + 3)
    await plug.send(running.actors.receipt_message(session, 1).frame())
    await plug.expect("ack")
    assert "lock" not in [heard["type"] for heard in plug.heard]
    running.gateway.open(session)
    assert await plug.expect("lock") == {"type": "lock", "session": to_hex(session)}


async def test_lock_is_sent_again_to_a_plug_that_comes_back_in_a_session(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    running.gateway.open(session)
    await plug.expect("lock")
    await plug.close()
    again = await running.connect()
    assert (await again.expect("lock"))["session"] == to_hex(session)
    assert [heard["type"] for heard in again.heard] == ["time", "lock"]
    await again.send(running.actors.status("suspended", session))
    assert (await again.expect("lock"))["session"] == to_hex(session)


async def test_a_finished_session_gets_no_lock(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    final = running.actors.receipt_message(session, 1, final=True)
    running.gateway.head = running.actors.now  # not settled yet
    await deliver(plug, final)
    running.gateway.open(session)
    await plug.close()
    again = await running.connect()
    await again.send(running.actors.session().frame(), running.actors.status("suspended", session))
    calls = running.gateway.calls
    await until(lambda: running.gateway.calls > calls + 3)
    await deliver(again, final)
    assert "lock" not in [heard["type"] for heard in again.heard]


async def test_without_a_chain_the_receipts_are_kept_and_time_and_lock_come_later(tmp_path: Path, actors: Actors, timings: Timings) -> None:
    class Unreachable(FakeGateway):
        down = True
        tries = 0
        lookups = 0

        def head_timestamp(self) -> int:
            self.tries += 1
            if self.down:
                raise RpcError("no answer")
            return super().head_timestamp()

        def session_state(self, session: bytes) -> SessionState:
            self.lookups += 1
            if self.lookups == 1:
                raise RpcError("no answer")
            return super().session_state(session)

    gateway = Unreachable()
    async with RunningRelay(Store(tmp_path / "relay.sqlite"), gateway, actors, timings) as running:
        plug = await running.connect_silent()
        await plug.send(actors.hello())
        session = await running.charge(plug)
        assert (await deliver(plug, actors.receipt_message(session, 1)))["status"] == "stored"
        gateway.open(session)
        tries = gateway.tries
        await until(lambda: gateway.tries > tries + 3)
        gateway.down = False
        await plug.expect("lock")
        assert [heard["type"] for heard in plug.heard] == ["ack", "time", "lock"]


# -- settling -------------------------------------------------------------------------------------------------------------------------


async def finish(running: RunningRelay, plug: ScriptedPlug, sequence: int = 2, **changes: Any) -> tuple[bytes, ReceiptMessage]:
    """Have a session with an open lock send its final receipt."""
    session = await running.charge(plug)
    running.gateway.open(session)
    message = running.actors.receipt_message(session, sequence, final=True, **changes)
    await deliver(plug, message)
    return session, message


async def test_a_final_receipt_is_settled_and_the_plug_told(running: RunningRelay) -> None:
    plug = await running.connect()
    session, message = await finish(running, plug)
    assert await plug.expect("settled") == {"type": "settled", "session": to_hex(session)}
    (record,) = running.store.settlements(session)
    total = due(running.actors.voucher(), message.receipt)
    assert (record.state, record.sequence, record.paid, record.total_paid, record.proof_verified) == ("settled", 2, total, total, True)
    assert running.gateway.settled == [message.receipt]


async def test_a_plug_that_was_away_is_told_when_it_comes_back(running: RunningRelay) -> None:
    plug = await running.connect()
    running.gateway.failures = [RpcError("no answer")]
    session, _ = await finish(running, plug)
    await plug.close()
    await until(lambda: bool(running.store.settlements(session)))
    again = await running.connect_silent()
    await again.send(running.actors.hello())
    assert (await again.expect("settled"))["session"] == to_hex(session)


async def test_a_chain_that_is_behind_is_waited_for(running: RunningRelay) -> None:
    plug = await running.connect()
    running.gateway.head = running.actors.now
    _, message = await finish(running, plug)
    calls = running.gateway.calls
    await until(lambda: running.gateway.calls > calls + 3)
    assert running.gateway.settled == []
    running.gateway.head = message.receipt.asOf
    await plug.expect("settled")


async def test_a_passing_failure_is_tried_again(running: RunningRelay) -> None:
    running.gateway.failures = [RpcError("no answer"), RpcError("no answer")]
    plug = await running.connect()
    session, _ = await finish(running, plug)
    await plug.expect("settled")
    assert [record.state for record in running.store.settlements(session)] == ["settled"]


async def test_a_refusal_is_recorded_and_not_tried_again(running: RunningRelay) -> None:
    running.gateway.failures = [SettlementRefused("too late")]
    plug = await running.connect()
    session, _ = await finish(running, plug)
    await until(lambda: bool(running.store.settlements(session)))
    (record,) = running.store.settlements(session)
    assert (record.state, record.code, record.message) == ("failed", "settlement_refused", "too late")
    await running.relay.settler.settle_due()
    assert running.gateway.settled == []
    assert "settled" not in [heard["type"] for heard in plug.heard]


async def test_one_failing_session_does_not_hold_up_another(running: RunningRelay) -> None:
    plug = await running.connect()
    running.gateway.head = 0
    first, _ = await finish(running, plug)
    voucher = running.actors.voucher(nonce=8)
    second = await running.charge(plug, voucher)
    running.gateway.open(second)
    await deliver(plug, running.actors.receipt_message(second, 1, final=True))
    running.gateway.failures = [RpcError("no answer")]
    running.gateway.head = running.actors.now + 86_400
    assert {(await plug.expect("settled"))["session"] for _ in range(2)} == {to_hex(first), to_hex(second)}


async def test_a_session_that_never_started_is_waited_for_while_its_lock_may_open(running: RunningRelay) -> None:
    now = running.actors.now
    running.gateway.head = now + 3600
    plug = await running.connect()
    session = await running.charge(plug)
    never = running.actors.receipt_message(session, 1, final=True, startedAt=now, asOf=now, activeSeconds=0, energyWh=0)
    await deliver(plug, never)
    calls = running.gateway.calls
    await until(lambda: running.gateway.calls > calls + 4)
    assert running.store.settlements(session) == []
    running.gateway.head = now + 3601
    await plug.expect("settled")
    assert [record.state for record in running.store.settlements(session)] == ["nothing_due"]
    assert running.gateway.settled == []


async def test_a_session_that_never_started_and_was_released_is_over(running: RunningRelay) -> None:
    now = running.actors.now
    running.gateway.head = now + 60
    plug = await running.connect()
    session = await running.charge(plug)
    running.gateway.states[session] = SessionState(CLOSED, 0)
    await deliver(plug, running.actors.receipt_message(session, 1, final=True, startedAt=now, asOf=now, activeSeconds=0, energyWh=0))
    await plug.expect("settled")
    assert [record.state for record in running.store.settlements(session)] == ["nothing_due"]


async def test_a_session_that_never_started_frees_the_drivers_lock(running: RunningRelay) -> None:
    now = running.actors.now
    plug = await running.connect()
    session, message = await finish(running, plug, 1, startedAt=now, asOf=now, activeSeconds=0, energyWh=0)
    await plug.expect("settled")
    assert running.gateway.settled == [message.receipt]
    assert running.store.settlements(session)[0].paid == 0


class TestInterim:
    @pytest.fixture
    def policy(self) -> SettlePolicy:
        return SettlePolicy(interim_s=-10)  # older than a time that is yet to come

    async def test_a_session_that_went_silent_is_settled_by_its_newest_receipt(self, running: RunningRelay) -> None:
        plug = await running.connect()
        session = await running.charge(plug)
        running.gateway.open(session)
        first = running.actors.receipt_message(session, 1)
        await deliver(plug, first)
        await until(lambda: running.gateway.settled == [first.receipt])
        last = running.actors.receipt_message(session, 2, final=True)
        await deliver(plug, last)
        await plug.expect("settled")
        assert running.gateway.settled == [first.receipt, last.receipt]
        paid = [record.paid for record in running.store.settlements(session)]
        assert sum(filter(None, paid)) == due(running.actors.voucher(), last.receipt)

    async def test_nothing_is_sent_where_nothing_is_due(self, running: RunningRelay) -> None:
        plug = await running.connect()
        session = await running.charge(plug)
        running.gateway.open(session)
        await deliver(plug, running.actors.receipt_message(session, 1, energyWh=0, activeSeconds=0))
        calls = running.gateway.calls
        await until(lambda: running.gateway.calls > calls + 4)
        assert running.store.settlements(session) == []
        assert running.gateway.settled == []


# -- what the API asks ----------------------------------------------------------------------------------------------------------------


async def ask_voucher(running: RunningRelay) -> asyncio.Task[bytes]:
    message = running.actors.voucher_message()
    return asyncio.create_task(running.relay.submit_voucher(running.actors.plug, message.voucher, message.signature))


async def test_a_voucher_is_handed_to_the_plug_and_stored_when_it_accepts(running: RunningRelay) -> None:
    plug = await running.connect()
    await plug.send({"type": "offer", "nonce": 7, "issued_at": running.actors.now, "price_per_kwh": 0, "price_per_hour": 0})
    await until(lambda: running.relay.connection(running.actors.plug).offer is not None)
    assert running.relay.offer(running.actors.plug).nonce == 7
    asking = await ask_voucher(running)
    assert await plug.expect("voucher") == running.actors.voucher_message().frame()
    await plug.send(running.actors.session().frame())
    session = await asking
    assert running.store.voucher(session) == running.actors.session()
    with pytest.raises(NoOffer):
        running.relay.offer(running.actors.plug)
    assert await (await ask_voucher(running)) == session


@pytest.mark.parametrize("named", [True, False])
async def test_the_plugs_refusal_is_passed_on(running: RunningRelay, named: bool) -> None:
    plug = await running.connect()
    asking = await ask_voucher(running)
    await plug.expect("voucher")
    session = to_hex(running.actors.session().session) if named else None
    await plug.send({"type": "refused", "code": "stale_nonce", "message": "take the newest offer", "session": session})
    with pytest.raises(PlugRefused, match="newest offer") as refusal:
        await asking
    assert refusal.value.plug_code == "stale_nonce"
    assert running.store.voucher(running.actors.session().session) is None


async def test_a_plug_that_goes_away_ends_the_question(running: RunningRelay) -> None:
    plug = await running.connect()
    asking = await ask_voucher(running)
    await plug.expect("voucher")
    await plug.close()
    with pytest.raises(PlugOffline):
        await asking


class TestSilentPlug:
    @pytest.fixture
    def timings(self) -> Timings:
        return Timings(poll_s=0.01, answer_s=0.05)

    async def test_a_plug_that_does_not_answer_is_silent_and_may_answer_later(self, running: RunningRelay) -> None:
        plug = await running.connect()
        asking = await ask_voucher(running)
        with pytest.raises(PlugSilent):
            await asking
        session = await running.charge(plug)
        assert await (await ask_voucher(running)) == session


async def test_plugs_that_are_not_there_are_told_apart(running: RunningRelay) -> None:
    with pytest.raises(UnknownPlug):
        running.relay.connection(running.actors.plug)
    plug = await running.connect()
    await running.charge(plug)
    await plug.close()
    await until(lambda: not running.relay.connections)
    with pytest.raises(PlugOffline):
        running.relay.connection(running.actors.plug)


@pytest.mark.parametrize("how", ["status", "receipt"])
async def test_a_stop_is_handed_on_and_returns_when_the_session_ends(running: RunningRelay, how: str) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    message = running.actors.stop(session)
    stopping = asyncio.create_task(running.relay.stop(session, message.signature))
    assert await plug.expect("stop") == message.frame()
    last = running.actors.receipt_message(session, 1, final=True)
    await plug.send(running.actors.status("ending", session) if how == "status" else last.frame())
    await stopping
    if how == "receipt":
        await running.relay.stop(session, message.signature)


async def test_a_stop_by_anybody_else_does_not_reach_the_plug(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    with pytest.raises(BadSignature):
        await running.relay.stop(session, running.actors.stop(session, key=running.actors.plug_key).signature)
    with pytest.raises(UnknownSession):
        await running.relay.stop(b"\x00" * 32, running.actors.stop(b"\x00" * 32).signature)
    await deliver(plug, running.actors.receipt_message(session, 1))
    assert "stop" not in [heard["type"] for heard in plug.heard]
