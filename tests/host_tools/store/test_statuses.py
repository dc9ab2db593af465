import pytest
from wattseal.protocol.messages import Status
from wattseal.store import Store, statuses

from tests.host_tools.store.pieces import ACTORS


def test_statuses_keep_the_newest_of_each_plug(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statuses, "MAX_STATUS_ROWS", 2)
    reports = [
        Status("idle", None, at, 230_000, 0, -5, 2**63 - 1, 0, 50_000, None, -5_000, "tripped", None, "weld", "line live", "welded")
        for at in range(4)
    ]
    for status in reports:
        store.add_status(ACTORS.plug, status)
    store.add_status(ACTORS.other_plug, reports[0])
    assert store.statuses(ACTORS.plug) == reports[2:]
    assert store.statuses(ACTORS.other_plug) == reports[:1]
    assert store.plugs() == sorted([ACTORS.plug, ACTORS.other_plug])
    assert store.knows(ACTORS.plug)
    assert not store.knows(ACTORS.host)
