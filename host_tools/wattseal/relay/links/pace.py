"""How fast one plug may speak: a token bucket."""

# An honest plug says five things a minute, and about a hundred at once after a week offline (32 sessions, two messages each).
MESSAGES_PER_S = 50
BURST = 500


class Pace:
    """One plug's bucket; times are seconds of the loop's clock."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens: float = BURST
        self._at: float = 0

    def take(self, now_s: float) -> bool:
        """Return whether one more message is allowed now, and count it if it is."""
        if self._filled(now_s) < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self, now_s: float, cost: int = 1) -> float:
        """Count one more message, or `cost` of them, and return for how many seconds it has to wait."""
        self._tokens = self._filled(now_s) - cost
        return max(-self._tokens / MESSAGES_PER_S, 0)

    def is_rested(self, now_s: float) -> bool:
        """Return whether a whole burst is allowed again."""
        return self._filled(now_s) >= BURST

    def _filled(self, now_s: float) -> float:
        self._tokens = min(self._tokens + (now_s - self._at) * MESSAGES_PER_S, BURST)
        self._at = now_s
        return self._tokens
