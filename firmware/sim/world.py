"""The world around the plug's processor: mains, contactor, car, metering IC, watchdog, and the virtual time they share."""

from math import pi, sin

from ade7953_model import ADE7953Model
from car import Car

_MAINS_STEP_MS = 1000  # the voltage is constant within each
_WANDER, _WANDER_PERIOD_S = 0.005, 600
_FLICKER = 0.001


class World:
    """Everything that happens when time passes. `now_ms` counts from boot; `true_j` is the energy that went through the contacts.

    `on_watchdog()` is called when the watchdog was not fed in time.
    """

    def __init__(self, settings, on_watchdog):
        self.now_ms = 0
        self.true_j = 0.0
        self.contacts_closed = False
        self.car = None
        self.watchdog_ms = None
        self.failing_transfers = 0
        self.late_failures = 0
        self.pin_levels = {}  # of outputs: what they drive
        self._seed = settings["seed"] & 0xFFFFFFFF
        self._wiring = settings["wiring"]
        self._contactor = settings["contactor"]
        self._nominal_v = settings["mains"]["voltage_mv"] / 1000
        self._on_watchdog = on_watchdog
        self._contacts_change_ms = None
        self._drawing_from_ms = None  # None: the car has no power
        self._mains_until_ms = 0
        self._voltage_v = self._energy_noise = 0.0
        self.meter = ADE7953Model(settings["front_end"], settings["mains"]["frequency_mhz"], self.noise)
        self._renew_voltage()
        if settings["car"]:
            self.plug_in(settings["car"])

    # -- what the harness does ----------------------------------------------------------------------------------------------------------

    def plug_in(self, car):
        """Put a car (a dict of Car's arguments) at the socket, in place of any other. Raises ValueError, TypeError."""
        self.car = Car(**car)
        self._drawing_from_ms = None
        self._connect()

    def unplug(self):
        """Take the car away, under load if need be."""
        self.car = None
        self._connect()

    def set_mains(self, voltage_mv):
        """Change the nominal voltage at the socket; 0 is a power cut that spares the plug's own supply."""
        if voltage_mv < 0:
            raise ValueError(f"voltage_mv must not be negative: {voltage_mv}")
        self._nominal_v = voltage_mv / 1000
        self._renew_voltage()

    def is_reached(self, event):
        """Tell whether "contactor_open", "contactor_closed" or "car_full" is so now."""
        if event == "car_full":
            return self.car is not None and not self.car.remaining_j
        return self.contacts_closed == (event == "contactor_closed")

    def state(self):
        """Return what is true now, as the control channel tells it."""
        current_a = self.current_a
        return {
            "at_ms": self.now_ms,
            "true_mwh": round(self.true_j / 3.6),
            "power_mw": round(self._voltage_v * current_a * 1000),
            "voltage_mv": round(self._voltage_v * 1000),
            "current_ma": round(current_a * 1000),
            "contacts": int(self.contacts_closed),
            "car_plugged_in": self.car is not None,
            "car_full": self.is_reached("car_full"),
        }

    # -- what the processor does --------------------------------------------------------------------------------------------------------

    def drive(self, pin, level):
        """Set an output pin to 0 or 1, or let it float (None): the contactor's pull resistor then keeps it released."""
        self.pin_levels[pin] = level
        if pin != self._wiring["contactor_pin"]:
            return
        wanted = level is not None and bool(level) == self._wiring["contactor_active_high"]
        if wanted == self.contacts_closed:
            self._contacts_change_ms = None
        elif self._contacts_change_ms is None:
            delay_ms = self._contactor["close_ms" if wanted else "open_ms"]
            self._contacts_change_ms = self.now_ms + delay_ms
            if not delay_ms:
                self._move_contacts()

    def is_wired(self, i2c_id, scl, sda):
        """Tell whether the metering IC is on that bus."""
        return (i2c_id, scl, sda) == (self._wiring["i2c_id"], self._wiring["i2c_scl"], self._wiring["i2c_sda"])

    # -- time ---------------------------------------------------------------------------------------------------------------------------

    def advance(self, end_ms, until=None):
        """Let time pass up to `end_ms`, or to the moment when the event `until` is reached."""
        while self.now_ms < end_ms and not (until and self.is_reached(until)):
            self._step(end_ms)

    def noise(self, stream):
        """Return this moment's noise in -1..1 of a numbered stream: a hash, so that it does not depend on how often it is asked for."""
        value = (self.now_ms * 8 + stream ^ self._seed) * 0x9E3779B1 & 0xFFFFFFFF
        value = (value ^ value >> 15) * 0x85EBCA6B & 0xFFFFFFFF
        return (value ^ value >> 13) / 0x80000000 - 1

    @property
    def current_a(self):
        """Return the current through the contacts now."""
        if self._drawing_from_ms is None or self.now_ms < self._drawing_from_ms:
            return 0.0
        return self.car.current_a

    def _step(self, end_ms):
        """Go on to the next moment at which anything changes, `end_ms` at the latest."""
        now_ms = self.now_ms
        end_ms = min(end_ms, self._mains_until_ms)
        for event_ms in (self._contacts_change_ms, self.watchdog_ms):
            if event_ms is not None and event_ms < end_ms:
                end_ms = event_ms
        energy_j = 0.0
        from_ms = self._drawing_from_ms
        if from_ms is not None:
            if now_ms < from_ms:
                end_ms = min(end_ms, from_ms)
            elif self.car.remaining_j:
                end_ms = min(end_ms, now_ms + self.car.ms_to_full(self._voltage_v))
                energy_j = self.car.draw(self._voltage_v, (end_ms - now_ms) / 1000)
                self.true_j += energy_j
        if end_ms > now_ms:
            self.now_ms = end_ms
            self.meter.measure(self._voltage_v, self.current_a, energy_j, end_ms - now_ms, self._energy_noise)
        if end_ms == self._contacts_change_ms:
            self._move_contacts()
        if end_ms == self._mains_until_ms:
            self._renew_voltage()
        if end_ms == self.watchdog_ms:
            self._on_watchdog()

    def _move_contacts(self):
        self.contacts_closed = not self.contacts_closed
        self._contacts_change_ms = None
        self._connect()

    def _renew_voltage(self):
        """Draw the voltage until the next full second (nominal, slow wander and noise), and the noise of the energy measured in it."""
        second = self.now_ms // _MAINS_STEP_MS
        self._mains_until_ms = (second + 1) * _MAINS_STEP_MS
        wander = _WANDER * sin(2 * pi * (second % _WANDER_PERIOD_S) / _WANDER_PERIOD_S)
        self._voltage_v = self._nominal_v * (1 + wander + _FLICKER * self.noise(4))
        self._energy_noise = self.noise(0)
        self._connect()

    def _connect(self):
        """Note since when the car has power."""
        if self.car is None or not self.contacts_closed or not self._voltage_v:
            self._drawing_from_ms = None
        elif self._drawing_from_ms is None:
            self._drawing_from_ms = self.now_ms + self.car.start_ms
