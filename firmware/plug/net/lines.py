"""Messages as lines, on a stream that somebody else opens: CRC-32, a space, JSON, a newline (docs/protocol.md section 2)."""

from binascii import crc32

from micropython import const

from plug import text
from plug.errors import BadFrame
from plug.net.framing import MAX_FRAME, buffer, read_some, send

_HEAD = const(9)  # CRC and space
_PIECE = const(128)  # views have no find


def encode(message):
    """Return the line, newline included, that carries a message (a dict): a view of the buffer for texts, good until the next text."""
    end = text.write(message, _HEAD)
    line = text.buffer
    line[:_HEAD] = b"%08x " % crc32(line[_HEAD:end])
    line[end : end + 1] = b"\n"
    return line[: end + 1]


def unframe(line):
    """Return the JSON in a line, bytes or a view, as a view; raise BadFrame where the line is damaged or none."""
    if len(line) < 12 or line[8:9] != b" " or line[-1:] != b"\n":
        raise BadFrame("a frame is 8 hex digits, a space, a JSON object and a newline")
    body = memoryview(line)[_HEAD:-1]
    if line[:8] != b"%08x" % crc32(body):
        raise BadFrame("CRC is %08x, the frame says %s" % (crc32(body), bytes(line[:8])))
    return body


class LineReader:
    """Reads lines of at most MAX_FRAME bytes from an asyncio stream, whatever the other side sends."""

    def __init__(self, stream):
        self._stream = stream
        self._buffer = buffer
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
            count = await read_some(self._stream, self._buffer[self._end :])
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
        """Move what has come to the front; a line that fills the buffer is skipped."""
        length, start = self._end - self._start, self._start
        if length >= MAX_FRAME or self._skipping:
            self._skipping = True
            length = 0
        if start:
            for place in range(length):  # overlapping: a slice would be copied first
                self._buffer[place] = self._buffer[start + place]
        self._start, self._end = 0, length


class Lines:
    """A channel of lines. Whoever derives from it opens the stream; one task reads and one writes.

    `heard` counts what has come, `loses` tells whether a message may be lost while the channel stays open, `blocks` whether to open it computes
    for a long time at a stretch. Every method may raise OSError.
    """

    def __init__(self, loses=False):
        self.loses = loses
        self.blocks = False
        self._stream = self._lines = None
        self.heard = 0

    def use(self, stream):
        """Take a stream that was just opened."""
        self._stream = stream
        self._lines = LineReader(stream)

    def has_room(self):
        """Tell whether the other side has taken enough of what was sent for more to follow."""
        return True

    async def read(self):
        """Return the JSON of the next message, a view that is good until the next call, or None at the end. Raises BadFrame once a bad line."""
        line = await self._lines.line()
        if line is None:
            return None
        self.heard += 1
        return unframe(line)

    async def write(self, message):
        """Send a message (a dict). Raises BadFrame or MemoryError, with nothing sent, where it has no text; TimeoutError where nobody takes it."""
        await send(self._stream, encode(message))

    async def tend(self, now_ms):
        """Do what is due by the clock; called every few seconds."""

    async def close(self):
        """Close the stream, if one is open."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
            await stream.wait_closed()
