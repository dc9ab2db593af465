import asyncio
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import FrameError
from wattseal.protocol import framing

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 256), 1 << 256) | st.text(st.characters(codec="utf-8"), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), inner, max_size=4),
    max_leaves=10,
)


def framed(body: bytes) -> bytes:
    return b"%08x %s" % (crc32(body), body)


def test_a_frame_is_crc_space_json_newline() -> None:
    # CRC-32 by Python's zlib and, apart from it, by `gzip`'s trailer: 0e 5c 72 b0 little-endian
    assert framing.encode({"type": "ping"}) == b'%08x {"type":"ping"}\n' % crc32(b'{"type":"ping"}')


@given(members=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), json_values, max_size=4))
def test_what_is_encoded_is_decoded(members: dict[str, Any]) -> None:
    message = members | {"type": "status"}
    try:
        line = framing.encode(message)
    except FrameError:
        return
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert framing.decode(line[:-1]) == message


@given(line=st.binary(max_size=200) | st.binary(max_size=100).map(framed) | json_values.map(lambda value: framed(repr(value).encode())))
def test_arbitrary_bytes_raise_nothing_but_frame_error(line: bytes) -> None:
    try:
        message = framing.decode(line)
    except FrameError:
        return
    assert isinstance(message["type"], str)


@given(at=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen(at: int, bit: int) -> None:
    line = bytearray(framing.encode({"type": "ack", "session": "0x" + "5a" * 32, "sequence": 7, "status": "stored"})[:-1])
    line[at % len(line)] ^= 1 << bit
    with pytest.raises(FrameError):
        framing.decode(bytes(line))


@pytest.mark.parametrize(
    "body",
    [
        b"[1]",
        b'"type"',
        b"{}",
        b'{"type":1}',
        b'{"type":null}',
        b'{"type":"ping","x":1.0}',
        b'{"type":"ping","x":1e3}',
        b'{"type":"ping","x":NaN}',
        b'{"type":"ping","x":-Infinity}',
        b'{"type":"ping","type":"pong"}',
        b'{"type":"ping","x":{"y":1,"y":2}}',
        b'{"type":"ping","x":"\\ud800"}',
        b'{"type":"ping","x":"\xff"}',
        b'{"type":"ping","x":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"type":"ping"} {}',
        b'{"type":"ping"',
    ],
)
def test_what_is_no_strict_json_object_with_a_type_is_a_bad_frame(body: bytes) -> None:
    with pytest.raises(FrameError):
        framing.decode(framed(body))


@pytest.mark.parametrize(
    "line", [b"", b"00000000", b'0000000G {"type":"ping"}', framed(b'{"type":"ping"}').upper(), b" " + framed(b'{"type":"ping"}')]
)
def test_a_line_without_its_checksum_is_a_bad_frame(line: bytes) -> None:
    with pytest.raises(FrameError):
        framing.decode(line)


def test_4096_bytes_with_the_newline_is_the_limit() -> None:
    frame = framing.encode({"type": "x" * (4096 - len(framing.encode({"type": ""})))})
    assert len(frame) == 4096
    assert framing.decode(frame[:-1])
    with pytest.raises(FrameError):
        framing.encode({"type": "x" * (4097 - len(framing.encode({"type": ""})))})


def read_all(data: bytes, cuts: list[int]) -> list[bytes | None]:
    """Return the lines read from data that arrives in pieces; None for a line that was too long."""

    async def read() -> list[bytes | None]:
        stream = asyncio.StreamReader()
        lines = framing.LineReader(stream)
        found: list[bytes | None] = []
        edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, end in pairwise(edges):
            stream.feed_data(data[start:end])
        stream.feed_eof()
        while True:
            try:
                line = await lines.read_line()
            except FrameError as error:
                found.append(None if len(error.raw) <= framing.MAX_LINE_BYTES else error.raw)
                continue
            if line is None:
                return found
            found.append(line)

    return asyncio.run(read())


@given(lengths=st.lists(st.sampled_from([0, 1, 10, 4094, 4095, 4096, 4097, 8191, 8192, 20_000]), max_size=6), cuts=st.lists(st.integers(0, 60_000)))
def test_an_over_long_line_is_skipped_and_the_next_is_read(lengths: list[int], cuts: list[int]) -> None:
    data = b"".join(b"%c" % (97 + index) * length + b"\n" for index, length in enumerate(lengths))
    expected = [b"%c" % (97 + index) * length if length < 4096 else None for index, length in enumerate(lengths)]
    assert read_all(data, cuts) == expected


def test_a_line_cut_off_by_the_end_is_no_line() -> None:
    assert read_all(b"whole\npart", []) == [b"whole"]


@pytest.mark.anyio
async def test_an_endless_line_does_not_fill_the_memory() -> None:
    stream = asyncio.StreamReader()
    lines = framing.LineReader(stream)
    reading = asyncio.create_task(lines.read_line())
    for _ in range(200):
        stream.feed_data(b"x" * 4096)
        await asyncio.sleep(0)
        assert len(lines._buffer) <= 2 * framing.MAX_LINE_BYTES
    stream.feed_data(b"\n")
    with pytest.raises(FrameError):
        await reading
