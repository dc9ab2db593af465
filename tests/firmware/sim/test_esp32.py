# needs: sim
"""Non-volatile storage, over what would be a reboot."""

import esp32
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
