"""The MQTT channel, packet by packet: what it sends, what it takes, and that the rest ends the connection with one error."""

import in_order  # noqa: F401  before what it imports
from net.scripted_stream import Opener, ScriptedStream
from plug.errors import BadFrame, BrokerError
from plug.net.mqtt import WINDOW, Mqtt

PLUG = "ab" * 20
UP, DOWN = f"wattseal/1/ab/{PLUG}/up".encode(), f"wattseal/1/ab/{PLUG}/down".encode()
WELCOME = b"\x20\x02\x00\x00\x90\x03\x00\x01\x01"


def text(data):
    return len(data).to_bytes(2, "big") + data


def head(payload_bytes, flags=2, identifier=7, topic=DOWN):
    """PUBLISH up to its payload."""
    rest = text(topic) + (identifier.to_bytes(2, "big") if flags & 6 else b"")
    length = len(rest) + payload_bytes
    packet = bytes((0x30 | flags,))
    while length > 127:
        packet += bytes((length & 127 | 128,))
        length >>= 7
    return packet + bytes((length,)) + rest


def publish(payload, *options, **named):
    return head(len(payload), *options, **named) + payload


def channel_over(stream, user=None, password=None):
    return Mqtt("", 0, PLUG, user, password, Opener(stream))


async def opened(*chunks):
    stream = ScriptedStream(WELCOME, *chunks)
    channel = channel_over(stream)
    channel.wakes = []
    await channel.open(lambda: channel.wakes.append(1))
    stream.written = b""
    return channel, stream


async def error_of(coroutine):
    try:
        await coroutine
    except (BrokerError, BadFrame, EOFError) as error:
        return error
    raise AssertionError("no error")


async def test_connect_and_subscribe_as_the_standard_has_them():
    stream = ScriptedStream(WELCOME)
    await channel_over(stream).open(None)
    body = b"\x00\x04MQTT\x04\x0e\x00\x3c" + text(b"wattseal-" + PLUG.encode()) + text(UP) + text(b'{"type":"gone"}')
    subscribe = b"\x00\x01" + text(DOWN) + b"\x01"
    assert stream.written == b"\x10" + bytes((len(body) & 127 | 128, 1)) + body + b"\x82" + bytes((len(subscribe),)) + subscribe


async def test_user_and_password_are_shown():
    stream = ScriptedStream(WELCOME)
    await channel_over(stream, "jürgen", "secret").open(None)
    assert stream.written[10] == 0xCE  # behind a header of three bytes
    assert text("jürgen".encode()) + text(b"secret") + b"\x82" in stream.written


async def test_a_welcome_that_is_none():
    for answer, words in (
        (b"\x20\x02\x00\x05", "not authorised"),
        (b"\x20\x02\x00\x09", "9"),
        (b"\x20\x02\x01\x00", "clean session"),
        (b"\x20\x03\x00\x00\x00", "flags 0 and 3 bytes"),
        (b"\x21\x02\x00\x00", "flags 1"),
        (b"\x90\x03\x00\x01\x01", "type 9"),
        (b"\xd0\x00", "type 13"),
        (b"\x20\x02\x00\x00\x90\x03\x00\x01\x80", "subscription"),
        (b"\x20\x02\x00\x00\x90\x03\x00\x02\x01", "subscription"),
        (b"\x20\x02\x00\x00\x20\x02\x00\x00", "type 2"),
    ):
        error = await error_of(channel_over(ScriptedStream(answer)).open(None))
        assert isinstance(error, BrokerError), (answer, error)
        assert words in str(error), (answer, error)
    for length in range(len(WELCOME)):
        assert isinstance(await error_of(channel_over(ScriptedStream(WELCOME[:length])).open(None)), EOFError)


async def test_messages_of_both_qualities_come_in_order_and_are_acknowledged_when_the_next_is_asked_for():
    packets = publish(b"one", 2, 7) + b"\xd0\x00" + publish(b"two", 0) + publish(b"three", 0x0A, 65535) + publish(b"")
    for size in (1, 2, 3, 64, 4096):
        channel, stream = await opened(*[packets[i : i + size] for i in range(0, len(packets), size)])
        assert bytes(await channel.read()) == b"one"
        assert stream.written == b""
        assert bytes(await channel.read()) == b"two"
        assert stream.written == b"\x40\x02\x00\x07"
        assert bytes(await channel.read()) == b"three"
        assert bytes(await channel.read()) == b""
        assert await channel.read() is None
        assert stream.written == b"\x40\x02\x00\x07\x40\x02\xff\xff\x40\x02\x00\x07"
        assert channel.heard == 5


async def test_a_stream_that_wakes_for_nothing():
    channel, _ = await opened(None, publish(b"one")[:20], None, None, publish(b"one")[20:])
    assert bytes(await channel.read()) == b"one"


async def test_what_is_too_long_or_retained_is_skipped_acknowledged_and_said():
    piece = b"x" * 512
    for packet in ([publish(b"x" * 2001)], [head(65536)] + [piece] * 128, [publish(b"x", 3)], [head(5120, 3)] + [piece] * 10):
        channel, stream = await opened(*packet, publish(b"y" * 2000))
        assert isinstance(await error_of(channel.read()), BadFrame)
        assert bytes(await channel.read()) == b"y" * 2000
        assert stream.written == b"\x40\x02\x00\x07"


async def test_each_packet_that_breaks_the_rules_ends_the_connection():
    for packet, words in (
        (b"\x00\x00", "type 0"),
        (b"\x10\x00", "type 1"),
        (b"\x20\x02\x00\x00", "second"),
        (b"\x50\x02\x00\x01", "type 5"),
        (b"\x62\x02\x00\x01", "type 6"),
        (b"\x70\x02\x00\x01", "type 7"),
        (b"\x82\x00", "type 8"),
        (b"\x90\x03\x00\x01\x01", "second"),
        (b"\xa2\x02\x00\x01", "type 10"),
        (b"\xb0\x02\x00\x01", "type 11"),
        (b"\xc0\x00", "type 12"),
        (b"\xe0\x00", "type 14"),
        (b"\xf0\x00", "type 15"),
        (b"\x40\x02\x00\x01", "message 1"),
        (b"\x40\x02\x00\x00", "message 0"),
        (b"\x42\x02\x00\x01", "flags 2"),
        (b"\x40\x01\x00", "1 bytes"),
        (b"\x40\x82\x00\x00\x01", "message 1"),
        (b"\xd0\x01\x00", "1 bytes"),
        (b"\xd1\x00", "flags 1"),
        (b"\x32\xff\xff\xff\xff\x01", "four bytes"),
        (b"\x32\x80\x80\x80\x80\x00", "four bytes"),
        (publish(b"", 4), "QoS 1"),
        (publish(b"", 6), "QoS 1"),
        (publish(b"", 8), "QoS 0"),
        (publish(b"", 2, 0), "no packet identifier"),
        (publish(b"", topic=UP), "topic"),
        (publish(b"", topic=DOWN[:-1]), "topic"),
        (publish(b"", topic=DOWN[:-1] + b"m"), "topic"),
        (publish(b"", topic=b""), "topic"),
        (b"\x32\x00", "too early"),
        (b"\x32\x01\x00", "too early"),
        (b"\x32\x05" + text(DOWN)[:5], "too early"),
        (b"\x30" + bytes((len(DOWN) + 1,)) + text(DOWN)[:-1], "too early"),
        (b"\x32" + bytes((len(DOWN) + 3,)) + text(DOWN) + b"\x00", "too early"),
        (head(65537), "65537 bytes"),
        (b"\x32\xff\xff\xff\x7f" + text(DOWN) + b"\x00\x01", "bytes"),
    ):
        channel, _ = await opened(packet)
        error = await error_of(channel.read())
        assert isinstance(error, BrokerError), (packet[:20], error)
        assert words in str(error), (packet[:20], error)


async def test_a_stream_that_ends_anywhere_is_an_end():
    packet = publish(b'{"type":"ping"}')
    for length in range(len(packet)):
        channel, _ = await opened(packet[:length])
        assert await channel.read() is None


async def test_messages_go_out_at_qos_1_and_wait_for_room():
    channel, stream = await opened(*[bytes((0x40, 2, 0, number)) for number in (1, 3, 2)])
    await channel.write({"type": "pong"})
    assert stream.written == b"\x32" + bytes((len(UP) + 4 + 15,)) + text(UP) + b"\x00\x01" + b'{"type":"pong"}'
    stream.written = b""
    await channel.write({"type": "x" * 1500})
    assert stream.written == b"\x32\xa4\x0c" + text(UP) + b"\x00\x02" + b'{"type":"' + b"x" * 1500 + b'"}'
    while channel.has_room():
        await channel.write({"type": "pong"})
    assert len(channel._flight) == WINDOW - 1
    assert await channel.read() is None
    assert len(channel.wakes) == 3
    assert channel._flight == list(range(4, WINDOW))
    assert channel.has_room()


async def test_identifiers_go_round():
    channel, _ = await opened()
    channel._identifier = 65534
    await channel.write({"type": "a"})
    await channel.write({"type": "b"})
    assert channel._flight == [65535, 1]


async def test_a_message_without_a_text_leaves_nothing_behind():
    channel, stream = await opened()
    assert isinstance(await error_of(channel.write({"type": "x" * 2000})), BadFrame)
    assert (stream.written, channel._flight) == (b"", [])
    await channel.write({"type": "pong"})
    assert channel._flight == [1]


async def test_a_ping_where_nothing_was_sent():
    channel, stream = await opened()
    for now_ms, sent in ((0, b""), (29_000, b""), (30_000, b"\xc0\x00"), (35_000, b""), (64_000, b""), (65_000, b"\xc0\x00")):
        stream.written = b""
        await channel.tend(now_ms)
        assert stream.written == sent, now_ms
    await channel.write({"type": "pong"})
    stream.written = b""
    await channel.tend(95_000)
    assert stream.written == b""


async def test_closing_says_no_farewell():
    channel, stream = await opened()
    await channel.close()
    assert (stream.written, stream.is_closed) == (b"", True)
    await channel.close()
