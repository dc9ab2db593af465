"""Virtual time for `time` and `select`: while the processor waits the world goes on, and as far as the settings say while it computes too.

Without a control channel time flows at the set speed; with one, only within a `run`. Real sockets are served all the while.
"""

from math import ceil

import config
import process
import uselect
import utime
from world import World

_LOOKS = 1000  # so many looks at a clock that stands still cost 1 ms: a loop that waits for it must end


def _watchdog():
    process.end(process.WATCHDOG, f"the watchdog was not fed in time, at {world.now_ms} ms")


settings = config.load()
world = World(settings, _watchdog)
control = None
if settings["control"]:
    from control import Control

    control = Control(settings["control"], world)
rtc_ahead_s = 0  # of the time since it was switched on, as machine.RTC was set
_speed = settings["speed"]
_anchor_ms, _anchor_real_ms = 0, utime.ticks_ms()
_looked_at_ms = _looks = 0
_debt_us = 0  # spent while time stood still, or beyond the end of a run


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
    sleep_us(milliseconds * 1000)


def sleep_us(microseconds):
    """Let that much virtual time pass."""
    end_us = world.now_us + microseconds
    while world.now_us < end_us:
        _wait_us(_no_sockets, end_us)


def spend_us(microseconds):
    """Let the world go on by that much, whoever is busy meanwhile: the processor, a bus or the flash.

    Where time may not pass (outside a run, or over its end) it passes at the beginning of the next one.
    """
    global _debt_us
    if microseconds > 0 or _debt_us:
        _debt_us += max(0, microseconds)
        _pay_debt()


def spend_masked_us(microseconds):
    """Let the world go on likewise while no interrupt handler can run: a flash operation stops the processor, and native code is left only at its
    end. What has become pending runs then.
    """
    pins = world.pins
    was_masked, pins.is_masked = pins.is_masked, True
    spend_us(microseconds)
    pins.is_masked = was_masked
    pins.dispatch()


def wait(poller, end_ms):
    """Wait for sockets of `poller` until virtual time `end_ms` (None: for ever); return [(socket, event), ...], empty when none is ready."""
    return _wait_us(poller, None if end_ms is None else end_ms * 1000)


def _wait_us(poller, end_us):
    while True:
        ready = _look_at_sockets(poller, 0)
        if ready and control and control.is_run_next():  # what came after a command to run is not to be handled before it
            _begin_run()
        if ready or (end_us is not None and world.now_us >= end_us):
            return ready
        is_still = control and control.run_end_ms is None
        ready = _stand_still(poller) if is_still else _go_on(poller, end_us)
        if ready or (end_us is not None and world.now_us >= end_us):
            return ready


def _stand_still(poller):
    control.serve()
    ready = () if control.run_end_ms is not None else _look_at_sockets(poller, -1)
    if not ready or control.is_run_next():
        _begin_run()
    return ready


def _begin_run():
    control.serve()
    if control.run_end_ms is not None:
        _anchor()
        _pay_debt()
        _end_run()


def _go_on(poller, end_us):
    """Let virtual time pass up to `end_us`, the run's end or its event, no faster than the set speed; return ready sockets."""
    ready = ()
    if control:
        run_end_us = control.run_end_ms * 1000
        end_us = run_end_us if end_us is None else min(end_us, run_end_us)
    elif end_us is None:
        end_us = _last_event_us()
        if end_us is None:
            return _look_at_sockets(poller, -1)
    if _speed:
        ahead_ms = end_us // 1000 - _allowed_ms()
        if ahead_ms > 0:
            ready = _look_at_sockets(poller, ceil(ahead_ms / _speed))
        end_us = max(min(end_us, _allowed_ms() * 1000), world.now_us)
    world.advance_us(end_us, control.until if control else None)
    _end_run()
    return ready


def _last_event_us():
    """Return up to when time may flow for one who waits for ever: to the watchdog, to the next interrupt, or not at all (None)."""
    if world.watchdog_ms is not None:
        return world.watchdog_ms * 1000
    return world.agenda.next_us if world.pins.has_watchers() else None


def _pay_debt():
    global _debt_us
    while _debt_us:
        end_us = world.now_us + _debt_us
        if control:
            if control.run_end_ms is None:
                return
            end_us = min(end_us, control.run_end_ms * 1000)
        before_us = world.now_us
        debt_us, _debt_us = _debt_us, 0  # a handler that runs meanwhile makes its own
        ran_handler = world.advance_us(end_us, control.until if control else None)
        _debt_us += debt_us - (world.now_us - before_us)
        _debt_us = max(0, _debt_us)
        _end_run()
        if not ran_handler and _debt_us:
            return


def _end_run():
    if control and control.run_end_ms is not None:
        control.end_run()


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
        _wait_us(_no_sockets, world.now_us + 1000)


def _look_at_sockets(poller, timeout_ms):
    ready = poller.poll(timeout_ms)
    return _without_control(ready) if ready and control else ready


def _without_control(ready):
    others = [entry for entry in ready if entry[0] is not control.socket]
    if len(others) < len(ready):
        control.receive()
    return others


if settings["flash_time"]:
    import flash

    flash.on_time = spend_masked_us

if settings["cpu_scale"]:
    # All of the simulator is loaded before its clock starts: loading it is no work of the firmware.
    import select  # noqa: F401
    import time  # noqa: F401

    import adc  # noqa: F401
    import counter  # noqa: F401
    import cpu
    import esp32
    import i2c  # noqa: F401
    import machine  # noqa: F401
    import network  # noqa: F401
    import uart  # noqa: F401

    cpu.charge_class(esp32.NVS, ("__init__", "set_i32", "get_i32", "set_blob", "get_blob", "erase_key", "commit"))
    cpu.charge_class(esp32.Partition, ("__init__", "readblocks", "writeblocks", "ioctl"))
    world.pins.call = cpu.call
    cpu.start(settings["cpu_scale"], spend_masked_us if settings["late_interrupts"] else spend_us)
