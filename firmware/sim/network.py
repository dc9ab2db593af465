"""MicroPython's `network` as on the ESP32: a station that joins after the set time. TCP goes over the host's own sockets."""

import clock

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010


class WLAN:
    """The station interface; every instance is the same one. Any network name and password will do."""

    IF_STA, IF_AP = STA_IF, AP_IF

    _is_active = False
    _connected_at_ms = None  # None: not asked to connect

    def __init__(self, interface_id=STA_IF):
        if interface_id != STA_IF:
            raise NotImplementedError("simulator: only the station interface")

    def active(self, is_active=None):
        """Return whether the radio is on, or switch it."""
        if is_active is not None:
            WLAN._is_active = bool(is_active)
            if not is_active:
                WLAN._connected_at_ms = None
        return WLAN._is_active

    def connect(self, ssid=None, key=None, *, bssid=None):
        """Begin to join; raise OSError when the radio is off or an attempt is under way."""
        if not WLAN._is_active:
            raise OSError("Wifi Not Started")
        if self.status() == STAT_CONNECTING:
            raise OSError("Wifi Internal State Error")
        WLAN._connected_at_ms = clock.look() + clock.settings["wifi"]["connect_ms"]

    def disconnect(self):
        """Leave the network."""
        WLAN._connected_at_ms = None

    def isconnected(self):
        """Tell whether it has joined and has an address."""
        return self.status() == STAT_GOT_IP

    def status(self):
        """Return one of the STAT constants."""
        if WLAN._connected_at_ms is None:
            return STAT_IDLE
        return STAT_GOT_IP if clock.look() >= WLAN._connected_at_ms else STAT_CONNECTING

    def ifconfig(self):
        """Return (address, netmask, gateway, DNS server)."""
        if self.isconnected():
            return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")
        return ("0.0.0.0",) * 4  # noqa: S104  what the ESP32 answers


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(WLAN, ("active", "connect", "disconnect", "isconnected", "status", "ifconfig"))
