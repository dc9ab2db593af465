"""The control channel: newline-delimited JSON over TCP to the harness, by which it runs time and moves the world.

Each command gets one reply. Time passes only within a `run`; its reply comes when the firmware has done what was due then.
"""

import json
import socket

import process

# Keys of each command, required ones first; those of plug_in are checked by Car.
_KEYS = {
    "run": ("ms", "until"),
    "plug_in": None,
    "unplug": (),
    "state": (),
    "mains": ("voltage_mv",),
    "fault": ("i2c", "i2c_late", "meter_reset"),
}
_EVENTS = ("contactor_open", "contactor_closed", "car_full")
_RECEIVE_BYTES = 1024


class Control:
    """One connection to the harness at `address` ([host, port]), for `world`. Raises OSError when nobody listens there."""

    def __init__(self, address, world):
        self._world = world
        self._received = b""
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
        elif self._world.now_ms >= self.run_end_ms:
            self._reason = "elapsed"
        else:
            return
        self.run_end_ms = self.until = None

    def _carry_out(self, line):
        command = json.loads(line)
        name = command.pop("cmd", None) if isinstance(command, dict) else None
        if name not in _KEYS:
            raise ValueError("cmd must be one of {}: {!r:.80}".format(", ".join(sorted(_KEYS)), line))
        known = _KEYS[name]
        for key in command:
            if known is not None and key not in known:
                raise ValueError("{} has no key {}; known: {}".format(name, key, ", ".join(known)))
        getattr(self, "_" + name)(command)
        if name != "run":
            self._reply(name, None)

    def _run(self, command):
        until = command.get("until")
        if until is not None and until not in _EVENTS:
            raise ValueError("until must be null or one of {}, not {!r}".format(", ".join(_EVENTS), until))
        self.run_end_ms = self._world.now_ms + _count(command, "ms")
        self.until = until

    def _plug_in(self, command):
        self._world.plug_in(command)

    def _unplug(self, command):
        self._world.unplug()

    def _state(self, command):
        pass

    def _mains(self, command):
        self._world.set_mains(_count(command, "voltage_mv"))

    def _fault(self, command):
        if len(command) != 1:
            raise ValueError("fault takes exactly one of {}".format(", ".join(_KEYS["fault"])))
        if "i2c" in command:
            self._world.failing_transfers = _count(command, "i2c")
        elif "i2c_late" in command:
            self._world.late_failures = _count(command, "i2c_late")
        else:
            self._world.meter.reset(self._world.now_ms)

    def _reply(self, name, reason):
        reply = self._world.state()
        reply["reply"] = name
        reply["reason"] = reason
        self._send(reply)

    def _send(self, reply):
        try:
            self.socket.write(json.dumps(reply) + "\n")
        except OSError:
            process.end(process.HARNESS_GONE, "the harness closed the control channel")


def _count(command, key):
    value = command.get(key)
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} must be a whole number >= 0, not {value!r}")
    return value
