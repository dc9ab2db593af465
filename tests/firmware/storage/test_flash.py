"""Nothing counts as written or erased before it was read back."""

from plug.errors import JournalError
from plug.storage.flash import Flash
from run_in_micropython import raises
from storage.file_partition import FilePartition


def test_parts_are_joined_and_filled_up_to_a_unit():
    partition = FilePartition(1)
    flash = Flash(partition)
    assert flash.write(0, 16 * 15, (b"abc", b"", bytes(300), b"z")) == 16 * 34
    assert partition.peek(240, 320) == b"abc" + bytes(300) + b"z" + b"\xff" * 16


def test_programs_keep_to_pages_and_units():
    partition = FilePartition(1)
    flash = Flash(partition)
    programs = []
    write = partition.writeblocks
    partition.writeblocks = lambda block, buf, offset: (programs.append((offset, len(buf))), write(block, buf, offset))
    flash.write(0, 224, (bytes(70), bytes(500)))
    assert programs == [(224, 32), (256, 256), (512, 256), (768, 32)]


def test_a_bit_that_does_not_program_is_seen():
    partition = FilePartition(1)
    partition.stuck = 100
    flash = Flash(partition)
    flash.write(0, 96, (bytes(16),))
    flash.erase(0)
    assert "sector 0" in str(raises(JournalError, flash.write, 0, 96, (b"\x01" * 16,)))


def test_a_sector_that_does_not_erase_is_seen():
    partition = FilePartition(1)
    flash = Flash(partition)
    erase = partition.ioctl

    def leave_one_bit(op, arg):
        result = erase(op, arg)
        partition.poke(4095, b"\x7f")
        return result

    partition.ioctl = leave_one_bit
    assert "worn out" in str(raises(JournalError, flash.erase, 0))


def test_the_chips_errors_are_journal_errors():
    partition = FilePartition(1)
    flash = Flash(partition)
    partition.broken = True
    for call in ((flash.read, 0, 0, bytearray(1)), (flash.erase, 0), (flash.write, 0, 0, (b"x",))):
        assert "ESP_ERR_TIMEOUT" in str(raises(JournalError, *call))
