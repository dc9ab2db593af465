"""TLS to a broker whose certificate comes from the host's own authority, on a plug that at first does not know the date.

mbedTLS compares certificates with the machine's clock, which starts in the year 2000. Until the relay has told the time, that clock is set to the
newest beginning of validity that the broker has shown: so an expired certificate passes until then, a forged one never.
"""

import asyncio
import os
from time import gmtime

import tls
from machine import RTC
from micropython import const

from plug.errors import ConfigError

_MAX_BYTES = const(4096)
_UNIX_EPOCH_IN_2000 = const(946_684_800)  # MicroPython's gmtime counts from 2000 on the ESP32
_SEQUENCE = const(0x30)
_VERSION = const(0xA0)
_UTC_TIME = const(0x17)
_GENERALIZED_TIME = const(0x18)


class Tls:
    """What a connection by TLS needs: the contents of the files `ca`, and `cert` and `key` or None; the name in the broker's certificate."""

    def __init__(self, ca, cert, key, name, clock):
        self._name = name
        self._clock = clock
        self._begin = None  # (year, month, day, hour, minute, second)
        self._context = context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)  # which requires a certificate
        context.verify_callback = self._look  # pyright: ignore[reportAttributeAccessIssue] - the stubs lack it
        try:
            context.load_verify_locations(_read("ca", ca))
            if cert is not None:
                context.load_cert_chain(_read("cert", cert), _read("key", key))
        except (ValueError, OSError) as error:
            raise ConfigError(f"relay.tls: {error}: not a certificate or key in PEM or DER that this machine can read")

    def _look(self, certificate, depth):
        """Note when a certificate begins to be valid; whether it may be trusted mbedTLS says. An exception must not pass through its C code."""
        try:
            begin = not_before(certificate)
        except (ValueError, IndexError, MemoryError):
            return 0
        if self._begin is None or begin > self._begin:
            self._begin = begin
        return 0

    def _set_machine_clock(self):
        begin, self._begin = self._begin, None
        if self._clock.is_set:
            begin = gmtime(self._clock.utc() - (_UNIX_EPOCH_IN_2000 if gmtime(0)[0] == 2000 else 0))[:6]
        if begin is not None:
            year, month, day, hour, minute, second = begin
            RTC().datetime((year, month, day, 0, hour, minute, second, 0))

    def connect(self, host, port):
        """Return the coroutine that connects to an IPv4 address; the handshake comes with the first write."""
        self._set_machine_clock()
        return asyncio.open_connection(host, port, ssl=self._context, server_hostname=self._name)


def _read(key, path):
    try:
        length = os.stat(path)[6]
        if length > _MAX_BYTES:
            raise ConfigError(f"relay.tls: {key}: {path} has {length} bytes, more than {_MAX_BYTES}")
        with open(path, "rb") as file:
            return file.read(length)
    except OSError:
        raise ConfigError(f"relay.tls: {key}: {path} cannot be read: copy it to the plug's flash")


def not_before(certificate):
    """Return (year, month, day, hour, minute, second) from which an X.509 certificate in DER (RFC 5280, 4.1) is valid.

    Raises ValueError or IndexError where it is none.
    """
    _, place, _ = _element(certificate, 0)
    _, place, _ = _element(certificate, place)
    kind, _, end = _element(certificate, place)
    for _ in range(4 if kind == _VERSION else 3):  # version, serial number, signature algorithm, issuer
        place = _element(certificate, place)[2]
    kind, place, _ = _element(certificate, place)
    if kind != _SEQUENCE:
        raise ValueError("no validity")
    kind, place, end = _element(certificate, place)
    if kind not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time")
    digits = bytes(certificate[place:end]).decode()
    if kind == _UTC_TIME:  # 50 is 1950
        digits = ("20" if digits < "5" else "19") + digits
    if len(digits) != 15 or digits[14] != "Z":
        raise ValueError("not a time in UTC")
    return (int(digits[:4]),) + tuple(int(digits[place : place + 2]) for place in range(4, 14, 2))


def _element(data, place):
    """Return (tag, where its content begins, where it ends)."""
    tag, length = data[place], data[place + 1]
    place += 2
    if length > 127:
        count = length & 127
        if not 0 < count < 4:
            raise ValueError("not the length of anything in a certificate")
        length = 0
        for byte in bytes(data[place : place + count]):
            length = length << 8 | byte
        place += count
    if place + length > len(data):
        raise ValueError("an element ends behind the certificate")
    return tag, place, place + length
