# needs: sim
"""The simulated ATECC608B, packet by packet; the firmware's own P-256 checks what it signs."""

import time
from binascii import unhexlify

from clock import world
from machine import I2C, Pin
from plug.crypto import p256

world.signer_bus  # noqa: B018 - on the board, whatever board this is
ADDRESS = 0x60
DIGEST = bytes(range(32))


def bus(freq=100_000):
    return I2C(1, scl=Pin(18), sda=Pin(19), freq=freq)


def crc(data):
    value = 0
    for byte in data:
        for i in range(8):
            value = (value << 1 ^ (0x8005 if (value >> 15 ^ byte >> i) & 1 else 0)) & 0xFFFF
    return value.to_bytes(2, "little")


def nack(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno == 19
    return False


def wake(i2c):
    """Put it to sleep and wake it."""
    nack(i2c.writeto, ADDRESS, b"\x01")
    nack(i2c.writeto, 0, b"")
    time.sleep_ms(2)
    return i2c.readfrom(ADDRESS, 4)


def send(i2c, text, data=b""):
    packet = bytes((7 + len(data),)) + unhexlify(text) + data
    i2c.writeto(ADDRESS, b"\x03" + packet + crc(packet))


def ask(i2c, text, data=b""):
    """Return the payload of the answer."""
    send(i2c, text, data)
    for _ in range(200):
        time.sleep_ms(1)
        try:
            count = i2c.readfrom(ADDRESS, 1)[0]
        except OSError:
            continue
        rest = i2c.readfrom(ADDRESS, count - 1)
        assert crc(bytes((count,)) + rest[:-2]) == rest[-2:]
        return rest[:-2]
    raise AssertionError("it never answered")


def test_it_sleeps_until_it_is_woken_slowly_enough():
    i2c = bus()
    nack(i2c.writeto, ADDRESS, b"\x01")
    assert nack(i2c.readfrom, ADDRESS, 4)
    fast = bus(400_000)
    nack(fast.writeto, 0, b"")
    time.sleep_ms(2)
    assert nack(i2c.readfrom, ADDRESS, 4)
    assert wake(i2c) == b"\x04\x11\x33\x43"


def test_it_needs_a_moment_to_wake():
    i2c = bus()
    nack(i2c.writeto, ADDRESS, b"\x01")
    nack(i2c.writeto, 0, b"")
    time.sleep_ms(1)
    assert nack(i2c.readfrom, ADDRESS, 4)


def test_it_says_what_it_is_and_answers_nobody_while_busy():
    i2c = bus()
    wake(i2c)
    assert ask(i2c, "30000000") == b"\x00\x00\x60\x03"
    send(i2c, "40040000")
    time.sleep_ms(70)
    assert nack(i2c.readfrom, ADDRESS, 67)
    assert nack(i2c.writeto, ADDRESS, b"\x00")
    time.sleep_ms(6)
    assert i2c.readfrom(ADDRESS, 1) == b"\x43"


def test_a_damaged_command_is_answered_by_its_status():
    i2c = bus()
    wake(i2c)
    i2c.writeto(ADDRESS, b"\x03\x07\x30\x00\x00\x00\x03\x5c")
    assert i2c.readfrom(ADDRESS, 4) == b"\x04\xff" + crc(b"\x04\xff")
    i2c.writeto(ADDRESS, b"\x03\x08\x30\x00\x00\x00\x03\x5d")
    assert i2c.readfrom(ADDRESS, 2) == b"\x04\xff"
    assert ask(i2c, "99000000") == b"\x03"


def test_its_signatures_hold():
    i2c = bus()
    wake(i2c)
    for slot in ("0000", "0100"):
        public = ask(i2c, "4004" + slot)
        assert ask(i2c, "4000" + slot) == public
        assert ask(i2c, "16430000", DIGEST) == b"\0"
        signature = ask(i2c, "41a0" + slot)
        assert p256.verify(public, DIGEST, signature)
        assert not p256.verify(public, bytes(32), signature)


def test_a_message_outlives_idle_but_not_sleep_and_signs_once():
    i2c = bus()
    for word, status in ((b"\x02", None), (b"\x01", b"\x0f")):
        wake(i2c)
        ask(i2c, "40040000")
        ask(i2c, "16430000", DIGEST)
        i2c.writeto(ADDRESS, word)
        assert nack(i2c.readfrom, ADDRESS, 1)
        nack(i2c.writeto, 0, b"")
        time.sleep_ms(2)
        answer = ask(i2c, "41a00000")
        assert answer == status or (status is None and len(answer) == 64)
    wake(i2c)
    ask(i2c, "16430000", DIGEST)
    assert len(ask(i2c, "41a00000")) == 64
    assert ask(i2c, "41a00000") == b"\x0f"


def test_its_watchdog_puts_it_to_sleep():
    i2c = bus()
    wake(i2c)
    time.sleep_ms(1_250)
    assert ask(i2c, "30000000") == b"\x00\x00\x60\x03"
    send(i2c, "41a00000")
    assert i2c.readfrom(ADDRESS, 2) == b"\x04\xee"  # what would last too long
    time.sleep_ms(100)
    assert nack(i2c.readfrom, ADDRESS, 4)


def test_a_locked_configuration_cannot_be_written_and_what_is_refused_is_named():
    i2c = bus()
    wake(i2c)
    config = b"".join(ask(i2c, f"0280{8 * block:02x}00") for block in range(4))
    assert config[:4] + config[8:13] == unhexlify("0123a1b2c3d4e5f6ee")
    assert config[86:88] == b"\0\0"
    assert ask(i2c, "12000500", b"\x87\x20\x87\x20") == b"\x0f"
    assert ask(i2c, "17800000") == ask(i2c, "17810000") == b"\x0f"
    assert ask(i2c, "40040200") == b"\x0f"  # a slot for data
