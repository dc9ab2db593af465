"""The plug's MQTT client against random streams, on both word sizes: a reader written here, from the standard alone, says what must come of each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("MQTT_EXAMPLES", "40"))
WELCOME = bytes.fromhex("200200009003000101")
DOWN = b"wattseal/1/ab/" + b"ab" * 20 + b"/down"
MAX_MESSAGE, MAX_SKIPPED = 2000, 65_536
PIECES = (1, 7, 64, 65, 1000, 5000)

checked = settings(max_examples=EXAMPLES, deadline=None)


class Device:
    """A MicroPython process of firmware_mqtt_server.py."""

    def __init__(self, port: str) -> None:
        build = [sys.executable, ROOT / "firmware/build.py", "trees", "--board", "socket_10a", "--arch", port]
        subprocess.run(build, check=True, capture_output=True)
        command = [ROOT / f"build/bin/micropython-{port}", "-X", "heapsize=512k", ROOT / "tests/host_tools/firmware_mqtt_server.py"]
        environment = os.environ | {"MICROPYPATH": f"{ROOT / 'build/firmware/socket_10a' / port}:{ROOT / 'tests/firmware'}:.frozen"}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, stream: bytes, piece: int) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([stream.hex(), piece]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=10)


@pytest.fixture(scope="module", params=["x64", "x86"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    running = Device(request.param)
    yield running
    running.close()


def variable_length(number: int) -> bytes:
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (128 if number else 0))
        if not number:
            return bytes(digits)


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + variable_length(len(body)) + body


def message(payload: bytes, quality: int, identifier: int, retained: bool, topic: bytes = DOWN) -> bytes:
    number = identifier.to_bytes(2, "big") if quality else b""
    return packet(0x30 | quality << 1 | int(retained), len(topic).to_bytes(2, "big") + topic + number + payload)


class End(Exception):
    """The stream is over."""


class Broken(Exception):
    """The standard is broken."""


def expected(stream: bytes) -> tuple[list[str], bytes]:
    """What must be read of what follows the welcome, and what must be written."""
    read: list[str] = []
    written = b""
    owed = b""
    place = 0

    def take(count: int) -> bytes:
        nonlocal place
        if place + count > len(stream):
            raise End
        place += count
        return stream[place - count : place]

    try:
        while True:
            written, owed = written + owed, b""
            first = take(1)[0]
            length = 0
            for shift in (0, 7, 14, 21):
                digit = take(1)[0]
                length += (digit & 127) << shift
                if digit < 128:
                    break
            else:
                raise Broken
            kind, flags = first >> 4, first & 15
            if kind != 3:
                if (kind, flags, length) == (13, 0, 0):
                    continue
                if (kind, flags, length) == (4, 0, 2):
                    take(length)
                raise Broken  # nothing was sent, so nothing else is due
            quality = flags >> 1 & 3
            if quality > 1 or flags == 8 or length < 2:
                raise Broken
            size = int.from_bytes(take(2), "big")
            if size != len(DOWN) or length < 2 + size or take(size) != DOWN:
                raise Broken
            left = length - 2 - size
            if quality:
                if left < 2:
                    raise Broken
                identifier = take(2)
                left -= 2
                if identifier == b"\0\0":
                    raise Broken
                owed = b"\x40\x02" + identifier
            if left > MAX_SKIPPED:
                raise Broken
            payload = take(left)
            read.append("bad" if flags & 1 or left > MAX_MESSAGE else payload.hex())
    except End:
        return [*read, "end"], written
    except Broken:
        return [*read, "broker"], written


payloads = st.one_of(
    st.binary(max_size=80), st.integers(1990, 2010).map(lambda size: b"p" * size), st.integers(1, 6000).map(lambda size: b"q" * size)
)
messages = st.builds(message, payloads, st.integers(0, 1), st.integers(1, 65535), st.booleans())
pieces = st.sampled_from(PIECES)


def agree(device: Device, stream: bytes, piece: int) -> None:
    answer = device.read(WELCOME + stream, piece)
    assert (answer["read"], bytes.fromhex(answer["written"])) == expected(stream), stream[:200].hex()


@checked
@given(packets=st.lists(st.one_of(messages, st.just(packet(0xD0, b""))), max_size=6), piece=pieces)
def test_what_a_broker_sends_arrives_whole_in_order_and_is_acknowledged(device: Device, packets: list[bytes], piece: int) -> None:
    agree(device, b"".join(packets), piece)


@checked
@given(packets=st.lists(messages, min_size=1, max_size=3), data=st.data(), piece=pieces)
def test_damage_anywhere(device: Device, packets: list[bytes], data: st.DataObject, piece: int) -> None:
    stream = bytearray(b"".join(packets))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.one_of(st.integers(0, min(len(stream), 70) - 1), st.integers(0, len(stream) - 1)))
        stream[place] = data.draw(st.integers(0, 255))
    agree(device, bytes(stream[: data.draw(st.integers(0, len(stream)))]), piece)


@checked
@given(first=st.integers(0, 255), flags=st.binary(max_size=12), topic=st.sampled_from([DOWN, DOWN[:-1], DOWN + b"x", b"", b"#"]), piece=pieces)
def test_any_packet(device: Device, first: int, flags: bytes, topic: bytes, piece: int) -> None:
    agree(device, packet(first, flags), piece)
    agree(device, packet(first, len(topic).to_bytes(2, "big") + topic + flags), piece)


@checked
@given(stream=st.binary(max_size=200), piece=pieces)
def test_any_bytes_instead_of_a_welcome(device: Device, stream: bytes, piece: int) -> None:
    answer = device.read(stream, piece)
    assert answer["read"][-1] in ("end", "broker")
    assert len(answer["read"]) == 1 or stream.startswith(WELCOME[:4])
