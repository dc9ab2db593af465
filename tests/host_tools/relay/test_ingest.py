"""Receipts in batches: the same outcome as one by one, on both databases, and nobody waits for what is not theirs."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wattseal.errors import BadSignature, Conflict, NotMonotone, StoreError, TooMany, UnknownSession, WattsealError, WrongPlug
from wattseal.protocol.messages import ReceiptMessage, Status
from wattseal.relay import ingest as ingest_module
from wattseal.relay.ingest import Ingest
from wattseal.store import Added, Store
from wattseal.store.vouchers import MAX_OPEN_SESSIONS

from tests.host_tools.conftest import PATIENCE_S, Actors, until
from tests.postgresql import Cluster

pytestmark = pytest.mark.anyio

ACTORS = Actors()
SESSIONS = [ACTORS.session(ACTORS.voucher(nonce=nonce)) for nonce in (1, 2, 3)]
# Some fall, one is final, some are of the same sequence with other bytes.
MESSAGES = [
    ACTORS.receipt_message(session.session, sequence, final=sequence == 4, energyWh=100 * sequence - 150 * variant if sequence > 1 else 100)
    for session in SESSIONS[:2]
    for sequence in range(1, 6)
    for variant in range(2)
]


class Batches(Store):
    """Notes how many receipts came to the database at a time."""

    sizes: list[int]

    def add_receipts(self, receipts: Sequence[tuple[bytes, ReceiptMessage]]) -> None:
        super().add_receipts(receipts)
        self.sizes.append(len(receipts))


def opened(where: str) -> Batches:
    store = Batches(where)
    store.sizes = []
    for session in SESSIONS:
        store.add_voucher(session)
    return store


@pytest.fixture
def store(where: str) -> Iterator[Batches]:
    store = opened(where)
    yield store
    store.close()


async def outcome(ingest: Ingest, message: ReceiptMessage, speaker: bytes = ACTORS.plug) -> Added | str:
    """Return what `take` returned, or the code of its error."""
    try:
        return await ingest.take(speaker, message)
    except WattsealError as error:
        return error.code


async def outcomes(ingest: Ingest, messages: Sequence[ReceiptMessage]) -> list[Added | str]:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*(outcome(ingest, message) for message in messages))


async def one_by_one(ingest: Ingest, messages: Sequence[ReceiptMessage]) -> list[Added | str]:
    return [await outcome(ingest, message) for message in messages]


async def test_what_comes_during_a_commit_is_one_batch(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    messages = [ACTORS.receipt_message(session.session, sequence) for sequence in range(20) for session in SESSIONS]
    assert await outcomes(ingest, messages) == [Added.STORED] * 60
    assert store.sizes == [1, 59]
    assert [len(store.receipts(session.session)) for session in SESSIONS] == [20] * 3
    ingest.close()


async def test_one_bad_receipt_fails_by_itself(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    good = [ACTORS.receipt_message(SESSIONS[0].session, sequence) for sequence in range(6)]
    bad = [
        replace(good[3], signature=bytes(65)),
        ACTORS.receipt_message(SESSIONS[0].session, 2, energyWh=301),  # the same sequence, other bytes
        ACTORS.receipt_message(bytes(32), 2),
        ACTORS.receipt_message(SESSIONS[0].session, 6, energyWh=0),
    ]
    found = await outcomes(ingest, [*good, *bad])
    assert found == [Added.STORED] * 6 + [BadSignature.code, Conflict.code, UnknownSession.code, NotMonotone.code]
    assert await outcome(ingest, good[0], ACTORS.other_plug) == WrongPlug.code
    assert store.receipts(SESSIONS[0].session) == good
    ingest.close()


async def test_the_same_receipt_twice_in_a_batch_is_stored_once_and_answered_twice(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    one, three = (ACTORS.receipt_message(SESSIONS[0].session, sequence) for sequence in (1, 3))
    first = await outcomes(ingest, [one, three, three, one])
    assert first == [Added.STORED, Added.STORED, Added.STORED, Added.SUPERSEDED]
    assert store.count_receipts(SESSIONS[0].session) == 2
    ingest.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.sampled_from(MESSAGES), max_size=25))
def test_a_batch_has_the_same_outcome_as_one_by_one(tmp_path: Path, messages: list[ReceiptMessage]) -> None:
    found = []
    for way in (outcomes, one_by_one):
        path = tmp_path / "relay.sqlite"
        path.unlink(missing_ok=True)
        store = opened(str(path))

        async def run(store: Store, way: object = way) -> list[Added | str]:
            ingest = Ingest(ACTORS.domain, store)
            try:
                return await way(ingest, messages)  # type: ignore[operator]
            finally:
                ingest.close()

        found.append((asyncio.run(run(store)), [store.receipts(session.session) for session in SESSIONS]))
        store.close()
    assert found[0] == found[1]


async def test_a_database_that_dies_acknowledges_nothing_and_is_found_again(postgresql: Cluster) -> None:
    store = opened(postgresql.empty_database())
    ingest = Ingest(ACTORS.domain, store)
    messages = [ACTORS.receipt_message(session.session, sequence) for sequence in range(20) for session in SESSIONS]
    assert await outcomes(ingest, messages[:30]) == [Added.STORED] * 30
    postgresql.kill()
    assert await outcomes(ingest, messages[30:]) == [StoreError.code] * 30
    postgresql.start()
    assert [store.count_receipts(session.session) for session in SESSIONS] == [10] * 3
    assert await outcomes(ingest, messages) == [Added.SUPERSEDED] * 27 + [Added.STORED] * 33
    ingest.close()
    store.close()


async def test_while_a_commit_waits_the_loop_goes_on_and_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "MAX_QUEUED", 8)
    store = opened(str(tmp_path / "relay.sqlite"))
    ingest = Ingest(ACTORS.domain, store)
    inside, let_go = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with store.transaction():
            inside.set()
            let_go.wait(PATIENCE_S)

    other = threading.Thread(target=write_for_long)
    other.start()
    inside.wait(PATIENCE_S)
    messages = [ACTORS.receipt_message(session.session, sequence) for sequence in range(10) for session in SESSIONS]
    takers = [asyncio.create_task(outcome(ingest, message)) for message in messages]
    for _ in range(20):
        await asyncio.sleep(0)
        assert store.voucher(SESSIONS[0].session) == SESSIONS[0]  # who reads does not wait
    assert len(ingest._waiting) <= 8
    assert not any(taker.done() for taker in takers)
    let_go.set()
    assert await asyncio.gather(*takers) == [Added.STORED] * 30
    other.join()
    ingest.close()
    store.close()


async def test_a_session_has_room_for_so_many_receipts(store: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "MAX_RECEIPTS_OF_A_SESSION", 2)
    ingest = Ingest(ACTORS.domain, store)
    one_more = [ACTORS.receipt_message(SESSIONS[0].session, sequence) for sequence in range(3)]
    assert await one_by_one(ingest, one_more) == [Added.STORED, Added.STORED, TooMany.code]
    assert await outcome(ingest, one_more[0]) == Added.SUPERSEDED  # what is there is still answered
    ingest.close()


async def test_a_voucher_that_is_gone_is_noticed(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    messages = [ACTORS.receipt_message(SESSIONS[0].session, sequence) for sequence in range(3)]
    assert await outcome(ingest, messages[0]) == Added.STORED
    for table in ("receipts", "vouchers"):
        store._execute(f"DELETE FROM {table}")
    assert await one_by_one(ingest, messages[1:]) == [StoreError.code, UnknownSession.code]
    ingest.close()


async def test_a_voucher_that_made_room_fails_no_others(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    lost, kept = (ACTORS.receipt_message(session.session, 1) for session in SESSIONS[:2])
    assert await outcome(ingest, replace(lost, signature=bytes(65))) == BadSignature.code
    for nonce in range(100, 100 + MAX_OPEN_SESSIONS):
        await ingest.write(partial(store.add_voucher, ACTORS.session(ACTORS.voucher(nonce=nonce))))
    store.add_voucher(SESSIONS[1])
    assert store.voucher(SESSIONS[0].session) is None
    assert await outcomes(ingest, [kept, lost, kept]) == [Added.STORED, UnknownSession.code, Added.STORED]
    ingest.close()


async def test_an_error_that_nobody_expected_is_told_and_the_next_have_their_turn(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)

    def fail() -> None:
        raise LookupError("not foreseen")

    message = ACTORS.receipt_message(SESSIONS[0].session, 1)
    async with asyncio.timeout(PATIENCE_S):
        first, second, third = await asyncio.gather(ingest.write(fail), ingest.write(fail), outcome(ingest, message), return_exceptions=True)
        assert [type(one) for one in (first, second, third)] == [LookupError] * 3
        assert await outcome(ingest, message) == Added.STORED  # nothing of it was kept
    ingest.close()


async def test_other_writes_share_the_commit_and_fail_by_themselves(where: str) -> None:
    store = Batches(where, max_plugs=1)
    store.sizes = []
    store.add_voucher(SESSIONS[0])
    ingest = Ingest(ACTORS.domain, store)
    status = Status("idle", None, 1, 230_000, 0, -5, 5, 0, 50_000, None, -5_000, "open", None, None, None, "ok")

    async def write(plug: bytes) -> None:
        await ingest.write(lambda: store.add_status(plug, status))

    messages = [ACTORS.receipt_message(SESSIONS[0].session, sequence) for sequence in range(4)]
    jobs = [write(ACTORS.plug), outcome(ingest, messages[0]), write(ACTORS.other_plug), outcome(ingest, messages[1]), write(ACTORS.plug)]
    first, second, third, fourth, fifth = await asyncio.gather(*jobs, return_exceptions=True)
    assert (first, second, fourth, fifth) == (None, Added.STORED, Added.STORED, None)
    assert isinstance(third, TooMany)
    assert store.sizes == [2]
    assert (len(store.statuses(ACTORS.plug)), store.statuses(ACTORS.other_plug)) == (2, [])
    ingest.close()
    store.close()


async def test_only_receipts_count_as_waiting_receipts(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    jobs = [ingest.write(lambda: None) for _ in range(3)] + [outcome(ingest, ACTORS.receipt_message(SESSIONS[0].session, 1)) for _ in range(2)]
    tasks = [asyncio.create_task(job) for job in jobs]  # type: ignore[var-annotated,arg-type]
    await asyncio.sleep(0)
    assert ingest.queued == 2
    await asyncio.gather(*tasks)
    ingest.close()


async def test_who_stops_waiting_loses_nothing(store: Batches) -> None:
    ingest = Ingest(ACTORS.domain, store)
    taker = asyncio.create_task(ingest.take(ACTORS.plug, ACTORS.receipt_message(SESSIONS[0].session, 1)))
    await asyncio.sleep(0)
    taker.cancel()
    await until(lambda: store.count_receipts(SESSIONS[0].session) == 1)
    assert await outcome(ingest, ACTORS.receipt_message(SESSIONS[0].session, 2)) == Added.STORED
    ingest.close()
