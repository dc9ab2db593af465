"""An asyncio stream of a test's own in the place of a socket."""

import asyncio


class ScriptedStream:
    """Gives chunks one after another, of each at most `piece` bytes at once, then ends; keeps what is written."""

    def __init__(self, *chunks, piece=1 << 20):
        self.chunks = list(chunks)
        self._piece = piece
        self.written = b""
        self.is_closed = False

    async def readinto(self, buffer):
        await asyncio.sleep(0)
        chunk = self.chunks.pop(0) if self.chunks else b""
        if chunk is None:  # readable, and yet nothing whole: as of a TLS record
            return None
        taken = chunk[: min(len(buffer), self._piece)]
        if len(taken) < len(chunk):
            self.chunks.insert(0, chunk[len(taken) :])
        buffer[: len(taken)] = taken
        return len(taken)

    def write(self, data):
        self.written += bytes(data)

    async def drain(self):
        await asyncio.sleep_ms(0)

    def close(self):
        self.is_closed = True

    async def wait_closed(self):
        pass


class Opener:
    """In the place of plug.net.tls.Tls: hands the stream out."""

    def __init__(self, stream):
        self._stream = stream

    async def connect(self, host, port):
        return self._stream, self._stream
