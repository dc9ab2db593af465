"""Whether the load side of each pole is live, out of pins that also show leakage.

A pole counts up with each sample that shows it live and down with each that does not, between 0 and 8. It is live from 8 on until it is back
at 0, and dead from 0 on until it is at 8: what shows less than half of the time, as leakage through a charger's filter does, is dead.
"""

from micropython import const

LINE = const(1)
NEUTRAL = const(2)
_BOTH = const(3)
_SAMPLES = const(8)


class Poles:
    """Both poles behind a LoadSense; `sample` every 10 ms."""

    def __init__(self, load_sense):
        self._load_sense = load_sense
        self.restart()

    def restart(self):
        """Forget everything: a pole must show dead 8 times before it is dead again."""
        self._line = self._neutral = _SAMPLES
        self.live = self.dead = 0  # bits of the poles; in neither while unknown

    def sample(self):
        """Look at both pins once."""
        seen = self._load_sense.read()
        self._line = self._count(LINE, seen & LINE, self._line)
        self._neutral = self._count(NEUTRAL, seen & NEUTRAL, self._neutral)

    def _count(self, pole, is_seen, count):
        if is_seen:
            if count < _SAMPLES - 1:
                return count + 1
            self.live |= pole
            self.dead &= ~pole
            return _SAMPLES
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
