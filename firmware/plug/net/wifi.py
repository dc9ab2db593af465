"""Joins the configured Wi-Fi, and joins it again whenever it is gone."""

import asyncio

from micropython import const

_POLL_MS = const(250)
_JOIN_MS = const(20_000)


class WiFi:
    """Station interface over a `network.WLAN`."""

    def __init__(self, wlan, ssid, password):
        self._wlan = wlan
        self._ssid = ssid
        self._password = password

    async def join(self):
        """Return True once connected, False where 20 s were not enough; the caller tries again."""
        if self._wlan.isconnected():
            return True
        self._wlan.active(True)
        try:
            self._wlan.connect(self._ssid, self._password)
        except OSError:  # the driver is still busy with an earlier attempt
            self._wlan.active(False)
            return False
        waited_ms = 0
        while waited_ms < _JOIN_MS:
            if self._wlan.isconnected():
                return True
            await asyncio.sleep_ms(_POLL_MS)
            waited_ms += _POLL_MS
        return False
