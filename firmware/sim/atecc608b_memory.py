"""What an ATECC608B keeps without power: configuration zone, keys. One JSON file per serial number, in the working directory like the flash."""

import json
import os
from binascii import hexlify, unhexlify

OPEN, SHUT = 0x55, 0x00  # of the lock bytes
DATA_LOCK, CONFIG_LOCK = 86, 87
SLOT_CONFIG, KEY_CONFIG = 20, 96
_SLOTS = 16

# As from the factory, the serial number aside: revision, I2C on, address 0xC0; slots for data; both zones open.
_REVISION = b"\x00\x00\x60\x03"


class Memory:
    """`config` is the zone's 128 bytes (a bytearray), `keys` the private keys by slot; save() after a change, as a chip writes its EEPROM."""

    def __init__(self, serial, is_set_up):
        self._file = f"atecc608b-{hexlify(serial).decode()}.json"
        self.keys = {}
        try:
            with open(self._file) as file:
                kept = json.load(file)
            self.config = bytearray(unhexlify(kept["config"]))
            self.keys = {int(slot): int(secret, 16) for slot, secret in kept["keys"].items()}
        except OSError:  # a new chip
            self.config = _factory_config(serial)
            if is_set_up:
                for slot in (0, 1):
                    # A secret P-256 key, made by GenKey only, that signs messages from outside; its public key may be asked for.
                    self.config[SLOT_CONFIG + 2 * slot : SLOT_CONFIG + 2 * slot + 2] = b"\x81\x20"
                    self.config[KEY_CONFIG + 2 * slot : KEY_CONFIG + 2 * slot + 2] = b"\x13\x00"
                self.config[DATA_LOCK] = self.config[CONFIG_LOCK] = SHUT

    def save(self):
        """Write the file, the old or the new one whole."""
        with open(self._file + ".new", "w") as file:
            keys = {str(slot): f"{secret:x}" for slot, secret in self.keys.items()}
            json.dump({"config": hexlify(self.config).decode(), "keys": keys}, file)
        os.rename(self._file + ".new", self._file)

    @property
    def config_locked(self):
        """Whether the configuration zone can no longer change."""
        return self.config[CONFIG_LOCK] == SHUT

    def slot_config(self, slot):
        """Return a slot's SlotConfig as a number."""
        return self._word(SLOT_CONFIG, slot)

    def key_config(self, slot):
        """Return a slot's KeyConfig as a number."""
        return self._word(KEY_CONFIG, slot)

    def _word(self, base, slot):
        return self.config[base + 2 * slot] | self.config[base + 2 * slot + 1] << 8


def _factory_config(serial):
    config = bytearray(128)
    config[0:4], config[4:8], config[8:13] = serial[:4], _REVISION, serial[4:]
    config[13:15] = b"\x61\x01"  # AES, I2C
    config[16] = 0xC0
    config[DATA_LOCK] = config[CONFIG_LOCK] = OPEN
    config[88:90] = b"\xff\xff"  # no slot is locked by itself
    for slot in range(_SLOTS):
        config[SLOT_CONFIG + 2 * slot : SLOT_CONFIG + 2 * slot + 2] = b"\x8f\x8f"
        config[KEY_CONFIG + 2 * slot : KEY_CONFIG + 2 * slot + 2] = b"\x3c\x00"
    return config
