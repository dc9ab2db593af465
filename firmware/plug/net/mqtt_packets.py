"""MQTT 3.1.1 packets (OASIS standard, 29 October 2014; section numbers below): those that the plug sends, and a strict reader of those that come."""

from micropython import const

from plug.errors import BrokerError
from plug.net.framing import buffer, read_some

CONNACK = const(2)
PUBLISH = const(3)
PUBACK = const(4)
SUBACK = const(9)
PINGRESP = const(13)
PINGREQ = b"\xc0\x00"
KEEP_ALIVE_S = const(60)
_LENGTHS = {CONNACK: 2, PUBACK: 2, SUBACK: 3, PINGRESP: 0}  # of what follows the fixed header
_REFUSALS = ("unacceptable protocol version", "client id rejected", "server unavailable", "bad user name or password", "not authorised")  # 3.2.2.3


def _text(data):
    return len(data).to_bytes(2, "big") + data


def length_bytes(length):
    """Return a remaining length (2.2.3): seven bits a byte, the lowest first."""
    data = b""
    while length > 127:
        data += bytes((length & 127 | 128,))
        length >>= 7
    return data + bytes((length,))


def connect(client, topic, will, user, password):
    """Return CONNECT (3.1) with a clean session and a last will of QoS 1: all bytes, `user` and `password` None where there are none."""
    flags = 0x0E if user is None else 0xCE
    body = _text(b"MQTT") + bytes((4, flags)) + KEEP_ALIVE_S.to_bytes(2, "big") + _text(client) + _text(topic) + _text(will)
    if user is not None:
        body += _text(user) + _text(password)
    return b"\x10" + length_bytes(len(body)) + body


def subscribe(identifier, topic):
    """Return SUBSCRIBE (3.8) to one topic at QoS 1."""
    body = identifier.to_bytes(2, "big") + _text(topic) + b"\x01"
    return b"\x82" + length_bytes(len(body)) + body


def publish_head(identifier, topic, length):
    """Return PUBLISH (3.3) at QoS 1 up to its payload of `length` bytes."""
    head = _text(topic) + identifier.to_bytes(2, "big")
    return b"\x32" + length_bytes(len(head) + length) + head


def puback(identifier):
    """Return PUBACK (3.4)."""
    return b"\x40\x02" + identifier.to_bytes(2, "big")


class PacketReader:
    """Reads packets piece by piece into the shared buffer; no packet is larger there than the piece that is asked for.

    Raises BrokerError for what the standard does not allow, after which nothing more can be read, and EOFError at the stream's end.
    """

    def __init__(self, stream):
        self._stream = stream
        self.left = 0  # bytes of this packet that are not read yet

    async def head(self):
        """Read a fixed header (2.2) and return (type, flags); `left` is the remaining length."""
        first = (await self._fill(1))[0]
        kind, flags = first >> 4, first & 15
        length = shift = 0
        while True:
            digit = (await self._fill(1))[0]
            length |= (digit & 127) << shift
            if digit < 128:
                break
            shift += 7
            if shift > 21:
                raise BrokerError("a remaining length has more than four bytes")
        if kind != PUBLISH:
            if kind not in _LENGTHS:
                raise BrokerError(f"a packet of type {kind} is none that a broker sends to this plug")
            if flags or length != _LENGTHS[kind]:
                raise BrokerError(f"a packet of type {kind} has flags {flags} and {length} bytes, not 0 and {_LENGTHS[kind]}")
        self.left = length
        return kind, flags

    async def take(self, count):
        """Read so many bytes of the packet; return a view that is good until the next call."""
        if count > self.left:
            raise BrokerError(f"a packet ends {count - self.left} bytes too early")
        self.left -= count
        return await self._fill(count)

    async def number(self):
        """Read a number of two bytes."""
        high, low = await self.take(2)
        return high << 8 | low

    async def skip(self):
        """Read the rest of the packet and forget it."""
        while self.left:
            await self.take(min(self.left, len(buffer)))

    async def _fill(self, count):
        have = 0
        while have < count:
            got = await read_some(self._stream, buffer[have:count])
            if not got:
                raise EOFError
            have += got
        return buffer[:count]


def check_connack(flags, code):
    """Raise BrokerError unless a CONNACK's two bytes (3.2.2) say that the plug was taken, with a clean session."""
    if code:
        reason = _REFUSALS[code - 1] if code <= len(_REFUSALS) else "for a reason that the standard does not know"
        raise BrokerError(f"the broker refuses the plug: {code}, {reason}")
    if flags:
        raise BrokerError(f"CONNACK has flags {flags}: a clean session was asked for")
