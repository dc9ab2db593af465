"""`relay` in config.json: how the plug reaches its relay (docs/protocol.md section 5)."""

from micropython import const

from plug.errors import ConfigError
from plug.wire import check_keys

TCP = "tcp"
MQTT = "mqtt"
SERIAL = "serial"
_KEYS = {TCP: ("host", "port"), MQTT: ("host", "port"), SERIAL: ()}
_MAX_LOGIN = const(256)  # bytes


class Relay:
    """Checked settings: `link` (one of the three above), `host`, `port`; for MQTT `user` and `password` (or None) and `tls` (a dict with `name`,
    `ca` and, None or file names, `cert` and `key`; or None). Raises ConfigError or Malformed, which name what is wrong.
    """

    def __init__(self, settings):
        if not isinstance(settings, dict):
            raise ConfigError("relay: not an object")
        self.link = settings.get("link", TCP)
        if self.link not in (TCP, MQTT, SERIAL):
            raise ConfigError(f"relay: link is not tcp, mqtt or serial: {self.link!r:.40}")
        keys = _KEYS[self.link] + (("link",) if "link" in settings else ())
        if self.link == MQTT:
            keys += tuple(key for key in ("user", "password", "tls") if key in settings)
        check_keys("relay", settings, keys)
        self.host = settings.get("host")
        self.port = settings.get("port")
        if self.link != SERIAL:
            self._check_address()
        self.user = settings.get("user")
        self.password = settings.get("password")
        if (self.user is None) != (self.password is None):
            raise ConfigError("relay: user and password: both or none")
        for name in ("user", "password"):
            if name in settings and not _is_login(settings[name]):
                raise ConfigError(f"relay: {name} is not a text of 1 to {_MAX_LOGIN} bytes")
        self.tls = _read_tls(settings["tls"]) if "tls" in settings else None

    def _check_address(self):
        if type(self.port) is not int or not 0 < self.port < 65536:
            raise ConfigError(f"relay: port is not 1..65535: {self.port!r:.40}")
        if not _is_ipv4(self.host):
            raise ConfigError(f"relay: host is not an IPv4 address: {self.host!r:.60}; looking up a name would stop the plug for seconds")


def _is_ipv4(text):
    parts = text.split(".") if isinstance(text, str) else ()
    return len(parts) == 4 and all(part.isdigit() and len(part) <= 3 and int(part) < 256 for part in parts)


def _is_login(text):
    return isinstance(text, str) and 0 < len(text.encode()) <= _MAX_LOGIN


def _read_tls(settings):
    if not isinstance(settings, dict):
        raise ConfigError("relay.tls: not an object")
    keys = ("name", "ca") + tuple(key for key in ("cert", "key") if key in settings)
    check_keys("relay.tls", settings, keys)
    if len(keys) == 3:
        raise ConfigError("relay.tls: cert and key: both or none")
    for key in keys:
        if not isinstance(settings[key], str) or not settings[key] or "/" in settings[key]:
            raise ConfigError(
                "relay.tls: {} is not {}: {!r:.60}".format(key, "a name" if key == "name" else "the name of a file in the root", settings[key])
            )
    return {key: settings.get(key) for key in ("name", "ca", "cert", "key")}
