# needs: sim
# board: socket_16a_se
"""The driver against a scripted bus: exact bytes, every fault of a bus, and what is tried again."""

import asyncio

from plug.drivers.atecc608b import ATECC608B, LOCK_CONFIG, LOCK_DATA, crc16
from plug.errors import SecureElementError

ADDRESS = 0x60
AWAKE = b"\x04\x11\x33\x43"
DIGEST = bytes(range(32))


def response(payload):
    body = bytes((len(payload) + 3,)) + payload
    return body + crc16(body)


class Chip:
    """Answers each command with the next of `answers`: a response, or None for a NACK; `busy` reads before each are not acknowledged."""

    def __init__(self, *answers, busy=0, wakes=AWAKE):
        self.answers = list(answers)
        self.busy = busy
        self.wakes = wakes
        self.log = []
        self.refused_reads = 0
        self._output, self._waits = None, 0

    def writeto(self, address, data):
        data = bytes(data)
        if address == 0:
            self.log.append("wake")
            self._output, self._waits = self.wakes, 0
            raise OSError(19)
        assert address == ADDRESS
        if data == b"\x01":
            self.log.append("sleep")
            return
        assert data[0] == 3
        answer = self.answers.pop(0)
        if answer is None:
            raise OSError(19)
        self.log.append(data)
        self._output, self._waits = answer, self.busy

    def readfrom(self, address, nbytes):
        assert address == ADDRESS
        if self._output is None:
            raise OSError(19)
        if self._waits:
            self._waits -= 1
            self.refused_reads += 1
            raise OSError(19)
        return self._output[:nbytes] + b"\xff" * (nbytes - len(self._output))


def refused(coroutine):
    try:
        asyncio.run(coroutine)
    except SecureElementError as error:
        return str(error)
    raise AssertionError("SecureElementError was not raised")


def commands(chip):
    return [entry for entry in chip.log if isinstance(entry, bytes)]


def test_the_checksum_is_that_of_published_packets():
    # CryptoAuthLib's users' logs: wake answer, Info, GenKey in slot 0, Sign with slot 0
    assert crc16(b"\x04\x11") == b"\x33\x43"
    assert crc16(bytes.fromhex("0730000000")) == bytes.fromhex("035d")
    assert crc16(bytes.fromhex("0740040000")) == bytes.fromhex("8387")
    assert crc16(bytes.fromhex("0741a00000")) == bytes.fromhex("7b85")


def test_each_call_wakes_and_sleeps_and_sends_the_packet():
    chip = Chip(response(b"\x00\x00\x60\x03"))
    assert asyncio.run(ATECC608B(chip).revision()) == b"\x00\x00\x60\x03"
    assert chip.log == ["wake", bytes.fromhex("0307 30 00 0000 035d".replace(" ", "")), "sleep"]


def test_a_signature_is_made_within_one_wake():
    answer = bytes(range(64))
    chip = Chip(response(bytes(32)), response(b"\0"), response(answer))
    assert asyncio.run(ATECC608B(chip).sign(1, DIGEST)) == answer
    assert (chip.log[0], chip.log[-1], chip.log.count("wake")) == ("wake", "sleep", 1)
    random, nonce, sign = commands(chip)
    assert (random[2], nonce[1:6], nonce[6:-2], sign[2:6]) == (0x1B, b"\x27\x16\x43\0\0", DIGEST, b"\x41\xa0\x01\x00")
    for packet in (random, nonce, sign):
        assert crc16(packet[1:-2]) == packet[-2:]


def test_a_busy_chip_is_asked_again_up_to_its_longest_time():
    chip = Chip(response(bytes(64)), busy=20)
    assert asyncio.run(ATECC608B(chip).public_key(0)) == bytes(64)
    chip = Chip(*[response(bytes(64))] * 3, busy=1000)
    driver = ATECC608B(chip)
    assert "within 115 ms" in refused(driver.public_key(0))
    assert (driver.retries, chip.log.count("wake"), chip.log.count("sleep")) == (2, 3, 3)
    assert chip.refused_reads == 3 * (115 // 5 + 1)


def test_other_tasks_run_while_it_waits():
    turns = []

    async def other():
        while True:
            turns.append(1)
            await asyncio.sleep_ms(1)

    async def both():
        task = asyncio.create_task(other())
        await ATECC608B(Chip(response(bytes(64)), busy=10)).public_key(0)
        task.cancel()

    asyncio.run(both())
    assert len(turns) > 20


def test_every_flipped_bit_of_an_answer_is_noticed():
    good = response(b"\x00\x00\x60\x03")
    for i in range(8 * len(good)):
        bad = bytearray(good)
        bad[i // 8] ^= 1 << i % 8
        driver = ATECC608B(Chip(bytes(bad), good))
        assert asyncio.run(driver.revision()) == b"\x00\x00\x60\x03"
        assert driver.retries == 1


def test_what_passes_is_tried_three_times():
    for status, word in ((0xFF, "checksum"), (0xEE, "watchdog"), (0x11, "woken"), (0x05, "ECC")):
        chip = Chip(response(bytes((status,))), response(b"\x01\x02\x03\x04"))
        assert asyncio.run(ATECC608B(chip).revision()) == b"\x01\x02\x03\x04"
        assert chip.log.count("wake") == 2
        assert word in refused(ATECC608B(Chip(*[response(bytes((status,)))] * 3)).revision())


def test_what_the_chip_refuses_is_not_tried_again():
    for status in (0x03, 0x0F):
        chip = Chip(response(bytes((status,))))
        assert f"0x{status:02x}" in refused(ATECC608B(chip).sign(0, DIGEST))
        assert chip.log.count("wake") == 1
    assert chip.log[-1] == "sleep"


def test_a_refused_digest_is_not_signed():
    chip = Chip(response(bytes(32)), response(b"\x03"), response(bytes(64)))
    assert "0x16" in refused(ATECC608B(chip).sign(0, DIGEST))
    assert len(commands(chip)) == 2


def test_a_chip_that_does_not_take_the_command():
    assert "does not take command 0x30" in refused(ATECC608B(Chip(None, None, None)).revision())
    assert asyncio.run(ATECC608B(Chip(None, response(b"1234"))).revision()) == b"1234"


def test_a_chip_that_does_not_wake():
    chip = Chip(wakes=None)
    assert "does not wake" in refused(ATECC608B(chip).revision())
    assert chip.log == ["wake", "sleep"] * 3
    assert "damaged" in refused(ATECC608B(Chip(wakes=b"\xff" * 4)).revision())
    assert "status 0x07" in refused(ATECC608B(Chip(wakes=response(b"\x07"))).revision())


def test_locking_is_never_repeated():
    for mode in (LOCK_CONFIG, LOCK_DATA):
        chip = Chip(b"\xff" * 4, response(b"\0"))
        assert "damaged" in refused(ATECC608B(chip).lock(mode, b"\x34\x12"))
        assert len(commands(chip)) == 1
        assert commands(chip)[0][2:6] == bytes((0x17, mode, 0x34, 0x12))


def test_two_tasks_take_turns():
    chip = Chip(response(b"1111"), response(b"2222"), busy=1)
    driver = ATECC608B(chip)

    async def both():
        return await asyncio.gather(driver.revision(), driver.revision())

    assert asyncio.run(both()) == [b"1111", b"2222"]
    assert [entry if isinstance(entry, str) else "command" for entry in chip.log] == ["wake", "command", "sleep"] * 2
