"""What the host asks of every session: prices and opening hours by local time, and how a session starts (docs/protocol.md section 5)."""

from plug.errors import ConfigError
from plug.wire import check_keys

_DAY_MIN = 1440
_MAX_PRICE = 1 << 96


class Terms:
    """Checked `terms` of config.json. `host` is an address or None, `needs_button` and `is_site` are switches; raises ConfigError, Malformed."""

    def __init__(self, settings):
        check_keys("terms", settings, ("host", "utc_offset_min", "tariff", "schedule", "button", "site"))
        offset_min = settings["utc_offset_min"]
        if type(offset_min) is not int or not -_DAY_MIN < offset_min < _DAY_MIN:
            raise ConfigError(f"terms.utc_offset_min: not minutes within a day: {offset_min!r:.40}")
        self._offset_s = offset_min * 60
        self._tariff = [_read_window(window, ("price_per_kwh", "price_per_hour")) for window in _read_list(settings, "tariff")]
        self._schedule = [_read_window(window, ()) for window in _read_list(settings, "schedule")]
        for key in ("button", "site"):
            if type(settings[key]) is not bool:
                raise ConfigError(f"terms.{key}: neither true nor false: {settings[key]!r:.40}")
        self.needs_button = settings["button"]
        self.is_site = settings["site"]

    def prices(self, utc):
        """Return the least (price per kWh, price per hour) in token base units at a UTC second, or None where no tariff holds then."""
        if not self._tariff:
            return 0, 0
        window = self._find(self._tariff, utc)
        return None if window is None else window[2]

    def is_open(self, utc):
        """Tell whether the schedule lets cars charge at a UTC second."""
        return not self._schedule or self._find(self._schedule, utc) is not None

    def _find(self, windows, utc):
        minute = (utc + self._offset_s) // 60 % _DAY_MIN
        for window in windows:
            begin, end = window[0], window[1]
            if begin <= minute < end if begin < end else (minute >= begin or minute < end):  # a window may pass midnight
                return window
        return None


NO_TERMS = {"host": None, "utc_offset_min": 0, "tariff": [], "schedule": [], "button": False, "site": False}


def _read_list(settings, key):
    if not isinstance(settings[key], list):
        raise ConfigError(f"terms.{key}: not a list: {settings[key]!r:.40}")
    return settings[key]


def _read_window(window, prices):
    """Return (first minute, minute after the last, prices) of a window object; equal minutes are a whole day."""
    check_keys("window", window, ("from", "to") + prices)
    begin, end = _read_minute(window["from"]), _read_minute(window["to"])
    for key in prices:
        if type(window[key]) is not int or not 0 <= window[key] < _MAX_PRICE:
            raise ConfigError(f"terms: {key} is not a whole number of token base units: {window[key]!r:.40}")
    return begin, end, tuple(window[key] for key in prices)


def _read_minute(text):
    """Return the minute of the day of "HH:MM"; "24:00" is the same as "00:00"."""
    if isinstance(text, str) and len(text) == 5 and text[2] == ":":
        hour, minute = text[:2], text[3:]
        if hour.isdigit() and minute.isdigit() and int(minute) < 60 and int(hour) * 60 + int(minute) <= _DAY_MIN:
            return (int(hour) * 60 + int(minute)) % _DAY_MIN
    raise ConfigError(f"terms: not a time of day as HH:MM: {text!r:.40}")
