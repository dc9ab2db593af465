# needs: sim
"""Non-volatile storage and the journal partition, over what would be a reboot."""

import esp32
import flash
from run_in_micropython import raises

NOT_FOUND = -4354


def reboot():
    esp32._namespaces = None


def test_committed_values_survive_a_reboot_and_others_do_not():
    nvs = esp32.NVS("survive")
    nvs.set_blob("secret", b"\x00\x01\xff")
    nvs.set_i32("count", -7)
    nvs.commit()
    nvs.set_i32("count", 8)
    assert nvs.get_i32("count") == 8
    reboot()
    nvs = esp32.NVS("survive")
    buffer = bytearray(b"....")
    assert nvs.get_blob("secret", buffer) == 3
    assert buffer == b"\x00\x01\xff."
    assert nvs.get_i32("count") == -7


def test_namespaces_and_kinds_are_apart():
    one, other = esp32.NVS("one"), esp32.NVS("other")
    one.set_i32("key", 1)
    assert raises(OSError, other.get_i32, "key").errno == NOT_FOUND
    assert raises(OSError, one.get_blob, "key", bytearray(4)).errno == NOT_FOUND


def test_objects_of_one_namespace_share_what_is_not_committed():
    esp32.NVS("shared").set_i32("key", 5)
    assert esp32.NVS("shared").get_i32("key") == 5


def test_erased_and_missing_keys_are_not_found():
    nvs = esp32.NVS("erase")
    assert raises(OSError, nvs.erase_key, "key").errno == NOT_FOUND
    nvs.set_blob("key", b"x")
    nvs.erase_key("key")
    assert raises(OSError, nvs.get_blob, "key", bytearray(4)).errno == NOT_FOUND


def test_limits_of_the_real_storage():
    nvs = esp32.NVS("limits")
    nvs.set_blob("key", b"12345")
    assert raises(OSError, nvs.get_blob, "key", bytearray(4)).errno == -4364
    raises(OSError, nvs.set_i32, "a_key_of_16_chars", 1)
    raises(OverflowError, nvs.set_i32, "key", 1 << 31)


def journal():
    (partition,) = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")
    return partition


def read(partition, block, offset, length):
    buffer = bytearray(length)
    partition.readblocks(block, buffer, offset)
    return bytes(buffer)


def test_only_the_journal_is_found():
    assert esp32.Partition.find(esp32.Partition.TYPE_APP) == []
    assert esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs") == []
    assert raises(OSError, esp32.Partition, "vfs").errno == 2
    assert journal().info()[3:] == (0x40000, "journal", False)
    assert (journal().ioctl(4, 0), journal().ioctl(5, 0)) == (64, 4096)


def test_programming_clears_bits_and_only_an_erase_sets_them():
    partition = journal()
    assert read(partition, 3, 0, 4096) == b"\xff" * 4096
    partition.writeblocks(3, b"\xf0\x0f", 254)
    partition.writeblocks(3, b"\x3c\xff\x00", 254)
    assert read(partition, 3, 253, 5) == b"\xff\x30\x0f\x00\xff"
    erased = flash.erases[3]
    partition.ioctl(6, 3)
    assert flash.erases[3] == erased + 1
    assert read(partition, 3, 0, 4096) == b"\xff" * 4096
    partition.writeblocks(3, bytes(4096))
    partition.writeblocks(3, b"\x55" * 4096)
    assert read(partition, 3, 0, 4096) == b"\x55" * 4096
    assert read(partition, 4, 0, 1) == b"\xff"


def test_flash_is_in_the_file_at_once():
    journal().writeblocks(63, b"kept", 4092)
    flash.reboot()
    assert read(journal(), 63, 4092, 4) == b"kept"
    with open("flash.bin", "rb") as file:
        assert file.seek(0, 2) == 64 * 4096
        file.seek(-4, 2)
        assert file.read() == b"kept"


def test_limits_of_the_partition():
    partition = journal()
    assert raises(OSError, partition.readblocks, 64, bytearray(1), 1).errno == -258
    assert raises(OSError, partition.readblocks, 63, bytearray(2), 4095).errno == -260
    assert raises(OSError, partition.writeblocks, 63, b"12", 4095).errno == -260
    assert raises(OSError, partition.writeblocks, 0, b"12").errno == -260
    assert raises(OSError, partition.ioctl, 6, 64).errno == -260
    assert raises(OSError, partition.ioctl, 6, 65).errno == -258


def test_time_is_told():
    told = []
    flash.on_time = told.append
    partition = journal()
    partition.ioctl(6, 5)
    partition.writeblocks(5, bytes(600), 0)
    read(partition, 5, 0, 2048)
    flash.on_time = None
    assert told == [45_000, 900, 500]
