"""The channel to a relay by TCP."""

import asyncio

from plug.net.lines import Lines


class Tcp(Lines):
    """Lines over one TCP connection to an IPv4 address."""

    def __init__(self, host, port):
        super().__init__()
        self._host = host
        self._port = port

    async def open(self, wake):
        """Connect. Raises OSError. `wake` is not needed: there is always room."""
        stream, _ = await asyncio.open_connection(self._host, self._port)
        self.use(stream)
