"""One plug on a line, whatever the line is, and what is done with what plugs say."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from wattseal.errors import LinkError, PlugOffline, PlugRefused, PlugSilent, ProtocolError, WattsealError
from wattseal.protocol.messages import Health, Hello, Message, Offer, Ping, PlugMessage, Refused, Status

_MAX_MESSAGE = 800  # characters of a `refused` message: also with every one escaped the frame has less than 2000 bytes

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


class Wire(Protocol):
    """What a `Connection` sends by."""

    async def send(self, message: Message) -> None:
        """Send one message, waiting while the line is full. Raises ConnectionError."""

    def cut(self) -> None:
        """End the connection at once; whoever reads it sees the end."""

    async def close(self) -> None:
        """Let go of the line, after what was sent."""


class Connection:
    """One plug on the line; `hello` is None until it has said who it is."""

    def __init__(self, peer: str, wire: Wire, timings: Timings) -> None:
        """`peer` names the other end in logs and in the quarantine."""
        self.peer = peer
        self.hello: Hello | None = None
        self.offer: Offer | None = None
        self.status: Status | None = None
        self.health: Health | None = None
        self.clock_set = asyncio.Event()  # a `time` was sent
        self.refusals = 0
        self.pings = 0  # sent
        self._wire = wire
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
                await self._wire.send(message)
        except (ConnectionError, TimeoutError) as error:
            self.drop()
            raise PlugOffline(f"the plug at {self.peer} is gone: {error!r}; it will connect again by itself") from error

    async def refuse(self, error: ProtocolError, session: bytes | None) -> None:
        """Answer what is not taken, and count it; `session` is the one that it named. Raises PlugOffline."""
        self.refusals += 1
        message = str(error).encode("ascii", "backslashreplace").decode()[:_MAX_MESSAGE]
        await self.send(Refused(error.code, message, session))

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
        self._wire.cut()

    async def close(self) -> None:
        """Stop everything that runs for the connection and close it."""
        for task in tuple(self._tasks):
            task.cancel()
        self._fail(PlugOffline(f"the plug at {self.peer} went away before it answered; it will connect again by itself"))
        await self._wire.close()

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
        """Any message but `hello`. One connection's messages come one after the other, those of several at the same time."""

    async def quarantine(self, peer: str, error: ProtocolError, raw: bytes, plug: bytes | None) -> None:
        """A frame was refused; `plug` (20 bytes) is who has said hello on the connection. Raises StoreError."""
