"""The guard: every sample it looks at everything that can go wrong, and trips before it does anything else.

`on_over_current` may come between any two lines of `sample` (a scheduled interrupt): it does nothing with a released coil, and the state is
taken from the latched trip each time.
"""

from micropython import const

from plug.errors import Tripped, WeldUnknown
from plug.guard import codes
from plug.guard.clearing import find_cause
from plug.guard.coil import peak_to_rms
from plug.guard.limits import NEVER, I2t
from plug.guard.switching import OPEN, Switch

_LONGEST_STEP_MS = const(1_000)  # between two samples; more is a stall, and counts as this
_SILENCE_MS = const(500)
_SILENT_SAMPLES = const(5)
_SLOW_MS = const(100)
_OUTAGE_OVER_MS = const(5_000)
_DELAY_MIN_MS = const(30_000)
_DELAY_SPREAD_MS = const(270_001)


class Guard(Switch):
    """The only owner of the contactor.

    `limits`: the board's GUARD with `no_load_ma` and `sample_interval_ms` of its METER; an absent key is a limit that is off.
    `load_sense`: a LoadSense or None. `thermometers`: (contacts, plug pins), Thermometer or None each.
    `state`: what `to_state` returned when it was last journalled, or None. `random(n)`: an int from 0 to n - 1.
    """

    def __init__(self, contactor, load_sense, thermometers, limits, state, random):
        super().__init__(contactor, load_sense, thermometers, limits, state)
        self.i2t = I2t(limits.get("continuous_ma", NEVER // 1_000))
        self._instant_ma = peak_to_rms(limits.get("instant_peak_ma", NEVER // 1_000))
        self._silence_ms = max(_SILENCE_MS, _SILENT_SAMPLES * limits.get("sample_interval_ms", 0))
        self._random = random
        self._now_ms = None

    # -- what others see and ask -----------------------------------------------------------------------------------------------------

    @property
    def is_closed(self):
        """Tell whether the coil is driven and the contacts have followed."""
        return self.contacts.are_closed and self.coil.is_driven

    @property
    def is_open(self):
        """Tell whether the coil is released and, where that is sensed, both poles are dead."""
        return not self.coil.is_driven and self.contacts.are_open

    @property
    def weld(self):
        """Return "ok", "welded", or "unknown" on a board without sense pins and before the first self-check."""
        return self.contacts.weld

    @property
    def dirty(self):
        """Tell whether `to_state` must be journalled; set it to False when it is."""
        return self.history.dirty

    @dirty.setter
    def dirty(self, dirty):
        self.history.dirty = dirty

    def to_state(self):
        """Return what must outlive a reboot, as a dict of ints and strings."""
        return self.history.to_state()

    def note_boot(self, cause, was_closed, now_ms):
        """Take why the plug started, once, before the first sample.

        `cause`: "power_on", "reset" or "watchdog". `was_closed`: the journal says a session was charging. A planned reset finds it open, so
        a reset out of charging is a crash and counts like the watchdog's.
        """
        history = self.history
        if cause == "watchdog" or (cause == "reset" and was_closed):
            history.count(history.watchdogs, now_ms)
            code = codes.WATCHDOG_LOOP if history.watchdogs.is_full(now_ms) else codes.WATCHDOG
            self._trip(code, len(history.watchdogs), "in an hour")
        elif was_closed or history.is_outage:
            self._delay_ms = _DELAY_MIN_MS + self._random(_DELAY_SPREAD_MS)
            if not history.is_outage:
                self._count_brown_out(now_ms)
        if history.is_outage:
            history.note_outage(False)

    def check_session(self):
        """Raise Tripped or WeldUnknown where no paid session may start."""
        if self.history.trip is not None:
            raise Tripped(f"the plug has tripped: {self.history.trip} ({self.history.detail}): hold its button for 5 s when the cause is gone")
        if self.weld != "ok":
            raise WeldUnknown("nothing has told yet that the contacts open: no paid session; wait for the self-check, or fit load sensing")

    def on_over_current(self, now_ms, peak_ma):
        """Take the metering IC's own detection: the peak in mA, or None when it is not known.

        Opens at once, or holds at most 100 ms above the breaking capacity. To be told of every report while the pin stays active.
        """
        if not self.coil.is_driven:
            return
        self.coil.report(peak_ma)
        self._trip(codes.OVER_CURRENT, self.coil.current_ma if peak_ma is None else peak_ma, "mA" if peak_ma is None else "mA peak")

    def clear(self, now_ms, reset_wear=False):
        """Clear the latched trip; `reset_wear` after the contactor was replaced. Raises Tripped while the cause persists."""
        if reset_wear:
            self.history.reset_wear()
        code = self.history.trip
        if code is None:
            return
        cause = find_cause(self, code, now_ms)
        if cause is not None:
            raise Tripped(f"{code} cannot be cleared: {cause}")
        self.history.unlatch()
        self.contacts.is_welded = False
        self.contacts.restart_self_check()
        self._enter(OPEN)

    # -- every sample ----------------------------------------------------------------------------------------------------------------

    def sample(self, now_ms, meter):
        """Take the meter's reading and act on it. Every 10 ms, also with a meter that is slower; `meter` is the driver object."""
        if self._now_ms is None:
            self._now_ms = now_ms
        elapsed_ms = now_ms - self._now_ms
        self._now_ms = now_ms
        if elapsed_ms > _LONGEST_STEP_MS:
            elapsed_ms = _LONGEST_STEP_MS
        coil, mains, contacts = self.coil, self.mains, self.contacts
        current_ma = coil.current_ma = meter.current_ma if meter.is_live else None
        fault = mains.sample(meter, elapsed_ms)
        if current_ma is not None and mains.is_known:
            self.silent_ms = 0
        elif self.silent_ms < self._silence_ms:
            self.silent_ms += elapsed_ms
        is_overload = current_ma is not None and self.i2t.add(current_ma, elapsed_ms)
        if coil.hold_ms:
            coil.hold(elapsed_ms)
        elif coil.is_driven:
            if current_ma is not None and current_ma >= self._instant_ma:
                self._trip(codes.OVER_CURRENT, current_ma, "mA")
            elif is_overload:
                self._trip(codes.OVERLOAD, current_ma, "mA")
            elif self.silent_ms >= self._silence_ms:
                self._trip(codes.METER_SILENT, self.silent_ms, "ms")
            elif fault == codes.FREQUENCY:
                self._trip(fault, meter.frequency_mhz, "mHz")
            elif fault is not None:
                self._trip(fault, meter.voltage_mv, "mV")
        if mains.is_gone and not self.outage:
            self._begin_outage(now_ms)
        was_driven = coil.is_driven
        code = contacts.sample(was_driven, mains.good_ms > 0, elapsed_ms)
        if code is not None:
            self._trip(code, contacts.name_suspects(was_driven), "dead" if was_driven else "live")
        self._slow_ms += elapsed_ms
        if self._slow_ms >= _SLOW_MS:
            self._go_slow(now_ms, self._slow_ms)
            self._slow_ms = 0
        self._step(now_ms, elapsed_ms)

    def _go_slow(self, now_ms, elapsed_ms):
        """Do what ten times a second is enough for."""
        place = self.temperatures.read_next()
        if place is not None and self.history.trip is None:
            self._trip(place.trip, place.temperature_mc, "millidegrees C")
        contacts, coil = self.contacts, self.coil
        code = contacts.watch_leak(coil.is_driven, coil.current_ma, elapsed_ms)
        if code is not None:
            self._trip(code, coil.current_ma, "mA with the coil released")
        if contacts.is_checked:
            self._delay_ms = max(0, self._delay_ms - elapsed_ms)
        elif not coil.is_driven and contacts.self_check(self.mains.is_healthy, elapsed_ms) and self.history.trip == codes.WATCHDOG:
            self.history.unlatch()
        self._min_off_left_ms = max(0, self._min_off_left_ms - elapsed_ms)
        if self.outage and self.mains.good_ms >= _OUTAGE_OVER_MS:
            self._end_outage()
        self.history.forget_old(now_ms)

    def _begin_outage(self, now_ms):
        was_driven = self.coil.is_driven
        if was_driven:
            self.coil.release()
        self.outage = True
        self.history.note_outage(True)
        self.contacts.restart_self_check()
        if self.history.trip is None:
            self._enter(OPEN)
            if was_driven:
                self._count_brown_out(now_ms)

    def _end_outage(self):
        self.outage = False
        self.history.note_outage(False)
        self._delay_ms = _DELAY_MIN_MS + self._random(_DELAY_SPREAD_MS)
        self.contacts.restart_self_check()

    def _count_brown_out(self, now_ms):
        history = self.history
        history.count(history.brown_outs, now_ms)
        if history.brown_outs.is_full(now_ms):
            self._trip(codes.BROWN_OUT, len(history.brown_outs), "in 10 minutes")
