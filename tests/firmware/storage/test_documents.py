"""A document is what was put last under its key, however often the log went round."""

from plug.errors import JournalError, JournalFull
from plug.storage.documents import Documents
from plug.storage.flash import Flash
from run_in_micropython import raises
from storage.file_partition import SECTOR, FilePartition

FIRST, COUNT = 1, 11
START = FIRST * SECTOR


def new():
    partition = FilePartition(FIRST + COUNT)
    documents = Documents(Flash(partition), FIRST, COUNT)
    assert not documents.load()
    documents.start()
    return partition, documents


def boot(partition):
    documents = Documents(Flash(partition), FIRST, COUNT)
    assert documents.load()
    return documents


def content(documents):
    return {key: documents.get(key) for key in documents.keys(b"")}


def test_put_replace_remove_over_reboots():
    partition, documents = new()
    assert documents.get(b"a") is None
    documents.put(b"a", b"one")
    documents.put(b"b", b"")
    documents.put(b"twelve bytes", bytes(3072))
    assert content(boot(partition)) == content(documents) == {b"a": b"one", b"b": b"", b"twelve bytes": bytes(3072)}
    documents = boot(partition)
    documents.put(b"a", b"two")
    documents.remove(b"b")
    documents.remove(b"never there")
    assert content(boot(partition)) == content(documents) == {b"a": b"two", b"twelve bytes": bytes(3072)}
    assert documents.keys(b"t") == [b"twelve bytes"]


def test_old_records_outlive_many_rounds_and_wear_is_even():
    partition, documents = new()
    documents.put(b"old", b"kept from the first sector")
    documents.put(b"gone", b"removed in the first sector")
    documents.remove(b"gone")
    for number in range(200):
        documents.put(b"key %d" % (number % 3), b"%d" % number * 300)
        if number % 7 == 0:
            documents = boot(partition)
        assert documents.keys(b"") == ([b"key 0", b"key 1", b"key 2"] if number > 1 else [b"key %d" % n for n in range(number + 1)]) + [b"old"]
    assert documents.get(b"old") == b"kept from the first sector"
    assert documents.get(b"key 2") == b"197" * 300
    assert min(partition.erases[FIRST:]) > 2
    assert max(partition.erases[FIRST:]) - min(partition.erases[FIRST:]) <= 1
    assert partition.erases[0] == 0


def test_full_refuses_new_keys_and_still_replaces_and_removes():
    partition, documents = new()
    kept = {}
    size = 2600  # one in a sector: the worst packing
    while documents.has_room(size):
        key = b"receipt %d" % len(kept)
        kept[key] = bytes([len(kept)]) * size
        documents.put(key, kept[key])
    assert len(kept) == 3
    error = raises(JournalFull, documents.put, b"receipt new", bytes(size))
    assert isinstance(error, JournalError)
    assert error.code == "journal_full"
    for number in range(40):
        key = b"receipt %d" % (number % len(kept))
        kept[key] = bytes([100 + number]) * (size + number)
        documents.put(key, kept[key])
    assert content(boot(partition)) == content(documents) == kept
    raises(JournalFull, documents.put, b"receipt new", bytes(size))
    documents.remove(b"receipt 0")
    documents.put(b"receipt new", bytes(size))
    assert boot(partition).get(b"receipt new") == bytes(size)


def test_small_and_large_records_at_the_limit():
    partition, documents = new()
    kept = {}
    for number in range(1000):
        length = 3072 if number % 4 == 0 else 30 + number % 800
        if not documents.has_room(length):
            break
        kept[b"%d" % number] = bytes([number & 255]) * length
        documents.put(b"%d" % number, kept[b"%d" % number])
    for number in range(60):
        key = sorted(kept)[number * 7 % len(kept)]
        kept[key] = bytes([number]) * len(kept[key])
        documents.put(key, kept[key])
    assert content(boot(partition)) == content(documents) == kept


def test_limits_of_a_record():
    _, documents = new()
    raises(JournalError, documents.put, b"", b"x")
    raises(JournalError, documents.put, b"thirteen byte", b"x")
    raises(JournalError, documents.put, b"key", bytes(3073))
    assert documents.keys(b"") == []


def test_a_torn_record_ends_its_sector_only():
    partition, documents = new()
    documents.put(b"a", b"kept")
    documents.put(b"b", bytes(100))
    assert partition.peek(START + 64 + 20, 100) == bytes(100)
    partition.poke(START + 64 + 70, b"\xff" * 50)
    documents = boot(partition)
    assert content(documents) == {b"a": b"kept"}
    documents.put(b"c", b"next")
    assert partition.peek(START + SECTOR, 16) != b"\xff" * 16
    assert content(boot(partition)) == {b"a": b"kept", b"c": b"next"}


def test_a_removed_key_stays_removed_when_its_tombstone_is_half_erased():
    """The tombstone and what it removes share a sector that a cut left with the one and not the other."""
    partition, documents = new()
    documents.put(b"gone", b"x" * 100)
    documents.put(b"pad", bytes(3000))
    documents.remove(b"gone")
    head = partition.peek(START, 160)
    while partition.erases[FIRST + COUNT - 1] == 0:
        documents.put(b"pad", bytes(3000))
    assert partition.peek(START, 160) == head
    assert partition.erases[FIRST] == 1
    partition.poke(START + 160, b"\xff" * (SECTOR - 160))
    assert boot(partition).keys(b"") == [b"pad"]


def test_what_does_not_program_goes_to_the_next_sector():
    partition, documents = new()
    documents.put(b"a", b"kept")
    partition.stuck = START + 32 + 32 + 20
    documents.put(b"b", b"\x01" * 40)
    assert content(documents) == content(boot(partition)) == {b"a": b"kept", b"b": b"\x01" * 40}


def test_a_dead_chip_is_an_error_and_loses_nothing():
    partition, documents = new()
    documents.put(b"a", b"kept")
    partition.broken = True
    raises(JournalError, documents.put, b"a", b"lost")
    partition.broken = False
    assert content(documents) == {b"a": b"kept"}
    documents.put(b"a", b"works again")
    assert content(boot(partition)) == {b"a": b"works again"}


def test_damage_is_an_error_where_records_would_be_missing():
    partition, documents = new()
    documents.put(b"a", bytes(2500))
    documents.put(b"b", bytes(2500))
    documents.put(b"c", bytes(2500))
    partition.flip(START + SECTOR + 5)
    assert "sector 1" in str(raises(JournalError, boot, partition))
    partition.flip(START + SECTOR + 5)
    documents = boot(partition)
    partition.flip(START + 1000)
    assert documents.keys(b"") == [b"a", b"b", b"c"]
    assert "b'a'" in str(raises(JournalError, documents.get, b"a"))


def test_a_damaged_record_is_no_torn_one():
    partition, documents = new()
    places = []
    for number in range(4):
        places.append(documents._end)
        documents.put(b"%d" % number, b"some bytes" * 20)
    for place in places[:3]:
        for offset in (0, 3, 7, 17, 100):  # in length, kind, key, CRC and payload
            partition.flip(START + place + offset)
            assert str(place) in str(raises(JournalError, boot, partition))
            partition.flip(START + place + offset)
    assert len(content(boot(partition))) == 4
