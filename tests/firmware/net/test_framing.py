"""What is no message is refused, whichever way it came."""

from plug.errors import BadFrame
from plug.net.framing import parse
from run_in_micropython import raises


def test_not_a_message():
    for body in (b"[]", b"{}", b"1", b'{"type":1}', b"{", b"", b'{"type":"x"', b'{"type":' + b"[" * 70 + b"}"):
        raises(BadFrame, parse, body)


def test_a_message_in_a_view():
    assert parse(memoryview(b'{"type":"x","n":340282366920938463463374607431768211455}')) == {"type": "x", "n": 2**128 - 1}
