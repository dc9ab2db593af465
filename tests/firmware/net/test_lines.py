"""Lines survive whatever the stream does; bad ones cost one error each and nothing more."""

import asyncio

from plug.errors import BadFrame
from plug.net.framing import MAX_FRAME, parse
from plug.net.lines import LineReader, encode, unframe
from run_in_micropython import raises


class Stream:
    """Gives the chunks one after another, then the end."""

    def __init__(self, *chunks):
        self._chunks = list(chunks)

    async def readinto(self, buffer):
        await asyncio.sleep(0)
        chunk = self._chunks.pop(0) if self._chunks else b""
        taken = chunk[: len(buffer)]
        if len(taken) < len(chunk):
            self._chunks.insert(0, chunk[len(taken) :])
        buffer[: len(taken)] = taken
        return len(taken)


def test_a_frame_as_documented():
    assert encode({"type": "ping"}) == b'497c309c {"type":"ping"}\n'


def test_integers_beyond_64_bits_come_through():
    message = {"type": "x", "n": 2**128 - 1}
    assert parse(unframe(bytes(encode(message)))) == message


def test_damage_is_seen():
    line = bytes(encode({"type": "ping", "text": "abc"}))
    for position in range(len(line)):
        damaged = bytearray(line)
        damaged[position] ^= 1
        raises(BadFrame, unframe, bytes(damaged))


async def test_lines_over_chunks():
    lines = LineReader(Stream(b"on", b"e\ntwo\nth", b"ree\n"))
    for expected in (b"one\n", b"two\n", b"three\n", None):
        assert await lines.line() == expected


async def test_an_overlong_line_costs_one_error_and_little_memory():
    chunks = [b"x" * 512] * (3 * MAX_FRAME // 512) + [b"end\nnext\n"]
    lines = LineReader(Stream(*chunks))
    try:
        await lines.line()
        raise AssertionError("an overlong line was returned")
    except BadFrame:
        pass
    assert await lines.line() == b"next\n"
    assert await lines.line() is None


async def test_lines_of_every_length_up_to_the_longest_come_through():
    for length in (1, 127, 128, 129, 1023, 1024, 1025, MAX_FRAME - 1):
        line = bytes([97 + length % 26]) * length + b"\n"
        for size in (100, 1024, 5000):
            text = line + b"short\n" + line
            lines = LineReader(Stream(*[text[i : i + size] for i in range(0, len(text), size)]))
            for expected in (line, b"short\n", line, None):
                assert await lines.line() == expected, (length, size)
