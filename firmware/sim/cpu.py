"""The time that the firmware computes: CPU time between two entries into the simulator, charged as virtual time.

`charged(function)` makes a function an entry: what the firmware computed since the simulator was left passes in the world before it runs.
Most garbage is the simulator's, so it collects it, often enough that the firmware needs not: what gc.collect() in the firmware takes is charged.
"""

import gc
from array import array

import process

_THREAD_CPU_TIME = 3  # CLOCK_THREAD_CPUTIME_ID of Linux
_CALIBRATIONS = 200
_ENTRIES = 400  # between two collections: they leave some 50 KB of garbage

_clock_gettime = process.clock_gettime()
_timespec = array("l", (0, 0))
_scale = 0
_overhead_ns = 0  # of an entry that follows at once
_left_ns = 0
_debt_ns = 0.0
_entries = 0
_depth = 1  # 0 while the firmware computes
_spend_us = None


def now_ns():
    """Return the CPU time of this thread."""
    _clock_gettime(_THREAD_CPU_TIME, _timespec)
    return _timespec[0] * 1_000_000_000 + _timespec[1]


def start(scale, spend_us):
    """Begin to charge `scale` virtual nanoseconds for each real one, by calls of spend_us(whole microseconds)."""
    global _scale, _overhead_ns, _spend_us
    entries = []
    _scale, _spend_us = 1000, entries.append  # measures the empty entry: a call that does nothing costs the firmware nothing
    nothing = charged(lambda: None)
    leave()
    for _ in range(_CALIBRATIONS):
        nothing()
    enter()
    _overhead_ns = sorted(entries)[len(entries) // 2]
    _scale, _spend_us = scale, spend_us
    leave()


def enter():
    """Charge what the firmware computed since `leave`."""
    global _depth, _debt_ns, _entries
    _depth += 1
    if _depth == 1:
        _debt_ns += max(0, now_ns() - _left_ns - _overhead_ns) * _scale
        if _debt_ns >= 1000:
            us = int(_debt_ns / 1000)
            _debt_ns -= us * 1000
            _spend_us(us)
        _entries += 1
        if _entries > _ENTRIES:
            _entries = 0
            gc.collect()


def leave():
    """Note that the firmware computes from here on."""
    global _depth, _left_ns
    _depth -= 1
    if not _depth:
        _left_ns = now_ns()


def call(function, argument):
    """Call the firmware from within the simulator, as an interrupt does, and charge what it computes."""
    global _depth
    depth, _depth = _depth, 1
    leave()
    try:
        function(argument)
    finally:
        enter()
        _depth = depth


def charged(function):
    """Return the function as an entry into the simulator."""

    def entry(*arguments, **named):
        if _depth:  # the simulator calls itself
            return function(*arguments, **named)
        enter()
        try:
            return function(*arguments, **named)
        finally:
            leave()

    return entry


def charge_class(owner, names):
    """Make methods of a class entries."""
    for name in names:
        setattr(owner, name, charged(getattr(owner, name)))
