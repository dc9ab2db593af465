"""The other end of a serial line outside the simulated world: a device file of the host, such as a pseudo terminal."""

import ffi

_FLAGS = 2 | 0o400 | 0o4000  # O_RDWR, O_NOCTTY, O_NONBLOCK of Linux on x86
_libc = ffi.open("libc.so.6")
_open = _libc.func("i", "open", "si")
_read = _libc.func("l", "read", "iPL")
_write = _libc.func("l", "write", "iPL")


class Line:
    """`path`, opened to be read and written without waiting; `fd` can be polled."""

    def __init__(self, path):
        self.fd = _open(path, _FLAGS)
        if self.fd < 0:
            raise OSError(f"simulator: the serial line {path} cannot be opened")

    def readinto(self, buffer):
        """Take what has come; return how many bytes, None for none."""
        count = _read(self.fd, buffer, len(buffer))
        return count if count > 0 else None

    def write(self, data):
        """Send what the host takes at once; the rest is lost, as on a line that nobody reads."""
        _write(self.fd, data, len(data))
        return len(data)
