"""The newest whole sample is found, whatever is torn, and never none where there was one."""

from plug.errors import JournalError
from plug.storage.flash import Flash
from plug.storage.samples import Samples
from run_in_micropython import raises
from storage.file_partition import FilePartition


def boot(partition):
    samples = Samples(Flash(partition), 1, 3)
    samples.load()
    return samples


def test_newest_after_a_reboot_all_around_the_ring():
    partition = FilePartition(4)
    assert boot(partition).newest is None
    samples = boot(partition)
    for number in range(64 * 7):
        samples.put(b"sample %d" % number)
        if number % 5 == 0 or number % 64 in (0, 63):
            samples = boot(partition)
            assert samples.newest == b"sample %d" % number
    assert partition.erases == [0, 3, 2, 2]


def test_every_length_is_kept():
    partition = FilePartition(4)
    for length in range(49):
        boot(partition).put(bytes([length]) * length)
        assert boot(partition).newest == bytes([length]) * length
    raises(JournalError, boot(partition).put, bytes(49))


def test_torn_slots_are_skipped():
    partition = FilePartition(4)
    samples = boot(partition)
    samples.put(b"kept")
    for slot in (1, 2):
        partition.poke(4096 + 64 * slot, bytes(20))
    samples = boot(partition)
    assert samples.newest == b"kept"
    samples.put(b"after")
    assert boot(partition).newest == b"after"
    assert partition.peek(4096 + 64 * 3, 1) != b"\xff"


def test_any_flipped_bit_falls_back_to_the_sample_before():
    partition = FilePartition(4)
    samples = boot(partition)
    samples.put(b"kept")
    samples.put(b"newer")
    for position in range(4096 + 64, 4096 + 128):
        partition.flip(position)
        assert boot(partition).newest == b"kept"
        partition.flip(position)


def test_torn_first_slots_leave_a_new_plug_new():
    partition = FilePartition(4)
    partition.poke(4096, bytes(40))
    samples = boot(partition)
    assert samples.newest is None
    samples.put(b"first")
    assert boot(partition).newest == b"first"


def test_damage_never_reads_as_a_new_plug():
    partition = FilePartition(4)
    samples = boot(partition)
    for _ in range(66):
        samples.put(b"total")
    for slot in range(66):
        partition.flip(4096 + 64 * slot + 30)
    assert "energy total is unknown" in str(raises(JournalError, boot, partition))


def test_a_slot_that_does_not_keep_its_bits_is_given_up():
    partition = FilePartition(4)
    samples = boot(partition)
    samples.put(b"kept")
    partition.stuck = 4096 + 64 + 12
    samples.put(b"\x01next")
    assert samples.newest == b"\x01next"
    assert boot(partition).newest == b"\x01next"


def test_a_dead_chip_is_an_error():
    partition = FilePartition(4)
    samples = boot(partition)
    samples.put(b"kept")
    partition.broken = True
    raises(JournalError, samples.put, b"lost")
    assert samples.newest == b"kept"
