"""The control channel: newline-delimited JSON over TCP to the harness, by which it runs time and moves the world.

Each command gets one reply. Time passes only within a `run`; its reply comes when the firmware has done what was due then.
"""

import io
import json
import socket

import commands
import process

_EVENTS = ("contactor_open", "contactor_closed", "car_full")
_RECEIVE_BYTES = 256
_REPLY_BYTES = 1024


class _Reply(io.IOBase):
    """A line in a buffer made at the start: the firmware may leave no heap in one piece."""

    def __init__(self):
        self._buffer = memoryview(bytearray(_REPLY_BYTES))
        self._end = 0

    def write(self, data):
        """Take the next piece (json's side of a stream)."""
        self._buffer[self._end : self._end + len(data)] = data
        self._end += len(data)
        return len(data)

    def line(self, reply):
        """Return a reply as a line, good until the next one."""
        self._end = 0
        json.dump(reply, self)
        self.write(b"\n")
        return self._buffer[: self._end]


class Control:
    """One connection to the harness at `address` ([host, port]), for `world`. Raises OSError when nobody listens there."""

    def __init__(self, address, world):
        self._world = world
        self._received = b""
        self._line = _Reply()
        self._reason = None  # of the run that ended and is not answered yet
        self.until = None
        self.run_end_ms = None  # None: time stands still
        self.socket = socket.socket()
        try:
            self.socket.connect(socket.getaddrinfo(address[0], address[1])[0][-1])
        except OSError as error:
            raise OSError(f"simulator: no harness listens at {address[0]}:{address[1]} ({error})")

    def receive(self):
        """Take in what has arrived; end the process when the harness has closed the connection."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            process.end(process.HARNESS_GONE, "the harness closed the control channel")
        self._received += data

    def is_run_next(self):
        """Tell whether time stands still and a command to run has arrived."""
        return self.run_end_ms is None and b'"run"' in self._received

    def serve(self):
        """Answer the run that ended; then carry out the commands that have arrived, up to the next `run`."""
        if self._reason:
            reason, self._reason = self._reason, None
            self._reply("run", reason)
        while self.run_end_ms is None and b"\n" in self._received:
            line, self._received = self._received.split(b"\n", 1)
            try:
                self._carry_out(line)
            except (ValueError, TypeError) as error:
                self._send({"error": str(error)})

    def end_run(self):
        """End the run when its time is over or its event has come; `serve` answers it."""
        if self.until and self._world.is_reached(self.until):
            self._reason = self.until
        elif self._world.now_us >= self.run_end_ms * 1000:
            self._reason = "elapsed"
        else:
            return
        self.run_end_ms = self.until = None

    def _carry_out(self, line):
        command = json.loads(line)
        name = command.pop("cmd", None) if isinstance(command, dict) else None
        if name == "run":
            self._run(command)
            return
        commands.action(self._world, name, command, line)()
        self._reply(name, None)

    def _run(self, command):
        commands.check_keys("run", command, ("ms", "until"))
        until = command.get("until")
        if until is not None and until not in _EVENTS:
            raise ValueError("until must be null or one of {}, not {!r}".format(", ".join(_EVENTS), until))
        self.run_end_ms = self._world.now_ms + commands.count(command, "ms")
        self.until = until

    def _reply(self, name, reason):
        reply = self._world.state()
        reply["reply"] = name
        reply["reason"] = reason
        self._send(reply)

    def _send(self, reply):
        try:
            self.socket.write(self._line.line(reply))
        except OSError:
            process.end(process.HARNESS_GONE, "the harness closed the control channel")
