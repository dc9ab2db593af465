"""JSON texts in one buffer made at boot: on a heap in splinters a piece of 2 KB may not be there any more."""

import json

from micropython import const

from plug.errors import BadFrame

SIZE = const(2048)  # the longest is a receipt, of about 1,400 bytes
_PIECE = const(128)
buffer = memoryview(bytearray(SIZE))


def write(value, start=0):
    """Write a value's JSON to `buffer` from `start` on, where it stays until the next call; return where it ends. Raises BadFrame.

    Not json.dump to a stream: it calls the stream's write for every single character, 35 ms for a receipt.
    """
    if isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            start = write(item, _put(":", _put(json.dumps(key), _put(mark, start))))
            mark = ","
        return _put("}" if value else "{}", start)
    if isinstance(value, (list, tuple)):
        mark = "["
        for item in value:
            start = write(item, _put(mark, start))
            mark = ","
        return _put("]" if value else "[]", start)
    if isinstance(value, str) and len(value) > _PIECE:
        start = _put('"', start)
        for at in range(0, len(value), _PIECE):
            start = _put(json.dumps(value[at : at + _PIECE])[1:-1], start)
        return _put('"', start)
    return _put(json.dumps(value), start)


def _put(piece, start):
    piece = piece.encode()
    end = start + len(piece)
    if end >= SIZE:  # a newline may follow
        raise BadFrame(f"a text is longer than {SIZE} bytes")
    buffer[start:end] = piece
    return end
