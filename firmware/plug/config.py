"""config.json in the root of flash: the few facts that differ from plug to plug (docs/protocol.md section 5)."""

import json

from plug.errors import ConfigError, Malformed
from plug.wire import check_keys, from_hex

PATH = "config.json"


class Config:
    """Checked settings: `ssid`, `password`, `relay_host`, `relay_port`, `chain_id`, `contract` (20 bytes)."""

    def __init__(self, settings):
        try:
            check_keys(PATH, settings, ("wifi", "relay", "chain_id", "contract"))
            check_keys("wifi", settings["wifi"], ("ssid", "password"))
            check_keys("relay", settings["relay"], ("host", "port"))
            self.contract = from_hex("contract", settings["contract"], 20)
        except Malformed as error:
            raise ConfigError(f"{error} (docs/protocol.md section 5 shows one)")
        self.ssid = settings["wifi"]["ssid"]
        self.password = settings["wifi"]["password"]
        self.relay_host = settings["relay"]["host"]
        self.relay_port = settings["relay"]["port"]
        self.chain_id = settings["chain_id"]
        if not isinstance(self.chain_id, int) or self.chain_id < 1:
            raise ConfigError(f"chain_id: not a positive integer: {self.chain_id!r}")
        if not isinstance(self.relay_port, int) or not 0 < self.relay_port < 65536:
            raise ConfigError(f"relay: port is not 1..65535: {self.relay_port!r}")
        for name in ("ssid", "password", "relay_host"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name}: not a text")


def load():
    """Return the Config in flash; raise ConfigError where it is missing or wrong."""
    try:
        with open(PATH) as file:
            settings = json.load(file)
    except OSError:
        raise ConfigError(f"{PATH} is missing: copy one to the plug's flash (docs/protocol.md section 5 shows it)")
    except ValueError:
        raise ConfigError(f"{PATH} is not JSON")
    return Config(settings)
