"""ATECC608B secure element over I2C: packets, checksums, waiting, repeating. Sources: data sheet summary DS40002239; the commands' numbers and
longest execution times are those that Microchip publishes in CryptoAuthLib (clock divider M0, a blank chip's).
"""

import asyncio

from micropython import const

from plug.errors import SecureElementError

BUS_HZ = const(100_000)  # the wake token is an address of eight zeros: SDA must stay low for 60 us
CONFIG_BYTES = const(128)
LOCK_CONFIG = const(0x00)  # with the checksum of the zone
LOCK_DATA = const(0x81)  # without: nobody knows what a slot with a key holds

_ADDRESS = const(0x60)
_GENERAL_CALL = const(0x00)
_WORD_SLEEP = b"\x01"
_WORD_COMMAND = b"\x03"
_OVERHEAD = const(3)  # of a response: count, checksum
_WAKE_MS = const(2)  # 1.5 ms until it listens
_POLL_MS = const(5)
_ATTEMPTS = const(3)
_PAUSE_MS = const(900)  # two of them outlast the chip's watchdog, 1.7 s at most: whatever it was doing, it sleeps then

_AWAKE = const(0x11)
_PASSING = {
    0x05: "an ECC fault",
    _AWAKE: "that it has just woken",
    0xEE: "that its watchdog is about to expire",
    0xFF: "that the command's checksum is wrong",
}

# Of CRC-16 with the polynomial 0x8005 in the order of bits in which the chip sends them, four at a time.
_NIBBLES = (
    0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401, 0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400,
)  # fmt: skip


class _PassingError(SecureElementError):
    """What another attempt may cure."""


def crc16(data):
    """Return the checksum of a packet from its count on: two bytes, as they are sent."""
    crc = 0
    for byte in data:
        crc = crc >> 4 ^ _NIBBLES[(crc ^ byte) & 15]
        crc = crc >> 4 ^ _NIBBLES[(crc ^ byte >> 4) & 15]
    mirrored = 0
    for _ in range(16):
        mirrored = mirrored << 1 | crc & 1
        crc >>= 1
    return mirrored.to_bytes(2, "little")


class ATECC608B:
    """The chip on `bus` (a machine.I2C of its own, at BUS_HZ). Between two calls it sleeps.

    Every method wakes it, waits without holding up the other tasks, and puts it to sleep; it tries three times where the bus or the chip's
    own watchdog got in between, and then, or when the chip refuses, raises SecureElementError. `retries` counts.
    """

    def __init__(self, bus):
        self._bus = bus
        self._turn = asyncio.Lock()
        self.retries = 0

    async def revision(self):
        """Return the chip's revision: 4 bytes, 00 00 60 03 of an ATECC608B."""
        return await self._transact((0x30, 0x00, 0, b"", 4, 5))

    async def random(self):
        """Return 32 bytes of the chip's generator; without a locked configuration always the same ones."""
        return await self._transact((0x1B, 0x00, 0, b"", 32, 23))

    async def read_config(self):
        """Return the configuration zone: 128 bytes."""
        zone = b""
        for block in range(CONFIG_BYTES // 32):
            zone += await self._transact((0x02, 0x80, block << 3, b"", 32, 5))
        return zone

    async def write_config(self, offset, word):
        """Write 4 bytes of the configuration zone; `offset` is a multiple of 4. Only before it is locked."""
        await self._transact((0x12, 0x00, offset // 4, word, 1, 45))

    async def lock(self, mode, checksum=b"\0\0"):
        """Lock a zone for ever: LOCK_CONFIG with the zone's crc16, LOCK_DATA. Not repeated: read afterwards what became of it."""
        await self._transact((0x17, mode, int.from_bytes(checksum, "little"), b"", 1, 35), attempts=1)

    async def generate_key(self, slot):
        """Make a new private key in a slot, in place of the one there; return its public key x || y (64 bytes)."""
        return await self._transact((0x40, 0x04, slot, b"", 64, 115))

    async def public_key(self, slot):
        """Return the public key x || y (64 bytes) of the private key in a slot."""
        return await self._transact((0x40, 0x00, slot, b"", 64, 115))

    async def sign(self, slot, digest):
        """Return r || s (64 bytes) over a digest (32 bytes) by the key in a slot. Its generator gets a new seed first."""
        return await self._transact(
            (0x1B, 0x00, 0, b"", 32, 23),
            (0x16, 0x43, 0, digest, 1, 20),  # the digest into the chip's message buffer, which does not outlive its sleep
            (0x41, 0xA0, slot, b"", 64, 115),
        )

    async def _transact(self, *commands, attempts=_ATTEMPTS):
        """Run commands (opcode, parameter 1, parameter 2, data, bytes of the answer, longest ms) in one wake; return the last one's answer."""
        async with self._turn:
            while True:
                attempts -= 1
                try:
                    await self._wake()
                    for command in commands:
                        answer = await self._run(*command)
                    return answer
                except _PassingError:
                    if not attempts:
                        raise
                    self.retries += 1
                finally:
                    self._sleep()
                await asyncio.sleep_ms(_PAUSE_MS)

    async def _wake(self):
        try:
            self._bus.writeto(_GENERAL_CALL, b"")
        except OSError:
            pass  # nobody acknowledges it
        await asyncio.sleep_ms(_WAKE_MS)
        try:
            answer = self._receive(1)
        except OSError as error:
            raise _PassingError(f"the secure element does not wake ({error}); check its supply and the wiring of signer_scl, signer_sda")
        if answer[0] != _AWAKE:
            raise _PassingError(f"the secure element wakes with status 0x{answer[0]:02x}")

    def _sleep(self):
        try:
            self._bus.writeto(_ADDRESS, _WORD_SLEEP)
        except OSError:
            pass  # it sleeps, or the next wake will tell

    async def _run(self, opcode, mode, parameter, data, length, longest_ms):
        packet = bytes((7 + len(data), opcode, mode, parameter & 0xFF, parameter >> 8)) + data
        try:
            self._bus.writeto(_ADDRESS, _WORD_COMMAND + packet + crc16(packet))
        except OSError as error:
            raise _PassingError(f"the secure element does not take command 0x{opcode:02x} ({error}); check its wiring")
        for _ in range(longest_ms // _POLL_MS + 1):
            await asyncio.sleep_ms(_POLL_MS)
            try:
                answer = self._receive(length)
                break
            except OSError:
                continue  # busy
        else:
            raise _PassingError(f"the secure element has not answered command 0x{opcode:02x} within {longest_ms} ms; check its supply")
        if len(answer) != length or (length == 1 and answer[0]):
            status = answer[0]
            if status in _PASSING:
                raise _PassingError(f"the secure element answers command 0x{opcode:02x} with {_PASSING[status]}; check its wiring and supply")
            raise SecureElementError(f"the secure element refuses command 0x{opcode:02x} with status 0x{status:02x}: is it set up and locked?")
        return answer

    def _receive(self, length):
        """Return what is in a response: `length` bytes, or the one byte of a status. Raises OSError while nobody answers."""
        response = self._bus.readfrom(_ADDRESS, length + _OVERHEAD)
        count = response[0]
        if count not in (length + _OVERHEAD, 1 + _OVERHEAD) or crc16(response[: count - 2]) != response[count - 2 : count]:
            raise _PassingError("the secure element's answer is damaged; check the wiring of signer_scl, signer_sda")
        return response[1 : count - 2]
