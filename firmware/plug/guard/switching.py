"""The state machine over the contactor: closes on a claim after testing both poles, opens on the end of it or on a trip."""

from micropython import const

from plug.errors import Tripped
from plug.guard import codes
from plug.guard.coil import LOW_MA, Coil
from plug.guard.contacts import LONGEST_LOOK_MS, Contacts
from plug.guard.history import CLOSINGS, History
from plug.guard.limits import NEVER, Mains
from plug.guard.temperature import Temperatures

OPEN = "open"
WAITING = "waiting"
CLOSING = "closing"
CLOSED = "closed"
OPENING = "opening"
TRIPPED = "tripped"

_LOW_CURRENT_MS = const(2_000)  # what an end waits for low current
_TEST_MS = const(500)  # both poles must show dead within this before a closing
_CLOSE_MS = const(200)  # both poles must show live within this after the coil
_LONGEST_STATE_MS = const(100_000_000)  # where counting a state's time stops


class Switch:
    """Follows the session's claim as far as mains, contacts, temperatures and times allow. `step` every sample; only it drives the coil."""

    def __init__(self, contactor, load_sense, thermometers, limits, state):
        self.history = History(state)
        self.coil = Coil(contactor, limits, self.history)
        self.contacts = Contacts(load_sense, limits, self.history.trip in (codes.WELD, codes.CLOSED_AT_BOOT))
        self.mains = Mains(limits)
        self.temperatures = Temperatures(thermometers, limits)
        self.wear_budget = limits.get("wear_budget", NEVER)
        self._min_on_ms = limits.get("min_on_ms", 0)
        self._min_off_ms = limits.get("min_off_ms", 0)
        self.state = OPEN if self.history.trip is None else TRIPPED
        self.waits_for = None  # in words, why the contacts are not where the session wants them
        self.outage = False
        self.silent_ms = 0  # since the meter's last good reading
        self._wanted = False
        self._is_final = False  # the newest end of a claim was the end of its session
        self._in_state_ms = 0
        self._delay_ms = 0  # left of the random delay
        self._min_off_left_ms = 0
        self._slow_ms = 0  # of these two that have passed and are not taken off yet

    @property
    def trip(self):
        """Return the code of the latched trip, or None."""
        return self.history.trip

    @property
    def trip_detail(self):
        """Return the latched trip's value with its unit, or an empty string."""
        return self.history.detail

    def want(self, closed, now_ms, final=False):
        """Take the session's claim; the guard follows it when it may.

        `final`: the claim ends with its session, so the minimum times do not hold it. Raises Tripped for a claim to close while a trip is latched.
        """
        if closed:
            if self.history.trip is not None:
                raise Tripped(f"the contactor stays open: {self.history.trip} ({self.history.detail}): clear the trip first")
            self._wanted = True
            return
        self._wanted = False
        self.waits_for = None
        if final:
            self._is_final = True
            self._min_off_left_ms = 0
            if self.coil.is_driven and self.history.trip is None:
                self._enter(OPENING)  # now: the next session's claim must not find it closed

    def emergency_open(self):
        """Release the coil whatever the state; the claim is gone with it."""
        self.coil.release()
        self._wanted = False
        if self.history.trip is None:
            self._enter(OPEN)

    def _step(self, now_ms, elapsed_ms):
        """Move on by one sample."""
        if self.state == CLOSING and elapsed_ms > LONGEST_LOOK_MS:
            elapsed_ms = LONGEST_LOOK_MS
        if self._in_state_ms < _LONGEST_STATE_MS:
            self._in_state_ms += elapsed_ms
        if self.history.trip is not None:
            self.state = TRIPPED
        elif self.coil.is_driven:
            self._step_driven()
        else:
            self._step_released(now_ms)

    def _step_released(self, now_ms):
        """Open, waiting, or testing the poles before the coil."""
        if self.history.wear >= self.wear_budget:
            self._trip(codes.WEAR, self.history.wear, "loaded openings")
            return
        if not self._wanted:
            if self.state != OPEN:
                self._enter(OPEN)
            return
        obstacle = self._obstacle()
        if obstacle is not None:
            if self.state != WAITING:
                self._enter(WAITING)
            self.waits_for = obstacle
        elif self.state != CLOSING:
            self._enter(CLOSING)
            self.contacts.restart_test()
        elif self.contacts.are_open:
            self._close(now_ms)
        elif self._in_state_ms >= _TEST_MS:
            self._trip(self.contacts.found_weld(), self.contacts.name_suspects(False), "live before closing")

    def _close(self, now_ms):
        history = self.history
        if history.closings.is_full(now_ms):
            self._trip(codes.CHATTER, CLOSINGS, "closings in an hour")
            return
        history.count(history.closings, now_ms)
        self._is_final = False
        self._enter(CLOSING)
        self.coil.drive()
        if self.history.trip is not None:  # an interrupt came while the pin was being driven, and its opening was overwritten
            self.coil.release()

    def _step_driven(self):
        """Closing, closed, or waiting for low current to open."""
        state = self.state
        if state == CLOSING:
            if self.contacts.confirm(self._in_state_ms):
                self._enter(CLOSED)
            elif self._in_state_ms < _CLOSE_MS:
                return
            elif self.mains.good_ms > 0:
                self._trip(codes.STUCK_OPEN, self.contacts.name_suspects(True), "dead after closing")
            else:  # without mains no pole can show live
                self.coil.release()
                self._enter(OPEN)
        elif state == CLOSED:
            if self._wanted:
                self.waits_for = None
            elif self._in_state_ms < self._min_on_ms:
                self.waits_for = "minimum on time"
            else:
                self._enter(OPENING)
        elif self._in_state_ms >= _LOW_CURRENT_MS or (self.coil.current_ma is not None and self.coil.current_ma <= LOW_MA):
            self.coil.release()
            self._min_off_left_ms = 0 if self._is_final else self._min_off_ms + self._slow_ms
            self._enter(OPEN)

    def _obstacle(self):
        """Return in words what keeps the contacts open against the claim, or None."""
        if self.outage:
            return "mains"
        if self.silent_ms:
            return "meter"
        if not self.mains.is_healthy:
            return "mains"
        if not self.contacts.is_checked:
            return "self-check"
        if self._delay_ms:
            return "delay after outage"
        if self._min_off_left_ms:
            return "minimum off time"
        if not self.temperatures.are_well:
            return "temperature"
        return None

    def _trip(self, code, value, unit):
        """Open, then latch and format."""
        self.coil.trip()
        self._wanted = False
        self.waits_for = None
        self.state = TRIPPED
        # The first trip stays, but a weld matters more than what the contactor opened for, and anything more than a single reset.
        if self.history.trip in (None, codes.WATCHDOG) or code in (codes.WELD, codes.CLOSED_AT_BOOT):
            self.history.latch(code, "")  # before a text that might find no memory
            self.history.detail = "no reading" if value is None else f"{value} {unit}"

    def _enter(self, state):
        self.state = state
        self._in_state_ms = 0
        self.waits_for = None
