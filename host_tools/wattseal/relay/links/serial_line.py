"""A plug on a serial line: the frames of TCP among whatever else its console prints. pyserial opens devices and URLs such as socket://.

The line is there before and after the plug is, so a connection begins with `greet` and not with the line.
"""

import asyncio
import logging
import re
import termios
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import serial

from wattseal.errors import ConfigError
from wattseal.protocol import framing
from wattseal.protocol.messages import Greet, Message
from wattseal.relay.links.connection import Connection, PlugHandler, Timings
from wattseal.relay.links.door import Door
from wattseal.relay.links.lines import converse

BAUD = 115_200
FIRST_PAUSE_S = 1
LONGEST_PAUSE_S = 60
_POLL_S = 0.2  # how long a thread waits for a byte
_FAILED = (OSError, termios.error)  # pyserial lets some of the latter through
_FRAME = re.compile(rb"[0-9a-f]{8} \{")

_log = logging.getLogger(__name__)


class _SerialWire:
    """One connection on an open line: a Wire and a ByteStream. The line is read and written in threads, since pyserial blocks."""

    def __init__(self, port: Any, threads: "_Threads") -> None:
        self._port = port
        self._threads = threads
        self._is_cut = False
        self.is_lost = False  # the line itself

    async def read(self, n: int) -> bytes:
        while not self._is_cut:
            data: bytes = await self._run(self._threads.reading, self._read_some, n)
            if data:
                return data
        return b""

    async def send(self, message: Message) -> None:
        await self._run(self._threads.writing, self._port.write, framing.encode(message.frame()))

    def cut(self) -> None:
        self._is_cut = True

    async def close(self) -> None:
        """The line outlasts the connection."""

    def _read_some(self, n: int) -> bytes:
        data: bytes = self._port.read(max(1, min(n, self._port.in_waiting)))
        return data

    async def _run(self, thread: ThreadPoolExecutor, call: Any, argument: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, call, argument)
        except _FAILED as error:
            self.is_lost = self._is_cut = True
            raise ConnectionResetError(f"the serial line is gone: {error}") from error


class _Threads:
    def __init__(self) -> None:
        self.reading = ThreadPoolExecutor(1, "serial-read")
        self.writing = ThreadPoolExecutor(1, "serial-write")

    def shutdown(self) -> None:
        self.reading.shutdown(wait=False, cancel_futures=True)
        self.writing.shutdown(wait=False, cancel_futures=True)


class SerialLink:
    """The plug on one line, opened again whenever it is there."""

    def __init__(self, chain_id: int, contract: bytes, handler: PlugHandler, timings: Timings, port: str) -> None:
        """`port` is a device's path or a pyserial URL. Raises ConfigError where it can be neither."""
        self.noise = 0  # lines that were no frames
        self._port = port
        self._timings = timings
        self._door = Door(chain_id, contract, handler)
        self._threads = _Threads()
        self._running: asyncio.Task[None] | None = None
        try:
            self._line = serial.serial_for_url(port, do_not_open=True)
        except ValueError as error:
            raise ConfigError(f"--serial {port!r}: {error}; give a path as /dev/ttyUSB0 or a URL as socket://192.0.2.10:7142") from error

    def start(self) -> None:
        """Open the line, now or when it is there."""
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Let go of the line."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._threads.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = float(FIRST_PAUSE_S)
        while True:
            since_s = loop.time()
            try:
                port = await loop.run_in_executor(None, self._open)
            except _FAILED as error:
                _log.warning("no serial line", extra={"port": self._port, "why": str(error)})
            else:
                try:
                    await self._talk(port)
                finally:
                    await loop.run_in_executor(None, port.close)  # pyserial sleeps in it
            pause_s = FIRST_PAUSE_S if loop.time() - since_s > LONGEST_PAUSE_S else pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _open(self) -> Any:
        # Both control lines stay as the system sets them on opening: clearing one after the other would reset an ESP32 with the usual circuit.
        self._line.baudrate = BAUD
        self._line.timeout = _POLL_S
        self._line.write_timeout = self._timings.send_s
        if not self._port.startswith("socket://"):
            self._line.exclusive = True
        self._line.open()
        _log.info("opened a serial line", extra={"port": self._port})
        return self._line

    async def _talk(self, port: Any) -> None:
        """Greet the plug, again after each connection that ended, until the line is gone."""
        loop = asyncio.get_running_loop()
        pause_s = float(FIRST_PAUSE_S)
        while True:
            since_s, noise = loop.time(), self.noise
            wire = _SerialWire(port, self._threads)
            connection = Connection(f"serial:{self._port}", wire, self._timings)
            connection.spawn(connection.send(Greet()))
            await converse(connection, wire, self._door, self._timings, self._tidy)
            if self.noise > noise:
                _log.info("skipped lines that are no frames", extra={"port": self._port, "lines": self.noise - noise})
            if wire.is_lost:
                return
            pause_s = FIRST_PAUSE_S if loop.time() - since_s > LONGEST_PAUSE_S else pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _tidy(self, line: bytes) -> bytes | None:
        if _FRAME.match(line):
            return line.removesuffix(b"\r")  # MicroPython's console ends lines so
        self.noise += 1
        _log.debug("no frame", extra={"port": self._port, "line": line[:200].decode(errors="replace")})
        return None
