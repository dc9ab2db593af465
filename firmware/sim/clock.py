"""Virtual time for `time` and `select`: the processor takes no time to compute, and while it waits the world goes on.

Without a control channel time flows at the set speed; with one, only within a `run`. Real sockets are served all the while.
"""

from math import ceil

import config
import process
import uselect
import utime
from control import Control
from world import World

_LOOKS = 1000  # so many looks at a clock that stands still cost 1 ms: a loop that waits for it must end


def _watchdog():
    process.end(process.WATCHDOG, f"the watchdog was not fed in time, at {world.now_ms} ms")


settings = config.load()
world = World(settings, _watchdog)
control = Control(settings["control"], world) if settings["control"] else None
_speed = settings["speed"]
_anchor_ms, _anchor_real_ms = 0, utime.ticks_ms()
_looked_at_ms = _looks = 0


def new_poller():
    """Return a real poll object that also wakes for the control channel."""
    poller = uselect.poll()
    if control:
        poller.register(control.socket, uselect.POLLIN)
    return poller


_no_sockets = new_poller()


def look():
    """Return virtual milliseconds since boot."""
    global _looked_at_ms, _looks
    now_ms = world.now_ms
    if now_ms != _looked_at_ms:
        _looked_at_ms, _looks = now_ms, 0
    _looks += 1
    if _looks > _LOOKS:
        _looks = 0
        _spin()
    return world.now_ms


def sleep(milliseconds):
    """Let that much virtual time pass."""
    end_ms = world.now_ms + milliseconds
    while world.now_ms < end_ms:
        wait(_no_sockets, end_ms)


def wait(poller, end_ms):
    """Wait for sockets of `poller` until virtual time `end_ms` (None: for ever); return [(socket, event), ...], empty when none is ready."""
    while True:
        ready = _look_at_sockets(poller, 0)
        if ready or (end_ms is not None and world.now_ms >= end_ms):
            return ready
        is_still = control and control.run_end_ms is None
        ready = _stand_still(poller) if is_still else _go_on(poller, end_ms)
        if ready or (end_ms is not None and world.now_ms >= end_ms):
            return ready


def _stand_still(poller):
    control.serve()
    ready = () if control.run_end_ms is not None else _look_at_sockets(poller, -1)
    if not ready:
        control.serve()
    if control.run_end_ms is not None:
        _anchor()
        control.end_run()
    return ready


def _go_on(poller, end_ms):
    """Let virtual time pass up to `end_ms`, the run's end or its event, no faster than the set speed; return ready sockets."""
    ready = ()
    if control:
        end_ms = control.run_end_ms if end_ms is None else min(end_ms, control.run_end_ms)
    elif end_ms is None:
        end_ms = world.watchdog_ms
        if end_ms is None:
            return _look_at_sockets(poller, -1)
    if _speed:
        ahead_ms = end_ms - _allowed_ms()
        if ahead_ms > 0:
            ready = _look_at_sockets(poller, ceil(ahead_ms / _speed))
        end_ms = min(end_ms, _allowed_ms())
    world.advance(end_ms, control.until if control else None)
    if control:
        control.end_run()
    return ready


def _allowed_ms():
    return _anchor_ms + int(utime.ticks_diff(utime.ticks_ms(), _anchor_real_ms) * _speed)


def _anchor():
    """Count the speed from here."""
    global _anchor_ms, _anchor_real_ms
    _anchor_ms, _anchor_real_ms = world.now_ms, utime.ticks_ms()


def _spin():
    if control and control.run_end_ms is None:
        _look_at_sockets(_no_sockets, 1)
        control.serve()
        _anchor()
    else:
        wait(_no_sockets, world.now_ms + 1)


def _look_at_sockets(poller, timeout_ms):
    ready = poller.poll(timeout_ms)
    if not ready or not control:
        return ready
    others = []
    for entry in ready:
        if entry[0] is control.socket:
            control.receive()
        else:
            others.append(entry)
    return others
