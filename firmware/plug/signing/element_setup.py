"""How a plug's ATECC608B must be set up, and its bus. Places and bits of the configuration zone: data sheet summary DS40002239, CryptoAuthLib."""

from machine import I2C, Pin
from micropython import const

from plug import board
from plug.drivers.atecc608b import ATECC608B, BUS_HZ
from plug.errors import SecureElementError

SLOTS = const(2)  # slots 0 and 1: a new key is made beside the one in use
LOCK_DATA_AT, LOCK_CONFIG_AT = const(86), const(87)
OPEN = const(0x55)
_LOCKED = const(0x00)
_REVISION = const(0x60)  # third byte of the revision: an ATECC608, whatever letter
_BUS = const(1)  # the metering IC's is 0
_TIMEOUT_US = const(10_000)

# (offset, 4 bytes): SlotConfig and KeyConfig of both slots. A P-256 private key that never leaves, is made by GenKey only and signs messages
# from outside; its public key may be asked for. No other slot is used.
WORDS = ((20, b"\x81\x20\x81\x20"), (96, b"\x13\x00\x13\x00"))


def open_chip():
    """Return the ATECC608B on the board's own bus for it; nothing is sent yet."""
    pins = board.PINS
    return ATECC608B(I2C(_BUS, scl=Pin(pins["signer_scl"]), sda=Pin(pins["signer_sda"]), freq=BUS_HZ, timeout=_TIMEOUT_US))


async def read_checked(chip):
    """Return the configuration zone of a chip that is an ATECC608 and set up for a plug. Raises SecureElementError for any other."""
    config = await read_608(chip)
    if config[LOCK_CONFIG_AT] != _LOCKED or config[LOCK_DATA_AT] != _LOCKED:
        raise SecureElementError("the secure element is not locked, its key could be exchanged: set it up with plug.set_up_element, then restart")
    check_words(config)
    return config


def check_words(config):
    """Raise SecureElementError for a locked configuration zone with other settings than a plug's."""
    for offset, word in WORDS:
        found = config[offset : offset + 4]
        if found != word:
            raise SecureElementError(f"the secure element is locked with other settings (byte {offset}: {found.hex()}, not {word.hex()}): replace it")


async def read_608(chip):
    """Return the configuration zone of a chip that is an ATECC608. Raises SecureElementError."""
    revision = await chip.revision()
    if revision[2] != _REVISION:
        raise SecureElementError(f"the chip on the secure element's bus has revision {revision.hex()}, it is no ATECC608: check the board")
    return await chip.read_config()


def serial_number(config):
    """Return the 9 bytes that no two chips share."""
    return config[0:4] + config[8:13]
