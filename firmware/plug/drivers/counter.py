"""From readings of a wrapping counter to counts that can be trusted: whatever a bus may do to a reading, it books no energy that has not flowed."""

from micropython import const

_MAX_GAP_MS = const(30_000)  # the ADE7953's register may pass half its range in 40.5 s (data sheet page 26): then the sign is lost
_JITTER_MS = const(20)  # between the caller's clock and the reading itself
_PPM = const(1_000_000)


class CheckedCounter:
    """A counter of `bits` bits that moves by at most `max_per_s` counts a second.

    A reading is believed only when it lies between the one before and the one after it; so a single wrong one, in whatever bit,
    is dropped, and what was booked up to the next good one is what the counter moved. What is out of the ordinary (too much for the
    time, a gap over 30 s, a clock that went back) books nothing and starts again; two further readings are then needed.
    Counts are scaled by `gain_ppm` parts per million, what is left of a count is carried. With `wrap_is_doubtful` passing zero forward
    books nothing: the owner could not tell it from a reset of the counter.
    """

    def __init__(self, bits, max_per_s, gain_ppm=0, wrap_is_doubtful=False):
        self._mask = (1 << bits) - 1
        self._sign = 1 << (bits - 1)
        self._max_per_s = max_per_s
        self._gain = _PPM + gain_ppm
        self._wrap_is_doubtful = wrap_is_doubtful
        self._forward = 0  # not yet taken, times a million
        self._reverse = 0
        self.discarded = 0  # readings and intervals that booked nothing
        self._base = None  # the last reading that was booked up to
        self._base_ms = 0
        self._next = None  # the reading after it, to be believed or not
        self._next_ms = 0

    def restart(self):
        """Forget the readings: the next ones have nothing to do with them."""
        self._base = None
        self._next = None

    def discard(self):
        """Forget the readings because they cannot be trusted."""
        self.discarded += 1
        self.restart()

    def read(self, value, now_ms, is_idle=False):
        """Take a reading; `now_ms` is a monotone clock. While `is_idle` (no load) the counter's moves are not booked."""
        if self._next is None:
            self._next, self._next_ms = value, now_ms
            return
        step = self._difference(self._next, value)
        is_doubtful = self._wrap_is_doubtful and step > 0 and value < self._next
        if is_doubtful or not self._is_plausible(step, now_ms - self._next_ms):
            self._restart_at(value, now_ms)
            return
        if self._base is None:
            # Two readings agree: the later one is the base, if it is not the lower. A low base would bill too much.
            if step >= 0:
                self._base, self._base_ms = value, now_ms
        else:
            counts = self._difference(self._base, self._next)
            if counts and step and (counts > 0) != (step > 0):
                self.discarded += 1  # a peak: the reading in the middle was wrong, or the flow turned; the difference is kept
            elif self._is_plausible(counts, self._next_ms - self._base_ms):
                if is_idle:
                    pass
                elif counts >= 0:
                    self._forward += counts * self._gain
                else:
                    self._reverse -= counts * self._gain
                self._base, self._base_ms = self._next, self._next_ms
            else:
                self._restart_at(value, now_ms)
                return
        self._next, self._next_ms = value, now_ms

    def take(self):
        """Return the counts booked since the last call. Forward and reverse never cancel: while both wait, reverse comes at the next call."""
        if self._forward >= _PPM:
            counts, self._forward = divmod(self._forward, _PPM)
            return counts
        counts, self._reverse = divmod(self._reverse, _PPM)
        return -counts

    def _difference(self, before, after):
        """Return after - before, signed, modulo the counter's range."""
        return ((after - before + self._sign) & self._mask) - self._sign

    def _is_plausible(self, counts, elapsed_ms):
        return elapsed_ms <= _MAX_GAP_MS and abs(counts) <= (elapsed_ms + _JITTER_MS) * self._max_per_s // 1000 + 1

    def _restart_at(self, value, now_ms):
        self.discard()
        self._next, self._next_ms = value, now_ms
