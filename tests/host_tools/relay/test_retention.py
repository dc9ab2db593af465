import time
from pathlib import Path

from wattseal.relay.retention import DAY_S, Forgetting
from wattseal.store import SettlementRecord, Store

from tests.host_tools.conftest import Actors


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
    Forgetting(store, interim_days=10, session_days=365).forget()
    sessions = [actors.session(actors.voucher(nonce=nonce)).session for nonce in ages_days]
    assert [store.count_receipts(session) for session in sessions] == [2, 1, 0]
    assert [store.voucher(session) is not None for session in sessions] == [True, True, False]
    store.close()
