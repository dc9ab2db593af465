"""The channel over a UART that is wired to the relay's machine."""

import asyncio

from machine import UART, Pin
from micropython import const

from plug.net.lines import Lines, encode

BAUD = const(115_200)
_UART_ID = const(2)  # 0 is the console of stock builds, whose buffers are fixed; meters use 1
_BUFFER = const(4096)  # two of the longest frames: in ESP-IDF's heap
_BYTE_US = const(87)


class Serial(Lines):
    """Lines over UART 2, 8N1, on the pins `link_tx` and `link_rx` of the board."""

    def __init__(self, tx, rx):
        super().__init__(loses=True)
        self._uart = UART(_UART_ID, BAUD, tx=Pin(tx), rx=Pin(rx), rxbuf=_BUFFER, txbuf=_BUFFER)

    async def open(self, wake):
        """Begin with an empty line: nobody tells whether the other end is there."""
        self.use(asyncio.StreamReader(self._uart))

    async def write(self, message):
        """Send a message and wait until it is on the line: into a full buffer the port's write would block everything."""
        line = encode(message)
        self._uart.write(line)
        await asyncio.sleep_ms(len(line) * _BYTE_US // 1000 + 1)

    async def close(self):
        """Leave the UART as it is: what comes meanwhile waits in its buffer."""
        self._stream = None
