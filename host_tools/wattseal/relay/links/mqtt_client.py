"""One connection to an MQTT broker, on asyncio's transports: subscribes and publishes at QoS 0, and can stop reading.

Not aiomqtt: at 4,000 messages a second, each answered, that takes more than half a core and this a tenth of it; it takes packets of any
length, and it cannot let the broker wait (docs/decisions.md).
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from wattseal.errors import BrokerError, BrokerRefused
from wattseal.relay.links import mqtt_packets as packets

KEEP_ALIVE_S = 60
CONNECT_S = 15

Receive = Callable[[str, bytes, bool], None]


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is and who this client is; `tls` None is plain TCP."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}"


class MqttClient(asyncio.Protocol):
    """Made by `connect`. `ended` is done once the connection is over, with the reason in words."""

    def __init__(self, receive: Receive, max_payload: int) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._receive = receive
        # one byte more than the longest that is taken, so that longer ones are seen to be so; 128 are enough for any topic of ours
        self._reader = packets.PacketReader(max_payload + 1 + 128)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] = loop.create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard_s = loop.time()
        self._ping: asyncio.TimerHandle | None = None
        self._paused = False
        self._unsent: list[bytes] = []

    @classmethod
    async def connect(cls, address: BrokerAddress, filters: list[str], receive: Receive, max_payload: int) -> Self:
        """Connect and subscribe; `receive(topic, payload, is_retained)` is called for each message; one above `max_payload` is cut short above it.

        Raises BrokerRefused where trying again is of no use, else BrokerError.
        """
        client = cls(receive, max_payload)
        try:
            async with asyncio.timeout(CONNECT_S):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: client, address.host, address.port, ssl=address.tls)
                await client._log_in(address, filters)
        except ssl.SSLCertVerificationError as error:
            raise BrokerRefused(f"the certificate of {address} is not good: {error.verify_message}; give its CA by --mqtt-ca") from error
        except (OSError, TimeoutError) as error:
            client.abort()
            raise BrokerError(f"no connection to the broker {address}: {str(error) or 'it does not answer'}") from error
        except BrokerError:
            client.abort()
            raise
        return client

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send a message, waiting while the broker does not read. Raises ConnectionError."""
        await self._writable.wait()
        if self._transport is None or self.ended.done():
            raise ConnectionResetError("the connection to the broker is gone")
        self._send(packets.publish(topic, payload))

    def pause(self) -> None:
        """Stop reading: the broker has to keep what comes."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self._paused:
            self._paused = False
            self._heard_s = asyncio.get_running_loop().time()
            self._transport.resume_reading()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Take leave of the broker."""
        if self._transport is not None and not self.ended.done():
            self._flush()
            self._transport.write(packets.DISCONNECT)
            self._transport.close()
            try:
                async with asyncio.timeout(1):
                    await asyncio.shield(self.ended)
            except TimeoutError:
                self.abort()

    async def _log_in(self, address: BrokerAddress, filters: list[str]) -> None:
        client_id = f"wattseal-relay-{secrets.token_hex(4)}"
        connack = await self._ask(packets.connect(client_id, address.user, address.password, KEEP_ALIVE_S))
        if connack[1:2] != b"\x00":
            code = int.from_bytes(connack[1:2])
            reason = packets.CONNACK_REASONS.get(code, f"code {code}")
            refused = f"the broker {address} refuses this relay as user {address.user!r}: {reason}"
            raise BrokerError(refused) if code == 3 else BrokerRefused(refused)
        granted = await self._ask(packets.subscribe(1, filters))
        if len(granted) != 2 + len(filters) or any(granted[2:]):
            raise BrokerRefused(f"the broker {address} lets user {address.user!r} not subscribe to {filters[0]}: correct its access list")
        self._keep_alive()

    async def _ask(self, packet: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is not None:
            self._transport.write(packet)
        await asyncio.wait((self._answer, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            raise BrokerError(f"the broker hung up: {self.ended.result()}")
        return self._answer.result()

    def _send(self, packet: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)  # one write for all that this turn of the loop sends
        self._unsent.append(packet)

    def _flush(self) -> None:
        if self._transport is not None and not self.ended.done():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._paused and loop.time() - self._heard_s > 1.5 * KEEP_ALIVE_S:
            self._end("the broker is silent")
            return
        if self._transport is not None:
            self._transport.write(packets.PINGREQ)
        self._ping = loop.call_later(KEEP_ALIVE_S / 2, self._keep_alive)

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
        self.abort()

    # -- asyncio.Protocol -------------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on what came."""
        self._heard_s = asyncio.get_running_loop().time()
        try:
            for head, body, size in self._reader.feed(data):
                kind = head >> 4
                if kind == packets.PUBLISH:
                    message = packets.read_publish(head, body, size)
                    if message.packet_id:  # amqtt sends last wills at the QoS of the will, whatever was subscribed to
                        self._send(packets.puback(message.packet_id))
                    self._receive(message.topic, message.payload, message.is_retained)
                elif kind in (packets.CONNACK, packets.SUBACK):
                    if not self._answer.done():
                        self._answer.set_result(body)
                elif kind != packets.PINGRESP:
                    raise packets.BadPacket(f"a packet of type {kind}")
        except packets.BadPacket as error:
            self._end(f"the broker sent {error}")

    def pause_writing(self) -> None:
        """The broker does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The broker reads again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that it is over."""
        if self._ping is not None:
            self._ping.cancel()
        self._end(str(exc) if exc else "the broker closed the connection")
        self._writable.set()
