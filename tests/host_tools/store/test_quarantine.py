import pytest
from wattseal.store import Store, quarantine

from tests.host_tools.store.pieces import ACTORS, SESSIONS


def test_what_was_refused_is_kept_as_it_came(store: Store) -> None:
    store.add_voucher(SESSIONS[0])
    store.add_quarantined("192.0.2.1:5", "bad_frame", "no \0 frame", b"\x00\xff", ACTORS.plug)
    (entry,) = store.quarantined()
    assert (entry.peer, entry.code, entry.message, entry.raw) == ("192.0.2.1:5", "bad_frame", "no \\0 frame", b"\x00\xff")
    assert (entry.received_at, entry.plug) == (ACTORS.now, ACTORS.plug)


def test_a_plug_that_floods_pushes_out_nobody_elses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_ROWS_OF_A_PLUG", 3)
    monkeypatch.setattr(quarantine, "MAX_ROWS_OF_STRANGERS", 2)
    store.add_voucher(SESSIONS[0])
    store.add_quarantined("peer", "bad_terms", "the plug's own", b"1", ACTORS.plug)
    for number in range(5):
        store.add_quarantined("peer", "bad_frame", f"before hello {number}", b"2")
        store.add_quarantined("peer", "bad_frame", f"of one not known {number}", b"3", ACTORS.other_plug)
    assert [entry.message for entry in store.quarantined()] == ["of one not known 4", "before hello 4", "the plug's own"]
    for number in range(5):
        store.add_quarantined("peer", "bad_terms", f"the plug's own {number}", b"1", ACTORS.plug)
    assert [entry.message for entry in store.quarantined()][:3] == [f"the plug's own {number}" for number in (4, 3, 2)]
    assert len(store.quarantined()) == 5


def test_all_together_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_ROWS", 3)
    for number in range(5):
        store.add_quarantined("peer", "bad_frame", f"{number}", b"")
    assert [entry.message for entry in store.quarantined()] == ["4", "3", "2"]
