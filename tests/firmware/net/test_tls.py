# needs: sim
"""When a certificate begins, and what the machine's clock is set to for mbedTLS to compare it with. Handshakes: tests/e2e/test_plug_mqtt_tls.py."""

from binascii import unhexlify

from machine import RTC
from plug.clock import Clock
from plug.errors import ConfigError
from plug.net.tls import Tls, not_before
from run_in_micropython import raises


def element(tag, *contents):
    content = b"".join(contents)
    length = bytes((len(content),)) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
    return bytes((tag,)) + length + content


def certificate(begin, has_version=True, tag=0x17, issuer=b"n" * 20):
    """As much of a certificate in DER as there is up to its validity, and a little more."""
    parts = [element(0xA0, element(2, b"\x02"))] if has_version else []
    parts += [element(2, b"\x01" * 20), element(0x30, b"a" * 10), element(0x30, issuer)]
    validity = element(0x30, element(tag, begin), element(tag, begin))
    return element(0x30, element(0x30, *parts, validity, element(0x30, b"k" * 90)), b"signature")


def test_the_beginning_is_found():
    for data in (certificate(b"260102030405Z"), certificate(b"260102030405Z", False), certificate(b"20260102030405Z", tag=0x18)):
        assert not_before(memoryview(data)) == (2026, 1, 2, 3, 4, 5)
    assert not_before(certificate(b"491231235959Z"))[0] == 2049
    assert not_before(certificate(b"500101000000Z"))[0] == 1950
    assert not_before(certificate(b"260102030405Z", issuer=b"n" * 1000))[0] == 2026


def test_what_is_no_certificate_is_an_error_and_nothing_else():
    good = certificate(b"260102030405Z")
    for length in range(60):
        try:
            not_before(good[:length])
            raise AssertionError(length)
        except (ValueError, IndexError):
            pass
    for place in range(len(good)):
        for byte in (0, 0x80, 0xFF):
            data = bytearray(good)
            data[place] = byte
            assert Context(None)._look(bytes(data), 0) == 0


class Context(Tls):
    """Without files."""

    def __init__(self, clock):
        self._clock = clock
        self._begin = None


def machine_time():
    year, month, day, _, hour, minute, second, _ = RTC().datetime()
    return year, month, day, hour, minute, second


def test_until_the_relay_has_told_the_time_the_newest_certificate_tells_it():
    clock = Clock()
    secure = Context(clock)
    secure._set_machine_clock()
    assert machine_time()[0] == 2000
    for data in (certificate(b"250101000000Z"), certificate(b"260102030405Z"), b"", b"\x30"):
        assert secure._look(data, 0) == 0
    secure._set_machine_clock()
    assert machine_time() == (2026, 1, 2, 3, 4, 5)
    secure._look(certificate(b"370101000000Z"), 0)  # a stranger's
    secure._set_machine_clock()
    assert machine_time()[0] == 2037
    secure._look(certificate(b"260102030405Z"), 0)  # the broker's again
    secure._set_machine_clock()
    assert machine_time() == (2026, 1, 2, 3, 4, 5)
    clock.set_utc(1_790_000_000)
    secure._look(certificate(b"370101000000Z"), 0)
    secure._set_machine_clock()
    assert machine_time() == (2026, 9, 21, 14, 13, 20)


def test_files_that_are_missing_or_too_long_are_named():
    assert "ca.der cannot be read" in str(raises(ConfigError, Tls, "ca.der", None, None, "broker", Clock()))
    for data, words in ((b"x" * 4097, "more than 4096"), (b"x", "not a certificate"), (unhexlify("3003020101"), "not a certificate")):
        with open("ca.der", "wb") as file:
            file.write(data)
        error = raises(ConfigError, Tls, "ca.der", None, None, "broker", Clock())
        assert words in str(error), error
