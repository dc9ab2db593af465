"""The packets of MQTT 3.1.1 that a client which publishes and subscribes at QoS 0 needs (OASIS standard, chapters 2 and 3)."""

CONNACK, PUBLISH, SUBACK, PINGRESP = 2, 3, 9, 13
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
LONGEST_PACKET = (1 << 28) - 1

CONNACK_REASONS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available",
    4: "user or password is wrong",
    5: "this user is not authorised",
}

_CLEAN_SESSION, _PASSWORD, _USER = 0x02, 0x40, 0x80


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


def read_publish(head: int, body: bytes, size: int) -> tuple[str, bytes, bool]:
    """Return topic, payload and whether it was retained, of a PUBLISH at QoS 0 whose body of `size` bytes may be cut short. Raises BadPacket."""
    length = int.from_bytes(body[:2])
    if head & 0x06 or size < 2 + length:
        raise BadPacket("a PUBLISH that was not subscribed to like this")
    return body[2 : 2 + length].decode(errors="replace"), body[2 + length :], bool(head & 0x01)
