"""The broker inside `wattseal relay`, for a home: amqtt behind a door of our own.

amqtt bounds nothing by itself: it takes packets of 256 MB, keeps no time for a silent client, and deletes a client's session before it has
asked who comes. So this door reads whole packets of bounded size at a bounded pace, hangs up on who is silent, and checks who a client is,
its client id and its last will, before amqtt hears of it. Topics: own_topics.py.
"""

import asyncio
import logging
import re
import secrets
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from wattseal.errors import ConfigError, LinkError
from wattseal.relay.links import mqtt_packets as packets
from wattseal.relay.links.mqtt import MAX_PAYLOAD_UP
from wattseal.relay.links.mqtt_client import BrokerAddress
from wattseal.relay.links.pace import Pace
from wattseal.relay.links.users import RELAY, Hashed

MAX_CLIENTS = 64
MAX_STRANGERS = 32  # who have not yet said who they are
MAX_PACKET = 8192
CONNECT_S = 10
SILENCE_S = 90  # one and a half times the plug's keep-alive
_COST = 5  # of a packet: a hundred at once, ten a second
_USER = re.compile(r"[0-9a-f]{40}")

_log = logging.getLogger(__name__)


class _PacketStream:
    """What amqtt reads from (its ReaderAdapter): whole packets, bounded in size, number and silence; cancelling a read loses nothing."""

    def __init__(self, reader: asyncio.StreamReader, is_paced: bool) -> None:
        self._reader = reader
        self._pace = Pace() if is_paced else None
        self._buffer = bytearray()
        self._packet = b""
        self._deadline_s = asyncio.get_running_loop().time() + CONNECT_S

    async def first(self) -> bytes:
        """Return the first packet, which will be read again, without its head. Raises BadPacket, or IncompleteReadError where there is none."""
        self._packet = await self._next_packet()
        if self._packet[0] >> 4 != packets.CONNECT:
            raise packets.BadPacket("a first packet that is no CONNECT")
        return self._packet[self._head(self._packet)[0] :]

    async def read(self, n: int = -1) -> bytes:
        """Return `n` bytes of a packet. Raises IncompleteReadError at the end, and where a packet has less."""
        if not self._packet:
            try:
                self._packet = await self._next_packet()
            except packets.BadPacket as error:
                raise asyncio.IncompleteReadError(b"", n) from error
        if n < 0 or n > len(self._packet):
            self._reader.feed_eof()
            raise asyncio.IncompleteReadError(self._packet, n)
        data, self._packet = self._packet[:n], self._packet[n:]
        return data

    def feed_eof(self) -> None:
        """The end, for amqtt."""
        self._reader.feed_eof()

    async def _next_packet(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._pace is not None:
            await asyncio.sleep(self._pace.wait_s(loop.time(), _COST))
        while True:
            start, size = self._head(self._buffer)
            if start and size > MAX_PACKET:
                raise packets.BadPacket(f"a packet of {size} bytes")
            if start and len(self._buffer) >= start + size:
                packet = bytes(self._buffer[: start + size])
                del self._buffer[: start + size]
                self._deadline_s = loop.time() + SILENCE_S
                return packet
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    chunk = await self._reader.read(MAX_PACKET)
            except (TimeoutError, ConnectionError) as error:
                raise asyncio.IncompleteReadError(b"", None) from error
            if not chunk:
                raise asyncio.IncompleteReadError(b"", None)
            self._buffer += chunk

    @staticmethod
    def _head(data: bytes | bytearray) -> tuple[int, int]:
        """Return where the body starts, 0 while that has not come, and its length."""
        size = 0
        for number, byte in enumerate(data[1:5]):
            size |= (byte & 127) << 7 * number
            if byte < 128:
                return 2 + number, size
        return (0, 0) if len(data) < 5 else (5, MAX_PACKET + 1)


class EmbeddedBroker:
    """amqtt in this process, for the plugs of a home."""

    def __init__(self, users: Mapping[str, Hashed], tls: ssl.SSLContext | None) -> None:
        """`users` are the plugs' passwords by their ids in hex. Raises ConfigError without amqtt."""
        try:
            from amqtt.broker import Broker
        except ImportError as error:
            raise ConfigError("the embedded broker needs amqtt: pip install 'wattseal[broker]', or give another broker by --broker") from error
        self._users = users
        self._tls = tls
        self._password = secrets.token_urlsafe(16)
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._strangers: dict[asyncio.StreamWriter, None] = {}  # the one that has waited longest first
        self._of_user: dict[str, asyncio.StreamWriter] = {}
        self._servers: list[asyncio.Server] = []
        # It logs every client's coming and going, and bad packets with a traceback.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        plugins: dict[str, dict[str, object]] = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {},
            "wattseal.relay.links.own_topics.OwnTopicsPlugin": {},
        }
        self._broker = Broker({"listeners": {"default": {"type": "external"}}, "plugins": plugins})

    async def start(self, host: str, port: int) -> tuple[tuple[str, int], BrokerAddress]:
        """Listen; return address and port for plugs, and where the relay connects. Raises LinkError where that cannot be had."""
        await self._broker.start()
        inner = await asyncio.start_server(self._serve_relay, "127.0.0.1", 0)
        self._servers.append(inner)
        try:
            handshake_s = None if self._tls is None else CONNECT_S
            outer = await asyncio.start_server(self._serve_plug, host, port, ssl=self._tls, ssl_handshake_timeout=handshake_s)
        except OSError as error:
            raise LinkError(f"cannot listen for plugs on {host}:{port}: {error}; give another --mqtt-listen") from error
        self._servers.append(outer)
        name = outer.sockets[0].getsockname()
        return (name[0], name[1]), BrokerAddress("127.0.0.1", inner.sockets[0].getsockname()[1], RELAY, self._password)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        for server in self._servers:
            server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._broker.shutdown()

    async def _serve_relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, is_plug=False)

    async def _serve_plug(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, is_plug=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_plug: bool) -> None:
        from amqtt.adapters import StreamWriterAdapter

        task = asyncio.current_task()
        if task is None:
            return
        self._connections[task] = writer
        if is_plug:
            # who only holds the line must not keep plugs out
            if len(self._strangers) >= MAX_STRANGERS:
                next(iter(self._strangers)).transport.abort()
            self._strangers[writer] = None
        user = ""
        try:
            stream = _PacketStream(reader, is_paced=is_plug)
            client = packets.read_connect(await stream.first())
            refusal = self._why_not_plug(client) if is_plug else self._why_not_relay(client)
            if refusal:
                peer = "{}:{}".format(*writer.get_extra_info("peername", ("unknown", 0))[:2])
                _log.warning("refused a client of the broker", extra={"peer": peer, "user": client.user[:64], "why": refusal})
                writer.write(packets.NOT_AUTHORISED)
                await writer.drain()
                return
            if client.user not in self._of_user and len(self._of_user) > MAX_CLIENTS:  # the relay is one of them
                _log.warning("no room for a plug at the broker", extra={"user": client.user, "most": MAX_CLIENTS})
                return
            self._strangers.pop(writer, None)
            user = client.user
            older = self._of_user.get(user)
            if older is not None:
                older.transport.abort()  # at once, so that its last will does not come after the new one's hello
            self._of_user[user] = writer
            await self._broker.external_connected(stream, StreamWriterAdapter(writer), "default")
        except (packets.BadPacket, asyncio.IncompleteReadError, ConnectionError) as error:
            _log.info("closed a connection to the broker", extra={"why": str(error)})
        finally:
            self._strangers.pop(writer, None)
            if self._of_user.get(user) is writer:
                del self._of_user[user]
            del self._connections[task]
            with suppress(ConnectionError):
                writer.close()

    def _why_not_plug(self, client: packets.Connect) -> str:
        """Return why a client may not come in, or nothing where it may."""
        hashed = self._users.get(client.user)
        if not _USER.fullmatch(client.user) or hashed is None:
            return "no such user: plugs have their id as their name"
        if not hashed.fits(client.password):
            return "wrong password"
        if client.client_id != f"wattseal-{client.user}":
            return "another's client id"
        if not client.clean_session:
            return "no clean session"
        own = re.fullmatch(rf"wattseal/[0-9]/{client.user[:2]}/{client.user}/up", client.will_topic)
        if client.will_topic and (not own or client.will_is_retained or len(client.will) > MAX_PAYLOAD_UP):
            return "a last will on another's topic, retained or too long"
        return ""

    def _why_not_relay(self, client: packets.Connect) -> str:
        is_relay = client.user == RELAY and secrets.compare_digest(client.password, self._password.encode())
        return "" if is_relay and client.clean_session and not client.will_topic else "not this relay"
