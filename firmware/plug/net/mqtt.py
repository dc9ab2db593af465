"""The channel to a relay behind an MQTT 3.1.1 broker: a message is a PUBLISH of QoS 1 on a topic of the plug's own (docs/protocol.md section 2).

Within a connection nothing is sent twice: TCP loses nothing, and the standard (4.4) asks for it only where a session outlives its connection. This
one is clean: after each connection the link starts over.
"""

import asyncio

from micropython import const

from plug import text
from plug.errors import BadFrame, BrokerError
from plug.net import mqtt_packets as packets
from plug.net.framing import send

PING_MS = const(30_000)  # half of the keep-alive
WINDOW = const(8)  # messages that the broker has not acknowledged
_HEAD = const(64)  # the longest: fixed header 3, topic 2 + 57, packet identifier 2
_MAX_MESSAGE = const(2000)
_MAX_SKIPPED = const(65_536)
_SUBSCRIPTION = const(1)
_WILL = b'{"type":"gone"}'


class Mqtt:
    """The channel: the same methods as plug.net.lines.Lines. `plug`: 40 hex digits; `user`, `password`: texts or None; `tls`: a Tls or None."""

    def __init__(self, host, port, plug, user, password, tls):
        self._host = host
        self._port = port
        self._tls = tls
        topic = f"wattseal/1/{plug[:2]}/{plug}/"
        self._up, self._down = (topic + "up").encode(), (topic + "down").encode()
        user, password = (None, None) if user is None else (user.encode(), password.encode())
        self._connect = packets.connect(b"wattseal-" + plug.encode(), self._up, _WILL, user, password)
        self._stream = self._packets = self._wake = None
        self._lock = asyncio.Lock()  # one packet at a time: the stream's buffer is one, and TLS wants the same bytes again
        self._flight = []  # identifiers of what the broker has not acknowledged
        self._identifier = 0
        self._owed = 0  # identifier of what was handed on and is not acknowledged yet
        self._sent_ms = 0
        self._has_sent = False
        self.heard = 0
        self.loses = False
        self.blocks = tls is not None

    async def open(self, wake):
        """Connect and subscribe; `wake()` is called where there is room again. Raises OSError, EOFError, BrokerError."""
        self._wake = wake
        self._flight = []
        self._owed = 0
        if self._tls is None:
            reader, self._stream = await asyncio.open_connection(self._host, self._port)
        else:
            reader, self._stream = await self._tls.connect(self._host, self._port)
        self._packets = packets.PacketReader(reader)
        try:
            await self._send(self._connect)
            flags, code = await self._expect(packets.CONNACK)
        except ValueError as error:  # how `tls` says what is wrong with a certificate
            raise BrokerError("the broker's certificate: " + str(error).strip())
        packets.check_connack(flags, code)
        await self._send(packets.subscribe(_SUBSCRIPTION, self._down))
        high, low, code = await self._expect(packets.SUBACK)
        if (high, low) != (0, _SUBSCRIPTION) or code not in (0, 1):
            raise BrokerError(f"the broker refuses the subscription to {self._down.decode()}: code {code}")

    async def _expect(self, expected):
        kind, _ = await self._packets.head()
        if kind != expected:
            raise BrokerError(f"the broker sends a packet of type {kind} where {expected} is due")
        return bytes(await self._packets.take(self._packets.left))

    def has_room(self):
        """Tell whether two more messages (a session and its receipt) may be sent."""
        return len(self._flight) <= WINDOW - 2

    async def read(self):
        """Return the JSON of the next message, a view that is good until the next call, or None at the end.

        Raises BadFrame once for each message that is too long or retained, BrokerError where the broker breaks the rules. A message is acknowledged
        when the next one is asked for: a broker that waits for that sends no more than the plug can handle.
        """
        try:
            while True:
                if self._owed:
                    identifier, self._owed = self._owed, 0
                    await self._send(packets.puback(identifier))
                kind, flags = await self._packets.head()
                self.heard += 1
                if kind == packets.PUBLISH:
                    return await self._take_message(flags)
                if kind == packets.PUBACK:
                    self._take_acknowledgement(await self._packets.number())
                elif kind != packets.PINGRESP:
                    raise BrokerError(f"a second packet of type {kind}")
        except EOFError:
            return None

    async def _take_message(self, flags):
        quality = flags >> 1 & 3
        if quality > 1 or flags == 8:
            raise BrokerError(f"a message has flags {flags}: at most QoS 1 was asked for, and QoS 0 is never repeated")
        length = await self._packets.number()
        if length != len(self._down) or await self._packets.take(length) != self._down:
            raise BrokerError("a message has a topic that the plug did not ask for")
        if quality:
            self._owed = await self._packets.number()
            if not self._owed:
                raise BrokerError("a message of QoS 1 has no packet identifier")
        length = self._packets.left
        if length > _MAX_SKIPPED:
            raise BrokerError(f"a message of {length} bytes: {_MAX_MESSAGE} is the limit")
        if length > _MAX_MESSAGE or flags & 1:
            await self._packets.skip()
            raise BadFrame("a retained message: it may be an old one" if flags & 1 else f"a message is longer than {_MAX_MESSAGE} bytes")
        return await self._packets.take(length)

    def _take_acknowledgement(self, identifier):
        if identifier not in self._flight:
            raise BrokerError(f"the broker acknowledges message {identifier}, which is not on its way")
        self._flight.remove(identifier)
        self._wake()

    async def write(self, message):
        """Send a message (a dict). Raises BadFrame or MemoryError, with nothing sent, where it has no text; TimeoutError where nobody takes it."""
        async with self._lock:
            end = text.write(message, _HEAD)
            identifier = self._identifier % 65535 + 1
            head = packets.publish_head(identifier, self._up, end - _HEAD)
            start = _HEAD - len(head)
            text.buffer[start:_HEAD] = head
            self._identifier = identifier
            self._flight.append(identifier)
            await self._put(text.buffer[start:end])

    async def tend(self, now_ms):
        """Ping the broker where nothing was sent for half of the keep-alive; called every few seconds."""
        if self._has_sent:
            self._has_sent = False
            self._sent_ms = now_ms
        elif now_ms - self._sent_ms >= PING_MS:
            await self._send(packets.PINGREQ)

    async def _send(self, packet):
        async with self._lock:
            await self._put(packet)

    async def _put(self, packet):
        self._has_sent = True
        await send(self._stream, packet)

    async def close(self):
        """Close the connection, if there is one, without DISCONNECT: so the broker publishes the last will."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
            await stream.wait_closed()
