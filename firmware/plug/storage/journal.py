"""The newest state of the plug in two slots: a write always goes to the older one, so a power cut leaves the other whole."""

from plug.errors import JournalError
from plug.storage import record


class Journal:
    """Two-slot store of one bytes value below `path`."""

    def __init__(self, path):
        self._slots = (path + ".0", path + ".1")
        self._sequence = 0
        self._next = 0

    def load(self):
        """Return the newest value, or None before the first `store`.

        Raises JournalError where slots exist but neither can be trusted: a damaged journal must never read as a new one.
        """
        found = [record.read(slot) for slot in self._slots]
        if found == [None, None]:
            if any(record.exists(slot) for slot in self._slots):
                raise JournalError(f"both slots of {self._slots[0]} are damaged: the register's total is unknown; the contactor stays open")
            return None
        newest = 1 if found[0] is None or (found[1] is not None and found[1][0] > found[0][0]) else 0
        self._sequence, payload = found[newest]
        self._next = 1 - newest
        return payload

    def store(self, payload):
        """Make `payload` the newest value; it is in flash when this returns."""
        record.write(self._slots[self._next], self._sequence + 1, payload)
        self._sequence += 1
        self._next = 1 - self._next
