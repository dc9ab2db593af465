"""The TCP server for plugs: one connection each, frames in, frames out (docs/protocol.md, section 2).

What a plug says is handed to a `PlugHandler`. A frame that is refused is answered, quarantined and forgotten; the connection stays.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from wattseal.errors import (
    FrameError,
    LinkError,
    Malformed,
    PlugOffline,
    PlugRefused,
    PlugSilent,
    ProtocolError,
    UnsupportedVersion,
    WattsealError,
    WrongChain,
)
from wattseal.protocol import framing
from wattseal.protocol.messages import PROTOCOL_VERSION, Health, Hello, Message, Offer, Ping, PlugMessage, Refused, Status, parse_plug_message

MAX_CONNECTIONS = 256
MAX_REFUSED_FRAMES = 100  # of one connection
_MAX_MESSAGE = 1000  # characters of a `refused` message, far below what a frame holds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timings:
    """Seconds. The defaults are those of docs/protocol.md, and for a chain with a block every few seconds."""

    hello_s: float = 30
    silence_s: float = 600
    ping_s: float = 60
    time_s: float = 600
    send_s: float = 30
    answer_s: float = 30
    poll_s: float = 1
    interim_s: float = 86_400


class Connection:
    """One plug on the line, after its `hello`."""

    def __init__(self, peer: str, writer: asyncio.StreamWriter, timings: Timings) -> None:
        self.peer = peer
        self.hello: Hello | None = None
        self.offer: Offer | None = None
        self.status: Status | None = None
        self.health: Health | None = None
        self.clock_set = asyncio.Event()  # a `time` was sent
        self.pings = 0  # sent
        self._writer = writer
        self._timings = timings
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking = asyncio.Lock()
        self._question: tuple[bytes, asyncio.Future[None]] | None = None

    @property
    def plug(self) -> bytes:
        """The address (20 bytes) that the plug gave in its `hello`. Raises LinkError before."""
        if self.hello is None:
            raise LinkError(f"{self.peer} has not said hello yet")
        return self.hello.plug

    async def send(self, message: Message) -> None:
        """Send a message. Raises PlugOffline where the plug is gone or does not read; the connection is dropped then."""
        self.pings += isinstance(message, Ping)
        try:
            async with asyncio.timeout(self._timings.send_s):
                self._writer.write(framing.encode(message.frame()))
                await self._writer.drain()
        except (ConnectionError, TimeoutError) as error:
            self.drop()
            raise PlugOffline(f"the plug at {self.peer} is gone: {error!r}; it will connect again by itself") from error

    async def ask(self, message: Message, session: bytes) -> None:
        """Send a voucher or a stop of a session, or another question known by such bytes, and return when the plug took it.

        Raises PlugRefused, PlugSilent or PlugOffline.
        """
        async with self._asking:
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._question = (session, answer)
            try:
                await self.send(message)
                async with asyncio.timeout(self._timings.answer_s):
                    await answer
            except TimeoutError as error:
                raise PlugSilent(f"the plug did not answer within {self._timings.answer_s:g} s; look at the session before trying again") from error
            finally:
                self._question = None

    def answered(self, session: bytes) -> None:
        """Tell who waits in `ask` for this session that the plug took it."""
        if self._question and self._question[0] == session and not self._question[1].done():
            self._question[1].set_result(None)

    def declined(self, refused: Refused) -> None:
        """Tell who waits in `ask` that the plug refused; without a session the refusal is of what was asked last."""
        if self._question and refused.session in (None, self._question[0]):
            self._fail(PlugRefused(refused.code, refused.message))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something for as long as the connection lasts."""

        async def run() -> None:
            try:
                await work
            except PlugOffline:
                pass
            except WattsealError as error:
                _log.error("a task of a connection failed", extra={"peer": self.peer, "code": error.code, "why": str(error)})

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def drop(self) -> None:
        """Cut the connection at once; its reader sees the end of the stream."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Stop everything that runs for the connection and close it."""
        for task in tuple(self._tasks):
            task.cancel()
        self._fail(PlugOffline(f"the plug at {self.peer} went away before it answered; it will connect again by itself"))
        self._writer.close()
        try:
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self.drop()

    def _fail(self, error: LinkError) -> None:
        if self._question and not self._question[1].done():
            self._question[1].set_exception(error)


class PlugHandler(Protocol):
    """What is done with what plugs say. Whatever raises ProtocolError is answered with `refused`; StoreError ends the connection."""

    async def connected(self, connection: Connection) -> None:
        """A plug has said a `hello` that fits."""

    def disconnected(self, connection: Connection) -> None:
        """The connection is closed."""

    async def received(self, connection: Connection, message: PlugMessage) -> None:
        """Any message but `hello`."""

    def quarantine(self, peer: str, error: ProtocolError, raw: bytes) -> None:
        """A frame was refused."""


class PlugServer:
    """Listens for plugs of one chain and contract."""

    def __init__(self, chain_id: int, contract: bytes, handler: PlugHandler, timings: Timings) -> None:
        self._chain_id = chain_id
        self._contract = contract
        self._handler = handler
        self._timings = timings
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[Any], Connection] = {}

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return address and port. Raises LinkError where that cannot be had."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port)
        except OSError as error:
            raise LinkError(f"cannot listen for plugs on {host}:{port}: {error}; give another --listen") from error
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.drop()
        await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        peer = "{}:{}".format(*writer.get_extra_info("peername", ("unknown", 0))[:2])
        connection = Connection(peer, writer, self._timings)
        self._connections[task] = connection
        try:
            await self._converse(connection, framing.LineReader(reader))
        except TimeoutError:
            _log.info("closed a silent connection", extra={"peer": peer})
        except (ConnectionError, PlugOffline) as error:
            _log.info("connection lost", extra={"peer": peer, "why": str(error)})
        except WattsealError as error:
            # Not acknowledged: the plug connects again after its pause and sends again.
            _log.error("closed a connection", extra={"peer": peer, "code": error.code, "why": str(error)})
        finally:
            if connection.hello is not None:
                self._handler.disconnected(connection)
            await connection.close()
            del self._connections[task]

    async def _converse(self, connection: Connection, lines: framing.LineReader) -> None:
        refused = 0
        while refused <= MAX_REFUSED_FRAMES:
            line: bytes | None = b""
            message: PlugMessage | None = None
            try:
                async with asyncio.timeout(self._timings.silence_s if connection.hello else self._timings.hello_s):
                    line = await lines.read_line()
                if line is None:
                    return
                message = self._parse(line)
                await self._dispatch(connection, message)
            except ProtocolError as error:
                refused += 1
                raw = error.raw if isinstance(error, FrameError) and not line else line or b""
                self._handler.quarantine(connection.peer, error, raw)
                session = getattr(message, "session", None)
                await connection.send(Refused(error.code, str(error)[:_MAX_MESSAGE], session))
                if connection.hello is None and isinstance(error, (UnsupportedVersion, WrongChain)):
                    return
        _log.warning("closed a connection that sends rubbish", extra={"peer": connection.peer, "refused": refused})

    def _parse(self, line: bytes) -> PlugMessage:
        frame = framing.decode(line)
        # Another version's hello may have other keys, so this comes first.
        if frame["type"] == Hello.type and frame.get("version") != PROTOCOL_VERSION:
            version = repr(frame.get("version"))[:40]
            raise UnsupportedVersion(f"the plug speaks version {version} of the protocol, this relay {PROTOCOL_VERSION}: update the older one")
        return parse_plug_message(frame)

    async def _dispatch(self, connection: Connection, message: PlugMessage) -> None:
        if connection.hello is not None:
            if isinstance(message, Hello):
                raise Malformed("a second hello on one connection; connect anew")
            await self._handler.received(connection, message)
            return
        if not isinstance(message, Hello):
            raise Malformed(f"{message.type} before hello; say hello first")
        if (message.chain_id, message.contract) != (self._chain_id, self._contract):
            raise WrongChain(
                f"the plug is set to chain {message.chain_id} and contract 0x{message.contract.hex()}, "
                f"this relay to {self._chain_id} and 0x{self._contract.hex()}: correct the plug's config.json or the relay's options"
            )
        connection.hello = message
        connection.spawn(self._ping(connection))
        await self._handler.connected(connection)

    async def _ping(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(self._timings.ping_s)
            await connection.send(Ping())
