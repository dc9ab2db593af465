"""MicroPython's `select.poll` on real sockets and virtual time."""

import clock
import uselect

POLLIN, POLLOUT, POLLERR, POLLHUP = uselect.POLLIN, uselect.POLLOUT, uselect.POLLERR, uselect.POLLHUP


class poll:  # noqa: N801  MicroPython's name
    """Waits for sockets; while none is ready, virtual time goes on up to the timeout."""

    def __init__(self):
        self._poller = clock.new_poller()

    def register(self, stream, eventmask=POLLIN | POLLOUT):
        """Watch a stream."""
        self._poller.register(stream, eventmask)

    def unregister(self, stream):
        """Watch it no longer."""
        self._poller.unregister(stream)

    def modify(self, stream, eventmask):
        """Change what is watched of a stream."""
        self._poller.modify(stream, eventmask)

    def poll(self, timeout=-1):
        """Return [(stream, event), ...] of those that are ready, after `timeout` virtual milliseconds at most (-1: no limit)."""
        return list(self.ipoll(timeout))

    def ipoll(self, timeout=-1, flags=0):
        """Return an iterator over what `poll` returns. One-shot flags are not simulated."""
        if flags:
            raise NotImplementedError("simulator: ipoll flags")
        return clock.wait(self._poller, None if timeout < 0 else clock.look() + timeout)


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(poll, ("register", "unregister", "modify", "poll", "ipoll"))
