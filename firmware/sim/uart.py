"""MicroPython's `machine.UART` as on the ESP32, with the metering IC's serial line on the port and pins that the settings wire to it.

Its bytes arrive one by one in their time; a receive buffer that is full loses what comes next. Sending takes its time too, and blocks nobody.
Port 2 can be wired to a device of the host: there bytes come and go as the host has them, and asyncio can wait for them.
"""

import io

import clock

_MIN_BUFFER, _BUFFER = 129, 256  # as the port has them: more than the hardware's FIFO, and its default
_LINK_ID = 2
_GET_FILENO = 10  # MP_STREAM_GET_FILENO

_world = clock.world


class UART(io.IOBase):
    """One port. `any`, `read`, `readinto`, `readline` never wait longer than `timeout`."""

    def __init__(self, id, baudrate=115200, bits=8, parity=None, stop=1, **named):
        if id not in (0, 1, 2):
            raise ValueError(f"UART({id}) doesn't exist")
        self._id = id
        self._tx = self._rx = None
        self._buffer_bytes = _BUFFER
        self._timeout_ms = 0
        self._received = b""
        self.init(baudrate, bits, parity, stop, **named)

    def init(self, baudrate=115200, bits=8, parity=None, stop=1, *, tx=None, rx=None, rxbuf=None, txbuf=None, timeout=None, timeout_char=None):
        """Set the line up."""
        if rxbuf is not None and rxbuf < _MIN_BUFFER:
            raise ValueError("rxbuf too small")
        self._buffer_bytes = rxbuf or self._buffer_bytes
        self._timeout_ms = self._timeout_ms if timeout is None else timeout
        self._tx = self._tx if tx is None else getattr(tx, "id", tx)
        self._rx = self._rx if rx is None else getattr(rx, "id", rx)
        wiring = clock.settings["wiring"]
        is_meter = self._id == wiring["uart_id"] and _world.meter.BUS == "uart"
        self._meter = _world.meter if is_meter else None
        self._hears = is_meter and self._rx == wiring["uart_rx"]
        self._reaches = is_meter and self._tx == wiring["uart_tx"]
        self._line = None
        if self._id == _LINK_ID and (self._tx, self._rx) == (wiring["link_tx"], wiring["link_rx"]) and clock.settings["link_line"]:
            from line import Line

            self._line = Line(clock.settings["link_line"])
        self._format = (baudrate, bits, parity, stop)
        if self._hears:
            _world.meter.listen(_world.now_us)

    def deinit(self):
        """Stop receiving."""
        self._hears = self._reaches = False

    def any(self):
        """Return how many bytes can be read at once."""
        self._take_in()
        return len(self._received)

    def read(self, nbytes=None):
        """Return what has arrived, `nbytes` at most; None when there is nothing within the timeout."""
        self._wait()
        length = len(self._received) if nbytes is None else min(nbytes, len(self._received))
        data, self._received = self._received[:length], self._received[length:]
        return data or None

    def readinto(self, buf, nbytes=None):
        """Fill a buffer with what has arrived; return how many bytes, or None."""
        if self._line:
            return self._line.readinto(buf)
        data = self.read(len(buf) if nbytes is None else min(nbytes, len(buf)))
        if data is None:
            return None
        buf[: len(data)] = data
        return len(data)

    def readline(self):
        """Return what has arrived up to a newline."""
        self._wait()
        end = self._received.find(b"\n")
        return self.read(None if end < 0 else end + 1)

    def write(self, buf):
        """Send bytes; return how many."""
        if self._line:
            return self._line.write(buf)
        if self._reaches and self._format == self._meter.FORMAT:
            faults = _world.bus_faults
            try:
                self._meter.receive(faults.pass_on(bytes(buf)), _world.now_us)
            except NotImplementedError:  # of a register that only a flipped address reaches
                if not faults.flip_ppm:
                    raise
        return len(buf)

    def flush(self):
        """Wait until all is sent: the model takes it at once."""

    def ioctl(self, request, argument):
        """Give `select` something to wait for."""
        if request == _GET_FILENO and self._line:
            return self._line.fd
        raise NotImplementedError("simulator: asyncio over the meter's UART")

    def _wait(self):
        end_ms = _world.now_ms + self._timeout_ms
        self._take_in()
        while not self._received and _world.now_ms < end_ms:
            clock.sleep(1)
            self._take_in()

    def _take_in(self):
        """Take what has come over the line since the last time, as this port's format makes it look."""
        if not self._hears:
            return
        data = self._meter.sent(_world.now_us)
        if not data:
            return
        if _world.bus_faults.stuck is not None:  # low looks like a break without end, high like silence
            return
        baudrate, bits, parity, _ = self._format
        if baudrate != self._meter.FORMAT[0] or bits != 8:
            data = bytes([(byte * 7 ^ 0x35) & 0xFF for byte in data])  # anything but the truth
        elif parity != self._meter.FORMAT[2]:
            data = bytes([byte for byte in data if _ones(byte) & 1])  # the others have no stop bit where it should be
        data = _world.bus_faults.pass_on(data)
        self._received += data[: max(0, self._buffer_bytes - len(self._received))]


def _ones(byte):
    count = 0
    while byte:
        count += byte & 1
        byte >>= 1
    return count


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(UART, ("init", "any", "read", "readinto", "readline", "write"))
