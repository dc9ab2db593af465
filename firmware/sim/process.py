"""How the simulated processor stops: at once, as power or reset stop it. No `finally` runs, no exception passes through the firmware."""

import sys

import ffi

HARNESS_GONE = 0
RESET = 3
WATCHDOG = 4
BROWN_OUT = 5

_libc = ffi.open("libc.so.6")
_exit = _libc.func("v", "_exit", "i")


def end(status, why):
    """End the process with that exit status; say why on stderr."""
    sys.stderr.write(f"simulator: {why}\n")
    _exit(status)


def clock_gettime():
    """Return the C function of that name: (clock id, buffer for a timespec)."""
    return _libc.func("i", "clock_gettime", "ip")
