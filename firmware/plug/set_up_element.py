"""Setting up a blank ATECC608B, once and for ever, by a person at the REPL with the app stopped (firmware/README.md):

from plug import set_up_element
set_up_element.run("lock it for ever")
"""

import asyncio

from plug.drivers.atecc608b import LOCK_CONFIG, LOCK_DATA, crc16
from plug.errors import SecureElementError
from plug.signing.element_setup import LOCK_CONFIG_AT, LOCK_DATA_AT, OPEN, WORDS, check_words, open_chip, read_608, read_checked, serial_number

_CONSENT = "lock it for ever"


def run(consent, show=print):
    """Write the chip's settings, compare all of them, lock both zones. `consent` is "lock it for ever". Safe to repeat after any failure.

    `show(text)` prints. Raises SecureElementError; before the settings are right nothing is locked.
    """
    if consent != _CONSENT:
        raise SecureElementError(f'locking cannot be undone: to have it done, run("{_CONSENT}")')
    asyncio.run(_set_up(open_chip(), show))


async def _set_up(chip, show):
    config = await read_608(chip)
    if config[LOCK_CONFIG_AT] == OPEN:
        await _write(chip, config)
    if config[LOCK_DATA_AT] == OPEN:
        check_words(await chip.read_config())  # a chip that somebody else has locked half
        await chip.lock(LOCK_DATA)
    show(f"chip {serial_number(await read_checked(chip)).hex()} is set up and locked")


async def _write(chip, before):
    expected = bytearray(before)
    for offset, word in WORDS:
        await chip.write_config(offset, word)
        expected[offset : offset + 4] = word
    if await chip.read_config() != expected:
        raise SecureElementError("the secure element's settings are not what was written, nothing is locked: run it again, or replace the chip")
    await chip.lock(LOCK_CONFIG, crc16(expected))  # which the chip compares with its own
