"""The journal keeps the newest whole value, whatever is cut off or damaged."""

import os

from plug.errors import JournalError
from plug.storage.journal import Journal
from run_in_micropython import raises


def content(path):
    with open(path, "rb") as file:
        return file.read()


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_empty_at_first_boot():
    assert Journal("first").load() is None


def test_newest_value_after_a_reboot():
    journal = Journal("newest")
    for value in (b"one", b"", b"three", bytes(range(256)) * 8):
        journal.store(value)
        assert Journal("newest").load() == value


def test_a_write_cut_at_every_byte_leaves_the_value_before_it():
    journal = Journal("cut")
    journal.store(b"before")
    journal.store(b"kept")
    journal.store(b"lost")
    whole = content("cut.0")
    for length in range(len(whole)):
        put("cut.0", whole[:length])
        assert Journal("cut").load() == b"kept"
    put("cut.0", whole)
    assert Journal("cut").load() == b"lost"


def test_any_damaged_byte_is_seen():
    journal = Journal("flip")
    journal.store(b"kept")
    journal.store(b"newer")
    whole = content("flip.1")
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        put("flip.1", damaged)
        assert Journal("flip").load() == b"kept"


def test_storing_goes_on_in_the_damaged_slot():
    journal = Journal("heal")
    journal.store(b"kept")
    journal.store(b"newer")
    put("heal.1", b"")
    journal = Journal("heal")
    assert journal.load() == b"kept"
    journal.store(b"healed")
    assert content("heal.0")
    assert Journal("heal").load() == b"healed"


def test_two_damaged_slots_never_read_as_a_new_plug():
    put("both.0", b"\xff" * 64)
    put("both.1", b"")
    assert "both.0" in str(raises(JournalError, Journal("both").load))


def test_one_damaged_slot_alone_never_reads_as_a_new_plug():
    put("one.0", b"short")
    raises(JournalError, Journal("one").load)


def test_too_long_a_value_is_refused_and_the_old_one_stays():
    journal = Journal("long")
    journal.store(b"kept")
    raises(JournalError, journal.store, bytes(5000))
    assert Journal("long").load() == b"kept"
    assert "long.1" not in os.listdir()
