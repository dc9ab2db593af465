"""Frames of the plug link: one line each, CRC-32 and a JSON object (docs/protocol.md, section 2)."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol
from zlib import crc32

from wattseal.errors import FrameError

MAX_LINE_BYTES = 4096  # with the newline
MAX_BRACKETS = 64  # the deepest message has 4 levels

_LINE = re.compile(rb"([0-9a-f]{8}) (\{.*\})", re.DOTALL)


def encode(message: Mapping[str, Any]) -> bytes:
    """Return the line, newline included, of a message. Raises FrameError where it would be too long."""
    body = _ENCODER.encode(message).encode()
    line = b"%08x %s\n" % (crc32(body), body)
    if len(line) > MAX_LINE_BYTES:
        raise FrameError(f"a {message.get('type')} frame would have {len(line)} bytes; {MAX_LINE_BYTES} is the limit", line[:MAX_LINE_BYTES])
    return line


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of a line without its newline: a JSON object with a string `type`. Raises FrameError."""
    if len(line) >= MAX_LINE_BYTES:
        raise FrameError(f"a line of {len(line) + 1} bytes; {MAX_LINE_BYTES} is the limit")
    match = _LINE.fullmatch(line)
    if not match:
        raise FrameError(f"no frame: {line[:40]!r}; expected 8 lower-case hex digits, a space and a JSON object")
    checksum, body = match.groups()
    if int(checksum, 16) != crc32(body):
        raise FrameError(f"the CRC of the line is {crc32(body):08x}, not {checksum.decode()}: it was damaged on its way")
    return decode_object(body)


def decode_object(body: bytes) -> dict[str, Any]:
    """Return the message in a JSON object with a string `type`, without line and CRC. Raises FrameError."""
    try:
        message = strict_json(body)
    except ValueError as error:
        raise FrameError(f"no JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise FrameError("no JSON object with a string `type`")
    return message


def strict_json(data: bytes) -> Any:
    """Parse JSON of which every reader makes the same value. Raises ValueError for anything else.

    No floats or NaN, no key twice, no lone surrogates (they have no UTF-8), and too few brackets to exhaust anybody's stack.
    """
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise ValueError(f"more than {MAX_BRACKETS} brackets")
    text = data.decode()
    value = _DECODER.decode(text)
    if "\\u" in text:  # nothing else can write a lone surrogate
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_float(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is no integer")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key appears twice")
    return members


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_float=_refuse_float, parse_constant=_refuse_float, object_pairs_hook=_unique)


class ByteStream(Protocol):
    """What lines are read from, an `asyncio.StreamReader` for one."""

    async def read(self, n: int) -> bytes:
        """Return at least one and at most `n` bytes, none at the end."""


class LineReader:
    """Lines from a stream, in bounded memory: an over-long one is skipped whole, and the next is read as if nothing was."""

    def __init__(self, stream: ByteStream) -> None:
        """Read from `stream`, which nothing else may read."""
        self._stream = stream
        self._buffer = bytearray()

    async def read_line(self) -> bytes | None:
        """Return the next line without its newline, or None at the end of the stream.

        Raises FrameError, with the head of the line, once an over-long one has been skipped. May be cancelled between lines only.
        """
        head = b""
        skipped = 0
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                if skipped + end < MAX_LINE_BYTES:
                    return line
                raise FrameError(f"a line of {skipped + end + 1} bytes; {MAX_LINE_BYTES} is the limit", (head or line)[:MAX_LINE_BYTES])
            if len(self._buffer) >= MAX_LINE_BYTES:
                head = head or bytes(self._buffer[:MAX_LINE_BYTES])
                skipped += len(self._buffer)
                self._buffer.clear()
            chunk = await self._stream.read(MAX_LINE_BYTES)
            if not chunk:
                return None
            self._buffer += chunk
