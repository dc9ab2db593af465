"""MQTT's packets, cut anywhere, and rubbish."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.relay.links import mqtt_packets as packets

LIMIT = 300

messages = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=700)), max_size=8)


def read_all(data: bytes, cuts: list[int]) -> list[tuple[int, bytes, int]]:
    reader = packets.PacketReader(LIMIT)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found = []
    for start, end in itertools.pairwise(edges):
        found += reader.feed(data[start:end])
        assert len(reader._buffer) <= LIMIT + 5
    return found


@given(messages, st.lists(st.integers(min_value=0, max_value=10_000), max_size=20))
def test_packets_are_the_same_however_the_stream_is_cut(published: list[tuple[str, bytes]], cuts: list[int]) -> None:
    found = read_all(b"".join(packets.publish(*message) for message in published), cuts)
    assert len(found) == len(published)
    for (head, body, size), (topic, payload) in zip(found, published, strict=True):
        whole = len(topic.encode()) + 2 + len(payload)
        message = packets.read_publish(head, body, size)
        assert size == whole
        assert (message.topic, message.is_retained, message.packet_id) == (topic, False, None)
        assert message.payload == payload[: LIMIT - len(topic.encode()) - 2]


@given(st.binary(max_size=2_000), st.lists(st.integers(min_value=0, max_value=2_000), max_size=5))
def test_rubbish_is_read_or_refused(data: bytes, cuts: list[int]) -> None:
    try:
        for head, body, size in read_all(data, cuts):
            assert len(body) == min(size, LIMIT)
            packets.read_publish(head, body, size)
    except packets.BadPacket:
        pass


@given(st.binary(max_size=200))
def test_a_connect_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(packets.BadPacket):
        packets.read_connect(data)
    with pytest.raises(packets.BadPacket):
        packets.read_connect(b"\x00\x04MQTT\x04\xc2\x00\x3c" + data[:3])


def test_a_connect_is_read_as_it_was_written() -> None:
    written = packets.connect("me", "user", "pässword", 60)
    client = packets.read_connect(written[2:])
    assert (client.client_id, client.clean_session, client.user, client.password.decode()) == ("me", True, "user", "pässword")
    assert (client.will_topic, client.will) == ("", b"")
    assert "pässword" not in repr(client)
    for end in range(2, len(written)):
        with pytest.raises(packets.BadPacket):
            packets.read_connect(written[2:end])
    with pytest.raises(packets.BadPacket):
        packets.read_connect(written[2:] + b"x")


def test_qos_1_has_an_id_and_qos_2_nobody_asked_for() -> None:
    body = b"\x00\x01t\x12\x34hello"
    assert packets.read_publish(0x33, body, len(body)) == packets.Publish("t", b"hello", True, b"\x12\x34")
    assert packets.puback(b"\x12\x34") == b"\x40\x02\x12\x34"
    with pytest.raises(packets.BadPacket):
        packets.read_publish(0x34, body, len(body))
    with pytest.raises(packets.BadPacket):
        packets.read_publish(0x32, body[:4], 4)
