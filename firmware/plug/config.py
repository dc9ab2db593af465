"""config.json in the root of flash: the few facts that differ from plug to plug (docs/protocol.md section 5)."""

import json
import os
from binascii import unhexlify

from plug.errors import ConfigError, Malformed
from plug.relay import Relay
from plug.terms import NO_TERMS, Terms
from plug.wire import check_keys, from_hex

PATH = "config.json"
_MAX_BYTES = 4096
_MAX_BRACKETS = 128  # more, nested, would exhaust the memory of the parser


class Config:
    """Checked settings: `ssid`, `password`, `relay` (Relay), `chain_id`, `contract` and `host` (20 bytes or None), `terms` (Terms),
    `entropy` (32 bytes or None: the host's share of a key that is to be made).
    """

    def __init__(self, settings):
        try:
            keys = ("wifi", "relay", "chain_id", "contract")
            if isinstance(settings, dict):
                keys += tuple(key for key in ("terms", "entropy") if key in settings)
            check_keys(PATH, settings, keys)
            check_keys("wifi", settings["wifi"], ("ssid", "password"))
            self.relay = Relay(settings["relay"])
            self.contract = from_hex("contract", settings["contract"], 20)
            terms = settings.get("terms", NO_TERMS)
            self.terms = Terms(terms)
            self.host = None if terms["host"] is None else from_hex("terms.host", terms["host"], 20)
        except Malformed as error:
            raise ConfigError(f"{error} (docs/protocol.md section 5 shows one)")
        self.entropy = read_entropy(settings["entropy"]) if "entropy" in settings else None
        self.ssid = settings["wifi"]["ssid"]
        self.password = settings["wifi"]["password"]
        self.chain_id = settings["chain_id"]
        if type(self.chain_id) is not int or self.chain_id < 1:
            raise ConfigError(f"chain_id: not a positive integer: {self.chain_id!r:.40}")
        for name in ("ssid", "password"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"wifi: {name} is not a text")


def read_entropy(text):
    """Return the 32 bytes of 64 hex digits. Raises ConfigError, which does not show them."""
    try:
        entropy = unhexlify(text) if isinstance(text, str) else b""
    except ValueError:
        entropy = b""
    if len(entropy) != 32:
        raise ConfigError("entropy: not 64 hex digits: `openssl rand -hex 32` makes some")
    return entropy


def load():
    """Return the Config in flash; raise ConfigError where it is missing or wrong."""
    try:
        length = os.stat(PATH)[6]
        if length > _MAX_BYTES:
            raise ConfigError(f"{PATH} has {length} bytes, more than {_MAX_BYTES}")
        with open(PATH) as file:
            text = file.read(length)
    except (OSError, UnicodeError):
        raise ConfigError(f"{PATH} cannot be read: copy one to the plug's flash (docs/protocol.md section 5 shows it)")
    if text.count("{") + text.count("[") > _MAX_BRACKETS:
        raise ConfigError(f"{PATH} has more than {_MAX_BRACKETS} opening brackets")
    try:
        settings = json.loads(text)
    except ValueError:
        raise ConfigError(f"{PATH} is not JSON")
    if text.rstrip()[-1:] != "}":  # the parser takes the end of the text for any bracket that is missing
        raise ConfigError(f"{PATH} ends too early: copy it again")
    return Config(settings)
