from wattseal.store import Store

ONE, OTHER = b"\x01" * 20, b"\x02" * 20


def test_transactions_come_by_nonce_and_then_as_they_were_signed(store: Store) -> None:
    for nonce, raw in ((5, b"b"), (4, b"x" * 90_000), (5, b"a"), (5, b"b")):
        store.add_transaction(ONE, nonce, raw, 7)
    store.add_transaction(OTHER, 5, b"c", 8)
    assert store.unfinished_transactions(ONE) == [(4, b"x" * 90_000, 7), (5, b"b", 7), (5, b"a", 7)]
    store.finish_transactions(ONE, 5)
    assert store.unfinished_transactions(ONE) == [(5, b"b", 7), (5, b"a", 7)]
    store.finish_transactions(ONE, 6)
    assert store.unfinished_transactions(ONE) == []
    assert store.unfinished_transactions(OTHER) == [(5, b"c", 8)]


def test_a_transaction_that_is_finished_stays_so(store: Store) -> None:
    store.add_transaction(ONE, 1, b"a", 7)
    store.finish_transactions(ONE, 2)
    store.add_transaction(ONE, 1, b"a", 9)
    assert store.unfinished_transactions(ONE) == []


def test_finished_transactions_are_forgotten_after_a_time(store: Store) -> None:
    for nonce, signed_at in ((1, 10), (2, 20), (3, 10)):
        store.add_transaction(ONE, nonce, b"%d" % nonce, signed_at)
    store.finish_transactions(ONE, 3)
    store.forget_transactions(20)
    rows = store._rows("SELECT nonce FROM transactions ORDER BY nonce")
    assert [row["nonce"] for row in rows] == [2, 3]
