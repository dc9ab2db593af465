import asyncio
import threading
import time
from pathlib import Path

import pytest
from wattseal.relay.retention import DAY_S, Forgetting
from wattseal.store import SettlementRecord, Store

from tests.host_tools.conftest import PATIENCE_S, Actors

pytestmark = pytest.mark.anyio


def test_days_count_from_the_settlement(tmp_path: Path) -> None:
    actors = Actors()
    ages_days = {1: 5, 2: 20, 3: 400}
    path = tmp_path / "relay.sqlite"
    for nonce, days in ages_days.items():
        store = Store(path, clock=lambda days=days: time.time() - days * DAY_S)
        session = actors.session(actors.voucher(nonce=nonce))
        store.add_voucher(session)
        for sequence in (1, 2):
            store.add_receipt(actors.plug, actors.receipt_message(session.session, sequence, final=sequence == 2))
        store.add_settlement(SettlementRecord(session.session, 2, "settled"))
        store.close()
    store = Store(path)
    asyncio.run(Forgetting(store, interim_days=10, session_days=365).forget())
    sessions = [actors.session(actors.voucher(nonce=nonce)).session for nonce in ages_days]
    assert [store.count_receipts(session) for session in sessions] == [2, 1, 0]
    assert [store.voucher(session) is not None for session in sessions] == [True, True, False]
    store.close()


async def test_who_stops_waits_for_one_step_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "relay.sqlite")
    inside, goes_on, steps = threading.Event(), threading.Event(), []

    def forget_some(before: int) -> int:
        steps.append(before)
        inside.set()
        goes_on.wait(PATIENCE_S)
        return len(steps) < 50

    monkeypatch.setattr(store, "forget_interim", forget_some)
    forgetting = asyncio.create_task(Forgetting(store, 90, 3653).run())
    await asyncio.to_thread(inside.wait)
    forgetting.cancel()
    goes_on.set()
    await asyncio.gather(forgetting, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert len(steps) == 1
    store.close()
