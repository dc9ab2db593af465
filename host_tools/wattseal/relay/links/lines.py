"""Frames, one a line, on a stream of bytes: what TCP and serial lines have in common (docs/protocol.md, section 2)."""

import asyncio
import logging
from collections.abc import Callable

from wattseal.errors import FrameError, PlugOffline, WattsealError
from wattseal.protocol import framing
from wattseal.protocol.messages import Ping
from wattseal.relay.links.connection import Connection, Timings
from wattseal.relay.links.door import Door
from wattseal.relay.links.pace import Pace

_log = logging.getLogger(__name__)


def as_it_is(line: bytes) -> bytes:
    """Every line counts."""
    return line


async def converse(
    connection: Connection, stream: framing.ByteStream, door: Door, timings: Timings, tidy: Callable[[bytes], bytes | None] = as_it_is
) -> None:
    """Hear a plug until its connection ends, for whatever reason, which is logged; then close it.

    `tidy` returns what counts of a line (without its newline), or None where nothing does.
    """
    try:
        await _hear_all(connection, framing.LineReader(stream), door, timings, tidy)
    except TimeoutError:
        _log.info("closed a silent connection", extra={"peer": connection.peer})
    except (ConnectionError, PlugOffline) as error:
        _log.info("connection lost", extra={"peer": connection.peer, "why": str(error)})
    except WattsealError as error:
        # Not acknowledged: the plug connects again after its pause and sends again.
        _log.error("closed a connection", extra={"peer": connection.peer, "code": error.code, "why": str(error)})
    finally:
        if connection.hello is not None:
            door.handler.disconnected(connection)
        await connection.close()


async def _hear_all(connection: Connection, lines: framing.LineReader, door: Door, timings: Timings, tidy: Callable[[bytes], bytes | None]) -> None:
    pace = Pace()
    goes_on = True
    line: bytes | None = None
    while goes_on:
        was_known = connection.hello is not None
        async with asyncio.timeout(timings.silence_s if was_known else timings.hello_s):
            try:
                raw = await lines.read_line()
                while raw is not None and (line := tidy(raw)) is None:
                    raw = await lines.read_line()
            except FrameError as error:
                if tidy(error.raw) is not None:
                    goes_on = await door.refuse(connection, error, error.raw)
                continue
        if raw is None or line is None:
            return
        # A stream waits for a plug that is too fast, and so does the plug.
        await asyncio.sleep(pace.wait_s(asyncio.get_running_loop().time()))
        goes_on = await door.hear(connection, line, framing.decode)
        if connection.hello is not None and not was_known:
            connection.spawn(_ping(connection, timings))
    if connection.refusals:
        _log.warning("closed a connection that is not taken", extra={"peer": connection.peer, "refused": connection.refusals})


async def _ping(connection: Connection, timings: Timings) -> None:
    while True:
        await asyncio.sleep(timings.ping_s)
        await connection.send(Ping())
