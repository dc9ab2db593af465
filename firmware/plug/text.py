"""JSON texts in one buffer made at boot: on a heap in splinters a piece of 2 KB may not be there any more."""

import io
import json

from micropython import const

from plug.errors import BadFrame

SIZE = const(2048)  # the longest is a receipt, of about 1,400 bytes
buffer = memoryview(bytearray(SIZE))


class _Writer(io.IOBase):
    end = 0

    def write(self, data):
        """Take the next piece of the text (json's side of a stream)."""
        end = self.end + len(data)
        if end >= SIZE:  # a newline may follow
            raise BadFrame(f"a text is longer than {SIZE} bytes")
        buffer[self.end : end] = data
        self.end = end
        return len(data)


_writer = _Writer()


def write(value, start=0):
    """Write a value's JSON to `buffer` from `start` on, where it stays until the next call; return where it ends. Raises BadFrame."""
    _writer.end = start
    json.dump(value, _writer, separators=(",", ":"))
    return _writer.end
