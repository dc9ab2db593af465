"""MicroPython's `time` as on the ESP32, on virtual time: ticks wrap at 2^30, the epoch is the year 2000, and at power-on it is that year.

Imported before asyncio's core, it also gives asyncio a task queue that runs on this clock: the built-in one reads the real clock.
"""

import sys

import clock
import utime

_PERIOD = 1 << 30
_HALF = 1 << 29
_EPOCH_S = 946_684_800  # 2000-01-01 in the Unix time of utime
_START_MS = clock.settings["start_ms"]


def ticks_ms():
    """Return milliseconds, modulo 2^30."""
    return clock.look() + _START_MS & _PERIOD - 1


def ticks_us():
    """Return microseconds, modulo 2^30."""
    clock.look()
    return clock.world.now_us + _START_MS * 1000 & _PERIOD - 1


ticks_cpu = ticks_us


def ticks_add(ticks, delta):
    """Return `ticks` moved by `delta`; raise OverflowError where ticks_diff could not measure it."""
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")
    return ticks + delta & _PERIOD - 1


def ticks_diff(end, start):
    """Return the signed distance from `start` to `end`."""
    return (end - start + _HALF & _PERIOD - 1) - _HALF


def sleep(seconds):
    """Sleep for a number of seconds."""
    sleep_ms(int(seconds * 1000))


def sleep_ms(milliseconds):
    """Sleep for whole milliseconds."""
    if milliseconds > 0:
        clock.sleep(milliseconds)


def sleep_us(microseconds):
    """Sleep for microseconds."""
    if microseconds > 0:
        clock.sleep_us(microseconds)


def time():
    """Return seconds since 2000-01-01, which is when it was switched on unless machine.RTC was set."""
    return clock.look() // 1000 + clock.rtc_ahead_s


def time_ns():
    """Return nanoseconds since 2000-01-01."""
    clock.look()
    return clock.world.now_us * 1000 + clock.rtc_ahead_s * 1_000_000_000


def gmtime(seconds=None):
    """Return (year, month, day, hour, minute, second, weekday, day of the year)."""
    return utime.gmtime((time() if seconds is None else seconds) + _EPOCH_S)[:8]


localtime = gmtime


def mktime(fields):
    """Return the seconds since 2000-01-01 of a tuple as gmtime gives it."""
    days = fields[2] - 1 + (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)[fields[1] - 1]
    year = fields[0] - 2000
    if fields[1] > 2 and _is_leap(fields[0]):
        days += 1
    days += year * 365 + (year + 3) // 4 - (year + 99) // 100 + (year + 399) // 400
    return ((days * 24 + fields[3]) * 60 + fields[4]) * 60 + fields[5]


def _is_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


import tasks  # noqa: E402  it needs ticks_ms above

sys.modules["_asyncio"] = tasks

if clock.settings["cpu_scale"]:
    import cpu

    ticks_ms, ticks_us, sleep, sleep_ms, sleep_us = [cpu.charged(function) for function in (ticks_ms, ticks_us, sleep, sleep_ms, sleep_us)]
    ticks_cpu = ticks_us
    time, time_ns = cpu.charged(time), cpu.charged(time_ns)
    cpu.charge_class(tasks.TaskQueue, ("push", "pop", "peek", "remove"))
