"""The packets of MQTT 3.1.1 that a client which publishes and subscribes at QoS 0 needs, and a broker's door (OASIS standard, chapters 2 and 3)."""

from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, SUBACK, PINGRESP = 1, 2, 3, 9, 13
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
NOT_AUTHORISED = b"\x20\x02\x00\x05"

CONNACK_REASONS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available",
    4: "user or password is wrong",
    5: "this user is not authorised",
}

_CLEAN_SESSION, _WILL, _WILL_RETAIN, _PASSWORD, _USER = 0x02, 0x04, 0x20, 0x40, 0x80


class BadPacket(Exception):
    """A broker sent what is no MQTT."""


def connect(client_id: str, user: str | None, password: str | None, keep_alive_s: int) -> bytes:
    """Return a CONNECT for a clean session without a will."""
    flags = _CLEAN_SESSION
    fields = _text(client_id)
    if user is not None:
        flags |= _USER
        fields += _text(user)
        if password is not None:
            flags |= _PASSWORD
            fields += _text(password)
    return _packet(0x10, _text("MQTT") + bytes([4, flags]) + keep_alive_s.to_bytes(2) + fields)


def subscribe(packet_id: int, filters: list[str]) -> bytes:
    """Return a SUBSCRIBE at QoS 0."""
    return _packet(0x82, packet_id.to_bytes(2) + b"".join(_text(one) + b"\x00" for one in filters))


def publish(topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH at QoS 0."""
    return _packet(0x30, _text(topic) + payload)


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2) + data


def _packet(head: int, body: bytes) -> bytes:
    size = bytearray([head])
    rest = len(body)
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    size.append(rest)
    return bytes(size) + body


class PacketReader:
    """Packets from a stream of bytes, in bounded memory: of a longer one only the head is kept."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes of a packet's body."""
        self._limit = limit
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes, int]]:
        """Return (first byte, body or its first `limit` bytes, whole length of the body) of each packet that is complete. Raises BadPacket."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        buffer = self._buffer
        buffer += data
        packets = []
        at, end = 0, len(buffer)
        while end - at >= 2:
            start, size, shift = at + 1, 0, 0
            while start < end:
                byte = buffer[start]
                size |= (byte & 127) << shift
                start += 1
                shift += 7
                if byte < 128:
                    break
                if shift == 28:
                    raise BadPacket("a packet's length has more than four bytes")
            else:
                break
            if size <= self._limit:
                if end - start < size:
                    break
                packets.append((buffer[at], bytes(buffer[start : start + size]), size))
                at = start + size
            else:
                if end - start < self._limit:
                    break
                packets.append((buffer[at], bytes(buffer[start : start + self._limit]), size))
                at = min(start + size, end)
                self._skip = start + size - at
        del buffer[:at]
        return packets


@dataclass(frozen=True, slots=True)
class Publish:
    """A message from the broker; `packet_id` is None at QoS 0."""

    topic: str
    payload: bytes
    is_retained: bool
    packet_id: bytes | None


def read_publish(head: int, body: bytes, size: int) -> Publish:
    """Read a PUBLISH whose body of `size` bytes may be cut short. Raises BadPacket, also at QoS 2, which nobody asked for."""
    qos = head >> 1 & 3
    end = 2 + int.from_bytes(body[:2])
    start = end + (2 if qos else 0)
    if qos > 1 or size < start:
        raise BadPacket("a PUBLISH that was not subscribed to like this")
    return Publish(body[2:end].decode(errors="replace"), body[start:], bool(head & 1), body[end:start] if qos else None)


def puback(packet_id: bytes) -> bytes:
    """Return a PUBACK."""
    return b"\x40\x02" + packet_id


@dataclass(frozen=True)
class Connect:
    """What a client says first; `will_topic` and `will` are empty where it leaves none."""

    client_id: str
    clean_session: bool
    will_topic: str
    will: bytes
    will_is_retained: bool
    user: str
    password: bytes = field(repr=False)


def read_connect(body: bytes) -> Connect:
    """Read the body of a CONNECT. Raises BadPacket for anything that is none of version 3.1.1."""
    if body[:7] != _text("MQTT") + b"\x04" or len(body) < 10:
        raise BadPacket("no CONNECT of MQTT 3.1.1")
    flags = body[7]
    rest = body[10:]

    def next_field() -> bytes:
        nonlocal rest
        end = 2 + int.from_bytes(rest[:2])
        if len(rest) < max(end, 2):
            raise BadPacket("a CONNECT that is cut short")
        value, rest = rest[2:end], rest[end:]
        return value

    client_id = next_field()
    will_topic, will = (next_field(), next_field()) if flags & _WILL else (b"", b"")
    user = next_field() if flags & _USER else b""
    password = next_field() if flags & _PASSWORD else b""
    if rest or flags & 1:
        raise BadPacket("a CONNECT with more than it says")
    try:
        texts = client_id.decode(), will_topic.decode(), user.decode()
    except UnicodeDecodeError as error:
        raise BadPacket("a CONNECT with a text that is no UTF-8") from error
    return Connect(texts[0], bool(flags & _CLEAN_SESSION), texts[1], will, bool(flags & _WILL_RETAIN), texts[2], password)
