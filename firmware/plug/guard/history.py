"""What the guard must remember over a reboot: the latched trip, wear, and what happened lately.

Nobody knows how long a plug was without power. So what an earlier run counted is taken to have happened when this one began, and only time
that is spent running makes it old: a count can be too high, never too low.
"""

from micropython import const

BROWN_OUTS = const(3)  # within _BROWN_OUT_MS lock out
WATCHDOGS = const(3)  # within _HOUR_MS latch
CLOSINGS = const(6)  # within _HOUR_MS are the most
_BROWN_OUT_MS = const(600_000)
_HOUR_MS = const(3_600_000)


class Recent:
    """Events of the last `window_ms`; `limit` of them make it full."""

    def __init__(self, limit, window_ms, count):
        self._limit = limit
        self._window_ms = window_ms
        self._times = [None] * min(count, limit)

    def __len__(self):
        return len(self._times)

    def is_full(self, now_ms):
        """Tell whether `limit` events lie in the window that ends now."""
        self.forget_old(now_ms)
        return len(self._times) >= self._limit

    def add(self, now_ms):
        """Count an event."""
        self.forget_old(now_ms)
        if len(self._times) == self._limit:
            self._times.pop(0)
        self._times.append(now_ms)

    def forget_old(self, now_ms):
        """Drop what has left the window; return whether anything has."""
        times = self._times
        if not times:
            return False
        if times[0] is None:  # of an earlier run
            self._times = [now_ms if time is None else time for time in times]
            return False
        if now_ms - times[0] < self._window_ms:
            return False
        self._times = [time for time in times if now_ms - time < self._window_ms]
        return True


class History:
    """The guard's journalled state; `dirty` when it is not what was saved last."""

    def __init__(self, state):
        state = state or {}
        self.trip = state.get("trip") or None
        self.detail = state.get("detail", "")
        self.last_trip = state.get("last_trip", "")
        self.trips = state.get("trips", 0)
        self.wear = state.get("wear", 0)
        self.is_outage = bool(state.get("outage", 0))  # counted already, should it end as a power cut
        self.brown_outs = Recent(BROWN_OUTS, _BROWN_OUT_MS, state.get("brown_outs", 0))
        self.watchdogs = Recent(WATCHDOGS, _HOUR_MS, state.get("watchdogs", 0))
        self.closings = Recent(CLOSINGS, _HOUR_MS, state.get("closings", 0))
        self.dirty = False

    def to_state(self):
        """Return it as a dict of ints and strings."""
        return {
            "trip": self.trip or "",
            "detail": self.detail,
            "last_trip": self.last_trip,
            "trips": self.trips,
            "wear": self.wear,
            "outage": int(self.is_outage),
            "brown_outs": len(self.brown_outs),
            "watchdogs": len(self.watchdogs),
            "closings": len(self.closings),
        }

    def latch(self, code, detail):
        """Latch a trip."""
        self.trip = self.last_trip = code
        self.detail = detail
        self.trips += 1
        self.dirty = True

    def unlatch(self):
        """Forget the latched trip; `last_trip` stays."""
        self.trip = None
        self.detail = ""
        self.dirty = True

    def count(self, recent, now_ms):
        """Count an event in one of the three lists."""
        recent.add(now_ms)
        self.dirty = True

    def note_outage(self, is_outage):
        """Note that an outage has begun or ended."""
        self.is_outage = is_outage
        self.dirty = True

    def count_wear(self):
        """Count an opening under load."""
        self.wear += 1
        self.dirty = True

    def reset_wear(self):
        """Begin a new wear budget: the contactor was replaced."""
        self.wear = 0
        self.dirty = True

    def forget_old(self, now_ms):
        """Let what is old go."""
        for recent in (self.brown_outs, self.watchdogs, self.closings):
            if recent.forget_old(now_ms):
                self.dirty = True
