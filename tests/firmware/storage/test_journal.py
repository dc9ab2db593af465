"""The journal on a partition: made once, found again, and never in the place of anything else."""

from plug.errors import JournalError
from plug.storage.journal import Journal
from run_in_micropython import raises
from storage.file_partition import FilePartition


def test_samples_and_documents_share_a_partition():
    partition = FilePartition(16)
    journal = Journal(partition)
    assert journal.sample is None
    assert journal.keys(b"") == []
    for number in range(400):
        journal.put_sample(b"%d" % number)
        journal.put(b"receipt", b"%d" % number * 100)
    journal.remove(b"receipt")
    journal.put(b"state", b"x")
    journal = Journal(partition)
    assert journal.sample == b"399"
    assert journal.keys(b"") == [b"state"]
    assert journal.get(b"state") == b"x"
    assert journal.has_room(2000)
    assert not journal.has_room(50_000)


def test_the_first_header_cut_anywhere():
    whole = FilePartition(16)
    Journal(whole)
    start = 5 * 4096
    head = whole.peek(start, 36)
    for length in range(37):
        partition = FilePartition(16)
        written = head[:length]
        partition.poke(start, written[:-1] + bytes([written[-1] | 0x5A]) if length else b"")
        journal = Journal(partition)
        journal.put(b"a", b"x")
        assert Journal(partition).get(b"a") == b"x"


def test_anything_else_is_left_as_it_is():
    for position, byte in ((0, 0x7F), (16 * 4096 - 1, 0xFE), (5 * 4096 + 2, 0x01), (5 * 4096 + 1000, 0)):
        partition = FilePartition(16)
        partition.poke(position, bytes([byte]))
        assert "erase it" in str(raises(JournalError, Journal, partition))
        assert partition.peek(position, 1)[0] == byte
        assert sum(partition.erases) == 0


def test_a_partition_that_is_too_small_is_refused():
    assert "partition table" in str(raises(JournalError, Journal, FilePartition(15)))
