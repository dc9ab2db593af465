"""What is due at which moment: named timers in the order of their time."""

NEVER = float("inf")


class Agenda:
    """Timers; `next_us` is when the first one is due, NEVER without any."""

    def __init__(self):
        self.next_us = NEVER
        self._timers = []  # (due_us, name, action), the first one last; of those due together the one set first

    def set(self, name, due_us, action):
        """Let `action()` be called at `due_us`, in place of what the name stood for. A name of None replaces nothing."""
        timers = self._timers
        if name is not None:
            self.cancel(name)
        place = 0
        while place < len(timers) and timers[place][0] > due_us:
            place += 1
        timers.insert(place, (due_us, name, action))
        self.next_us = timers[-1][0]

    def cancel(self, name):
        """Forget a timer, if it is set."""
        timers = self._timers
        for i in range(len(timers)):
            if timers[i][1] == name:
                timers.pop(i)
                self.next_us = timers[-1][0] if timers else NEVER
                return

    def due_us(self, name):
        """Return when the named timer is due, None when it is not set."""
        for due_us, other, _ in self._timers:
            if other == name:
                return due_us
        return None

    def take(self):
        """Take out the first timer and return its action."""
        action = self._timers.pop()[2]
        self.next_us = self._timers[-1][0] if self._timers else NEVER
        return action
