"""Frames between plug and relay: one line each, CRC-32 and JSON (docs/protocol.md section 2)."""

import json
from binascii import crc32

from micropython import const

from plug import text
from plug.errors import BadFrame

MAX_FRAME = const(4096)
_MAX_BRACKETS = const(64)
_HEAD = const(9)  # CRC and space
_PIECE = const(128)  # views have neither find nor count
# For the lines of a relay, one connection at a time. Made at boot: on a heap in splinters a piece of 1 KB may not be there any more.
_usual = memoryview(bytearray(1024))


def encode(message):
    """Return the line, newline included, that carries a message (a dict): a view of the buffer for texts, good until the next text."""
    end = text.write(message, _HEAD)
    buffer = text.buffer
    buffer[:_HEAD] = b"%08x " % crc32(buffer[_HEAD:end])
    buffer[end : end + 1] = b"\n"
    return buffer[: end + 1]


def decode(line):
    """Return the message in a line, bytes or a view; raise BadFrame where the line is damaged or holds none."""
    if len(line) < 12 or line[8:9] != b" " or line[-1:] != b"\n":
        raise BadFrame("a frame is 8 hex digits, a space, a JSON object and a newline")
    body = memoryview(line)[_HEAD:-1]
    if line[:8] != b"%08x" % crc32(body):
        raise BadFrame("CRC is %08x, the frame says %s" % (crc32(body), bytes(line[:8])))
    if _count_brackets(body) > _MAX_BRACKETS:  # printing what is nested too deeply would exhaust the stack
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


def _count_brackets(body):
    count = 0
    for start in range(0, len(body), _PIECE):
        piece = bytes(body[start : start + _PIECE])
        count += piece.count(b"{") + piece.count(b"[")
    return count


class LineReader:
    """Reads lines of at most MAX_FRAME bytes from an asyncio stream, whatever the other side sends."""

    def __init__(self, stream):
        self._stream = stream
        self._buffer = _usual
        self._start = self._end = 0  # of what has come and is no line yet
        self._skipping = False

    async def line(self):
        """Return the next whole line, a view that is good until the next call, or None at the end of the stream.

        Raises BadFrame once for each line that is too long.
        """
        looked = self._start
        while True:
            end = self._find_end(looked)
            if end:
                line, self._start = self._buffer[self._start : end], end
                if not self._skipping:
                    return line
                self._skipping = False
                raise BadFrame(f"a line is longer than {MAX_FRAME} bytes")
            self._make_room()
            looked = self._end
            count = await self._stream.readinto(self._buffer[self._end :])
            if not count:
                return None
            self._end += count

    def _find_end(self, place):
        """Return where the first line ends, or 0."""
        while place < self._end:
            found = bytes(self._buffer[place : min(place + _PIECE, self._end)]).find(b"\n")
            if found >= 0:
                return place + found + 1
            place += _PIECE
        return 0

    def _make_room(self):
        """Move what has come to the front; a line that fills the usual buffer gets a larger one, one that fills that is skipped."""
        length = self._end - self._start
        if length >= MAX_FRAME or self._skipping:
            self._skipping = True
            length = 0
        old, start = self._buffer, self._start
        if length == len(old):
            self._buffer = memoryview(bytearray(MAX_FRAME))
        elif length <= len(_usual) // 2:
            self._buffer = _usual
        if start or self._buffer is not old:
            for place in range(length):  # overlapping: a slice would be copied first
                self._buffer[place] = old[start + place]
        self._start, self._end = 0, length
