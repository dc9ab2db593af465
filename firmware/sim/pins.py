"""The levels at the processor's pins: what outputs drive, what the world puts on inputs, and which interrupts that raises."""

RISING, FALLING = 1, 2


class Pins:
    """`outputs` holds what each output drives, None where it floats. `read_world(pin)` gives an input's level, None where nothing is connected."""

    def __init__(self, read_world):
        self.outputs = {}
        self.pulls = {}
        self.forced = {}  # levels that the harness puts on inputs
        self.pending = []  # (handler, its argument)
        self.is_masked = False
        self._read_world = read_world
        self._watched = {}  # pin: [handler, trigger, argument, level]

    def level(self, pin):
        """Return an input's level."""
        level = self.forced.get(pin)
        if level is None:
            level = self._read_world(pin)
        return self.pulls.get(pin, 0) if level is None else level

    def watch(self, pin, handler, trigger, argument):
        """Call `handler(argument)` at every edge of `trigger`; no longer when `handler` is None."""
        self._watched.pop(pin, None)
        if handler is not None:
            self._watched[pin] = [handler, trigger, argument, self.level(pin)]

    def is_watched(self, pin):
        """Tell whether edges of that pin matter to anybody."""
        return pin in self._watched

    def has_watchers(self):
        """Tell whether any edge matters to anybody."""
        return bool(self._watched)

    def changed(self):
        """Look at the watched inputs; each edge of interest makes its handler pending."""
        for pin, watch in self._watched.items():
            level = self.level(pin)
            if level != watch[3]:
                watch[3] = level
                if watch[1] & (RISING if level else FALLING):
                    self.pending.append((watch[0], watch[2]))

    def dispatch(self):
        """Call the pending handlers, none within another; return whether any was called."""
        if self.is_masked or not self.pending:
            return False
        self.is_masked = True
        try:
            while self.pending:
                handler, argument = self.pending.pop(0)
                self.call(handler, argument)
        finally:
            self.is_masked = False
        return True

    def call(self, handler, argument):
        """Call a handler; whoever charges its computing puts something else in this place."""
        handler(argument)
