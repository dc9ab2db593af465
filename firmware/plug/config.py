"""config.json in the root of flash: the few facts that differ from plug to plug (docs/protocol.md section 5)."""

import json
import os
from binascii import unhexlify

from plug.errors import ConfigError, Malformed
from plug.terms import NO_TERMS, Terms
from plug.wire import check_keys, from_hex

PATH = "config.json"
_MAX_BYTES = 4096
_MAX_BRACKETS = 128  # more, nested, would exhaust the memory of the parser


class Config:
    """Checked settings: `ssid`, `password`, `relay_host`, `relay_port`, `chain_id`, `contract` and `host` (20 bytes or None), `terms` (Terms),
    `entropy` (32 bytes or None: the host's share of a key that is to be made).
    """

    def __init__(self, settings):
        try:
            keys = ("wifi", "relay", "chain_id", "contract")
            if isinstance(settings, dict):
                keys += tuple(key for key in ("terms", "entropy") if key in settings)
            check_keys(PATH, settings, keys)
            check_keys("wifi", settings["wifi"], ("ssid", "password"))
            check_keys("relay", settings["relay"], ("host", "port"))
            self.contract = from_hex("contract", settings["contract"], 20)
            terms = settings.get("terms", NO_TERMS)
            self.terms = Terms(terms)
            self.host = None if terms["host"] is None else from_hex("terms.host", terms["host"], 20)
        except Malformed as error:
            raise ConfigError(f"{error} (docs/protocol.md section 5 shows one)")
        self.entropy = read_entropy(settings["entropy"]) if "entropy" in settings else None
        self.ssid = settings["wifi"]["ssid"]
        self.password = settings["wifi"]["password"]
        self.relay_host = settings["relay"]["host"]
        self.relay_port = settings["relay"]["port"]
        self.chain_id = settings["chain_id"]
        if type(self.chain_id) is not int or self.chain_id < 1:
            raise ConfigError(f"chain_id: not a positive integer: {self.chain_id!r:.40}")
        if type(self.relay_port) is not int or not 0 < self.relay_port < 65536:
            raise ConfigError(f"relay: port is not 1..65535: {self.relay_port!r:.40}")
        for name in ("ssid", "password"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"wifi: {name} is not a text")
        if not _is_ipv4(self.relay_host):
            raise ConfigError(f"relay: host is not an IPv4 address: {self.relay_host!r:.60}; looking up a name would stop the plug for seconds")


def read_entropy(text):
    """Return the 32 bytes of 64 hex digits. Raises ConfigError, which does not show them."""
    try:
        entropy = unhexlify(text) if isinstance(text, str) else b""
    except ValueError:
        entropy = b""
    if len(entropy) != 32:
        raise ConfigError("entropy: not 64 hex digits: `openssl rand -hex 32` makes some")
    return entropy


def _is_ipv4(text):
    parts = text.split(".") if isinstance(text, str) else ()
    return len(parts) == 4 and all(part.isdigit() and len(part) <= 3 and int(part) < 256 for part in parts)


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
