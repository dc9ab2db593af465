"""Whether the contacts do what the coil says: watched all the time, and tested before every closing."""

from micropython import const

from plug.guard.codes import CLOSED_AT_BOOT, STUCK_OPEN, WELD
from plug.guard.poles import Poles

LONGEST_LOOK_MS = const(20)  # what one look at the poles counts for: a stall must not make a weld out of what was true before it
_DEFAULT_NO_LOAD_MA = const(500)
_DEFAULT_INTERVAL_MS = const(10)
_WELD_MS = const(500)  # a pole may show live this long with the coil released
_STUCK_MS = const(200)  # a pole may show dead this long with the coil driven
_BLIND_CLOSE_MS = const(50)  # what contacts get to follow where nothing senses them
_WELD_CURRENT_MS = const(2_000)  # current with the coil released; the meter's average lags by half a second
_SELF_CHECK_MS = const(1_000)
_BOTH = const(3)
_NAMES = ("no pole", "line", "neutral", "line and neutral")  # by the bits of Poles


class Contacts:
    """Both poles' load sides, or without a LoadSense only the current that must not flow."""

    def __init__(self, load_sense, limits, is_welded):
        self._poles = None if load_sense is None else Poles(load_sense, limits.get("sample_interval_ms", _DEFAULT_INTERVAL_MS))
        self._leak_limit_ma = 2 * limits.get("no_load_ma", _DEFAULT_NO_LOAD_MA)
        self._wrong_ms = 0  # how long a pole has not been what the coil says
        self._leak_ms = 0
        self._check_ms = 0
        self._has_booted = False  # a self-check has passed since boot
        self.is_checked = False  # ... since boot, outage or trip
        self.is_welded = is_welded
        self._was_driven = False
        self.are_closed = False  # confirmed since the coil was driven

    @property
    def are_open(self):
        """Tell whether both poles are dead; without sense pins, nothing denies it."""
        return self._poles is None or self._poles.are_dead

    @property
    def are_leaking(self):
        """Tell whether current flows with the coil released."""
        return self._leak_ms > 0

    @property
    def weld(self):
        """Return "welded", "ok", or "unknown" without sense pins and before the first self-check."""
        if self.is_welded:
            return "welded"
        return "ok" if self._poles is not None and self._has_booted else "unknown"

    def restart_test(self):
        """Begin the test of both poles before a closing."""
        if self._poles is not None:
            self._poles.restart()

    def restart_self_check(self):
        """Let nothing close before the next self-check."""
        self.is_checked = False
        self._check_ms = 0

    def confirm(self, in_state_ms):
        """Return whether the contacts have followed the driven coil."""
        self.are_closed = self._poles.are_live if self._poles is not None else in_state_ms >= _BLIND_CLOSE_MS
        return self.are_closed

    def sample(self, is_driven, has_mains, elapsed_ms):
        """Look at the poles; return the code of a trip or None. Without mains a dead pole says nothing."""
        if is_driven != self._was_driven:
            self._was_driven = is_driven
            self.are_closed = False
            self._wrong_ms = 0
        poles = self._poles
        if poles is None:
            return None
        poles.sample()
        if elapsed_ms > LONGEST_LOOK_MS:
            elapsed_ms = LONGEST_LOOK_MS
        if is_driven:
            if poles.are_live or not self.are_closed or not has_mains:
                self._wrong_ms = 0
                return None
            self._wrong_ms += elapsed_ms
            return STUCK_OPEN if self._wrong_ms >= _STUCK_MS else None
        if not poles.live:
            self._wrong_ms = 0
        elif self._wrong_ms < _WELD_MS:
            self._wrong_ms += elapsed_ms
        elif not self.is_welded:
            return self.found_weld()
        return None

    def name_suspects(self, is_driven):
        """Return which poles are not what the coil says, in words."""
        if self._poles is None:
            return "contacts"
        return _NAMES[_BOTH & ~self._poles.live if is_driven else self._poles.live]

    def found_weld(self):
        """Take that the contacts are welded; return the trip's code."""
        self.is_welded = True
        return WELD if self._has_booted else CLOSED_AT_BOOT

    def watch_leak(self, is_driven, current_ma, elapsed_ms):
        """Take the current; return a trip's code when it flows with the coil released: a weld that needs no sense pins to be seen."""
        if is_driven or current_ma is None or current_ma <= self._leak_limit_ma:
            self._leak_ms = 0
        elif self._leak_ms < _WELD_CURRENT_MS:
            self._leak_ms += elapsed_ms
        elif not self.is_welded:
            return self.found_weld()
        return None

    def self_check(self, is_mains_healthy, elapsed_ms):
        """Go on with the self-check: a second of healthy mains with both poles dead. Returns whether it has passed just now."""
        if self.is_checked:
            return False
        if is_mains_healthy and self.are_open and not self.is_welded and not self._leak_ms:
            self._check_ms += elapsed_ms
        else:
            self._check_ms = 0
        if self._check_ms < _SELF_CHECK_MS:
            return False
        self.is_checked = self._has_booted = True
        return True
