"""Frames between plug and relay: one line each, CRC-32 and JSON (docs/protocol.md section 2)."""

import json
from binascii import crc32

from micropython import const

from plug import text
from plug.errors import BadFrame

MAX_FRAME = const(4096)
_MAX_BRACKETS = const(64)
_HEAD = const(9)  # CRC and space


def encode(message):
    """Return the line, newline included, that carries a message (a dict): a view of the buffer for texts, good until the next text."""
    end = text.write(message, _HEAD)
    buffer = text.buffer
    buffer[:_HEAD] = b"%08x " % crc32(buffer[_HEAD:end])
    buffer[end : end + 1] = b"\n"
    return buffer[: end + 1]


def decode(line):
    """Return the message in a line; raise BadFrame where the line is damaged or holds none."""
    if len(line) < 12 or line[8:9] != b" " or line[-1:] != b"\n":
        raise BadFrame("a frame is 8 hex digits, a space, a JSON object and a newline")
    body = memoryview(line)[_HEAD:-1]
    if line[:8] != b"%08x" % crc32(body):
        raise BadFrame("CRC is %08x, the frame says %s" % (crc32(body), line[:8]))
    if line.count(b"{") + line.count(b"[") > _MAX_BRACKETS:  # printing what is nested too deeply would exhaust the stack
        raise BadFrame(f"more than {_MAX_BRACKETS} opening brackets")
    try:
        message = json.loads(body)
    except ValueError:
        raise BadFrame("not JSON")
    if body[-1:] != b"}":  # the parser takes the end of the text for any bracket that is missing
        raise BadFrame("the JSON ends too early")
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadFrame("not an object with a type")
    return message


class LineReader:
    """Reads lines of at most MAX_FRAME bytes from an asyncio stream, whatever the other side sends."""

    def __init__(self, stream):
        self._stream = stream
        self._buffer = b""
        self._skipping = False

    async def line(self):
        """Return the next whole line, or None at the end of the stream; raise BadFrame once for each line that is too long."""
        while True:
            end = self._buffer.find(b"\n") + 1
            if end:
                line, self._buffer = self._buffer[:end], self._buffer[end:]
                if not self._skipping:
                    return line
                self._skipping = False
                raise BadFrame(f"a line is longer than {MAX_FRAME} bytes")
            if len(self._buffer) >= MAX_FRAME:
                self._skipping = True
            if self._skipping:
                self._buffer = b""
            data = await self._stream.read(512)
            if not data:
                return None
            self._buffer += data
