"""The TCP server for plugs: one connection each, frames in, frames out."""

import asyncio
from typing import Any

from wattseal.errors import LinkError
from wattseal.protocol import framing
from wattseal.protocol.messages import Message
from wattseal.relay.links.connection import Connection, PlugHandler, Timings
from wattseal.relay.links.door import Door
from wattseal.relay.links.lines import converse

MAX_CONNECTIONS = 256  # a home or a site; more plugs than that come by MQTT


class _StreamWire:
    """Frames on a stream."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, message: Message) -> None:
        self._writer.write(framing.encode(message.frame()))
        await self._writer.drain()

    def cut(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self.cut()


class PlugServer:
    """Listens for plugs of one chain and contract."""

    def __init__(self, chain_id: int, contract: bytes, handler: PlugHandler, timings: Timings) -> None:
        self._door = Door(chain_id, contract, handler)
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

    async def check(self) -> str | None:
        """Return why no plug can connect, or None."""
        return None if self._server is not None and self._server.is_serving() else "the relay does not listen for plugs: start it again"

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
        connection = Connection(peer, _StreamWire(writer), self._timings)
        self._connections[task] = connection
        try:
            await converse(connection, reader, self._door, self._timings)
        finally:
            del self._connections[task]
