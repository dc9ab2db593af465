"""Whether the load side of each pole is live, out of pins that also show leakage.

A pole counts up with each sample that shows it live and down with each that does not, between 0 and what 80 ms hold. It is live from there on
until it is back at 0, and dead from 0 on until it is there: what shows less than half of the time, as leakage through a charger's filter
does, is dead.
"""

from micropython import const

LINE = const(1)
NEUTRAL = const(2)
_BOTH = const(3)
_FILTER_MS = const(80)


class Poles:
    """Both poles behind a LoadSense; `sample` every `interval_ms`."""

    def __init__(self, load_sense, interval_ms):
        self._load_sense = load_sense
        self._samples = max(1, _FILTER_MS // interval_ms)
        self.restart()

    def restart(self):
        """Forget everything: a pole must show dead for the whole of 80 ms before it is dead again."""
        self._line = self._neutral = self._samples
        self.live = self.dead = 0  # bits of the poles; in neither while unknown

    def sample(self):
        """Look at both pins once."""
        seen = self._load_sense.read()
        self._line = self._count(LINE, seen & LINE, self._line)
        self._neutral = self._count(NEUTRAL, seen & NEUTRAL, self._neutral)

    def _count(self, pole, is_seen, count):
        if is_seen:
            if count < self._samples - 1:
                return count + 1
            self.live |= pole
            self.dead &= ~pole
            return self._samples
        if count > 1:
            return count - 1
        self.dead |= pole
        self.live &= ~pole
        return 0

    @property
    def are_dead(self):
        """Tell whether both poles are known to be dead."""
        return self.dead == _BOTH

    @property
    def are_live(self):
        """Tell whether both poles are known to be live."""
        return self.live == _BOTH
