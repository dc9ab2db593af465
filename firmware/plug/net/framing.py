"""What every channel to the relay shares: the buffer that messages come in, and how their JSON is read (docs/protocol.md section 2)."""

import asyncio
import json

from micropython import const

from plug.errors import BadFrame

MAX_FRAME = const(2048)  # from the relay
SEND_S = const(30)
_MAX_BRACKETS = const(64)
_PIECE = const(128)  # views have no count
# One connection at a time. Made at boot: on a heap in splinters a piece of 1 KB may not be there any more.
buffer = memoryview(bytearray(MAX_FRAME))


def parse(body):
    """Return the message (a dict with a string `type`) whose JSON is in `body`, bytes or a view; raise BadFrame where it holds none."""
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


async def read_some(stream, view):
    """Fill the front of a view from an asyncio stream; return how many bytes came, 0 at its end."""
    while True:
        count = await stream.readinto(view)
        if count is not None:  # None: a TLS record that is not whole yet, or noise that woke us
            return count


async def send(stream, data):
    """Send all of a view or bytes over an asyncio stream. Raises OSError, and TimeoutError where the other side does not take it."""
    try:
        stream.write(data)
    except MemoryError:  # a part may have left: nothing sensible can follow it
        raise OSError("no memory for what the network does not take at once")
    await asyncio.wait_for(stream.drain(), SEND_S)
