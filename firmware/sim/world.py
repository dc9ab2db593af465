"""The world around the plug's processor: mains, contactor, car, heat, metering IC, watchdog, and the virtual time they share.

Between two events nothing changes but what is worked out when somebody asks: `settle` lets the time since the last one have passed at once.
"""

from math import atan2, pi, sqrt

from agenda import Agenda
from bus import BusFaults
from car import Car
from contacts import Contactor
from heat import SPOTS, Heat
from mains import Mains
from meters import make_meter
from pins import Pins


class World:
    """Everything that happens when time passes. `now_us` and `now_ms` count from boot; `true_j` is the energy that went through the contacts.

    `on_watchdog()` is called when the watchdog was not fed in time.
    """

    def __init__(self, settings, on_watchdog):
        self.now_us = self.now_ms = 0
        self.true_j = 0.0
        self.current_a = 0.0
        self.car = None
        self.watchdog_ms = None
        self.failing_transfers = self.late_failures = 0
        self.bus_faults = BusFaults(settings["seed"])
        self.button_pressed = False
        self.leakage_ua = {"line": 0, "neutral": 0}
        self.coil_low_at_us = self.coil_high_at_us = self.irq_at_us = None
        self.agenda = Agenda()
        self.pins = Pins(self._input_level)
        self.pin_levels = self.pins.outputs
        self.run_handlers = self.pins.dispatch  # called when interrupt handlers are pending, returns whether any ran
        self.mains = Mains(settings["mains"])
        self.heat = Heat(settings["heat"])
        self.contactor = Contactor(settings["contactor"], self.agenda, self._before_change, self._contacts_moved)
        self._settings = settings
        self._signer_bus = None
        self._seed = settings["seed"] & 0xFFFFFFFF
        self._wiring = settings["wiring"]
        self._sense = settings["sense"]
        self._capacitance_f = settings["load_capacitance_nf"] / 1e9
        self._on_watchdog = on_watchdog
        self._settled_us = 0
        self._energy_noise = 0.0
        self._car_draws = False
        self._times = 1  # the car's current
        self._overload_a = 0.0
        self._active_a = self._reactive_a = 0.0
        self._is_steady = False  # nothing about the current has changed since it was worked out
        self._was_live = [False, False]  # until when each pole's load side is live once it has opened
        self.meter_irq = False
        self.meter = make_meter(settings, self)
        self._renew_mains()
        self.meter_changed()
        if settings["car"]:
            self.plug_in(settings["car"])

    # -- what the harness does ----------------------------------------------------------------------------------------------------------

    def plug_in(self, car):
        """Put a car (a Car, or a dict of its arguments) at the socket, in place of any other. Raises ValueError, TypeError."""
        car = Car(**car) if isinstance(car, dict) else car
        self._before_change()
        self.car = car
        self._stop_car()
        self._connect()
        self.pins.changed()

    def unplug(self):
        """Take the car away, under load if need be."""
        self._before_change()
        self.car = None
        self._stop_car()
        self._connect()
        self.pins.changed()

    def set_mains(self, voltage_mv=None, frequency_mhz=None):
        """Change the nominal voltage at the socket or the frequency; 0 V is a power cut that spares the plug's own supply. Raises ValueError."""
        self._before_change()
        if frequency_mhz is not None:
            self.mains.set_frequency(frequency_mhz, self.now_us)
            self.meter.set_frequency(frequency_mhz)
        if voltage_mv is not None:
            self.mains.set_voltage(voltage_mv)
        self._renew_mains()

    def set_dip(self, voltage_v):
        """Let the voltage be exactly that, None for what it is without a dip."""
        self._before_change()
        self.mains.set_dip(voltage_v)
        self._connect()
        self.pins.changed()

    def set_overload(self, current_a):
        """Draw the current of a resistive fault beside the car's, whenever the contacts are closed."""
        self._before_change()
        self._overload_a = current_a
        self._connect()

    def is_reached(self, event):
        """Tell whether "contactor_open", "contactor_closed" or "car_full" is so now."""
        if event == "car_full":
            return self.car is not None and not self.car.remaining_j
        return self.contacts_closed == (event == "contactor_closed")

    def state(self):
        """Return what is true now, as the control channel tells it."""
        from state import describe  # not everybody asks

        self.settle_heat()
        return describe(self)

    # -- what the processor does --------------------------------------------------------------------------------------------------------

    def drive(self, pin, level):
        """Set an output pin to 0 or 1, or let it float (None): the contactor's pull resistor then keeps it released."""
        self.pins.outputs[pin] = level
        if pin == self._wiring["contactor_pin"]:
            pulled = level is not None and bool(level) == self._wiring["contactor_active_high"]
            if pulled and not self.contactor.is_pulled:
                self.coil_high_at_us = self.now_us
            elif self.contactor.is_pulled and not pulled:
                self.coil_low_at_us = self.now_us
            self.contactor.drive(pulled, self.now_us)
        else:
            self.meter.pin_driven(pin, level)

    def is_wired(self, i2c_id, scl, sda):
        """Tell whether the metering IC is on that bus."""
        wiring = self._wiring
        return self.meter.BUS == "i2c" and (i2c_id, scl, sda) == (wiring["i2c_id"], wiring["i2c_scl"], wiring["i2c_sda"])

    def is_signer_wired(self, i2c_id, scl, sda):
        """Tell whether the secure element is on that bus."""
        wiring = self._wiring
        return (i2c_id, scl, sda) == (wiring["signer_i2c_id"], wiring["signer_scl"], wiring["signer_sda"])

    @property
    def signer_bus(self):
        """The secure element's bus; only boards with a driver for it ever load it."""
        if self._signer_bus is None:
            from signer_bus import SignerBus

            self._signer_bus = SignerBus(self._settings, self)
        return self._signer_bus

    def analog_uv(self, pin):
        """Return the voltage at an analog input."""
        wiring = self._wiring
        for spot in SPOTS:
            if pin == wiring["ntc_" + spot + "_pin"]:
                self.settle_heat()
                return self.heat.ntc_uv(spot)
        return 0

    def meter_changed(self):
        """Take over what the metering IC does to its interrupt pin, and when it next does something by itself."""
        is_low = self.meter.is_interrupting(self.now_us)
        if is_low != self.meter_irq:
            self.meter_irq = is_low
            if is_low:
                self.irq_at_us = self.now_us
            self.pins.changed()
        due_us = self.meter.next_us(self.now_us)
        if due_us is None:
            self.agenda.cancel("meter")
        else:
            self.agenda.set("meter", due_us, self._meter_event)

    # -- time ---------------------------------------------------------------------------------------------------------------------------

    def advance(self, end_ms, until=None):
        """Let time pass up to `end_ms`, or to the moment when the event `until` is reached."""
        end_us = end_ms * 1000
        while self.advance_us(end_us, until):
            pass
        self.settle()

    def advance_us(self, end_us, until=None):
        """Let time pass likewise, but return True early once an interrupt handler has run: who waits must look again."""
        agenda = self.agenda
        while not (until and self.is_reached(until)):
            due_us = agenda.next_us
            watchdog_ms = self.watchdog_ms
            if watchdog_ms is not None and watchdog_ms * 1000 < due_us:
                due_us = watchdog_ms * 1000
                if due_us <= end_us:
                    self._go_to(due_us)
                    self._on_watchdog()
                    return False
            if due_us > end_us:
                if end_us > self.now_us:
                    self.now_us = end_us
                    self.now_ms = end_us // 1000
                return False
            self._go_to(due_us)
            agenda.take()()
            if self.pins.pending and self.run_handlers():
                return True
        return False

    def settle(self):
        """Let the time since the last settling have flowed through contacts and meter."""
        elapsed_us = self.now_us - self._settled_us
        if not elapsed_us:
            return
        self._settled_us = self.now_us
        energy_j = 0.0
        if self._car_draws:
            energy_j = self.car.draw(self.mains.voltage_v, elapsed_us / 1e6, self._times)
            if self.car.is_tapering:
                self._is_steady = False
        if self._overload_a and self.contacts_closed:
            energy_j += self.mains.voltage_v * self._overload_a * elapsed_us / 1e6
        self.true_j += energy_j
        if not self._is_steady:
            self._work_out_current()
        self._tell_meter(energy_j, elapsed_us / 1000)

    def _tell_meter(self, energy_j, elapsed_ms):
        self.meter.measure(self.mains.voltage_v, self.current_a, energy_j, elapsed_ms, self._energy_noise, self._reactive_a)

    def noise(self, stream):
        """Return this moment's noise in -1..1 of a numbered stream: a hash, so that it does not depend on how often it is asked for."""
        value = (self.now_ms * 8 + stream ^ self._seed) * 0x9E3779B1 & 0xFFFFFFFF
        value = (value ^ value >> 15) * 0x85EBCA6B & 0xFFFFFFFF
        return (value ^ value >> 13) / 0x80000000 - 1

    def current_phase(self):
        """Return where in its period the current is now, 0 to 1."""
        return (self.mains.phase(self.now_us) - atan2(self._reactive_a, self._active_a) / (2 * pi)) % 1.0

    @property
    def contacts_closed(self):
        """Tell whether both poles conduct."""
        return self.contactor.line and self.contactor.neutral

    @property
    def power_w(self):
        """Return the active power through the contacts."""
        return self.mains.voltage_v * self._active_a

    def _go_to(self, now_us):
        if now_us > self.now_us:
            self.now_us = now_us
            self.now_ms = now_us // 1000

    def _before_change(self):
        """Settle with the conditions that end now; return the current so far."""
        self.settle_heat()
        self._is_steady = False
        return self.current_a

    def settle_heat(self):
        """Settle, the temperatures too."""
        current_a = self.current_a
        self.settle()
        self.heat.settle(self.now_us, current_a)

    def _work_out_current(self):
        """Add up what flows through the contacts now: in phase with the voltage, and lagging it by a quarter period."""
        active_a = reactive_a = 0.0
        if self.contacts_closed and self.mains.voltage_v:
            active_a = self._overload_a
            if self._capacitance_f:
                reactive_a = -self.mains.voltage_v * self._capacitance_f * 2 * pi * self.mains.frequency_mhz / 1000
            if self._car_draws:
                car_a = self.car.current_a * self._times
                active_a += car_a * self.car.power_factor
                reactive_a += car_a * self.car.reactive_factor
        self._active_a, self._reactive_a = active_a, reactive_a
        self.current_a = sqrt(active_a * active_a + reactive_a * reactive_a) if reactive_a else active_a
        self._is_steady = True

    def _contacts_moved(self):
        contactor = self.contactor
        for i, is_closed in enumerate((contactor.line, contactor.neutral)):
            if is_closed:
                self._was_live[i] = True
            elif self._was_live[i]:
                self.agenda.set(f"sense {i}", self.now_us + self._sense["release_ms"] * 1000, lambda i=i: self._sense_released(i))
        self._connect()
        self.pins.changed()

    def _sense_released(self, i):
        self._was_live[i] = self.contactor.neutral if i else self.contactor.line
        self.pins.changed()

    def _renew_mains(self):
        """Draw the voltage until the next full second, and the noise of the energy measured in it."""
        self._before_change()
        next_ms = self.mains.renew(self.now_ms, self.noise(4))
        self._energy_noise = self.noise(0)
        self.agenda.set("mains", next_ms * 1000, self._renew_mains)
        self._connect()
        self.pins.changed()

    def _connect(self):
        """Let the car begin to wait or stop drawing as it has power or not; work out the current, and when anything about it changes by itself."""
        car = self.car
        if car is None or not self.contacts_closed or not self.mains.voltage_v:
            self._stop_car()
        elif self._car_draws:
            self._note_full()
        elif self.agenda.due_us("car") is None:
            if car.start_ms:
                self.agenda.set("car", self.now_us + car.start_ms * 1000, self._start_car)
            else:
                self._start_car()
                return
        self._work_out_current()
        self.meter.note_inputs(self.mains.voltage_v, self.current_a)
        self.meter_changed()

    def _stop_car(self):
        for name in ("car", "inrush", "full"):
            self.agenda.cancel(name)
        self._car_draws = False

    def _start_car(self):
        self._before_change()
        self._car_draws = True
        if self.car.inrush_ms:
            self._times = self.car.inrush
            self.agenda.set("inrush", self.now_us + self.car.inrush_ms * 1000, self._end_inrush)
        else:
            self._times = 1
        self._connect()

    def _end_inrush(self):
        self._before_change()
        self._times = 1
        self._connect()

    def _note_full(self):
        if self.car.remaining_j:
            ms = self.car.ms_to_full(self.mains.voltage_v)
            self.agenda.set("full", self.now_us + ms * 1000, self._full)
        else:
            self.agenda.cancel("full")

    def _full(self):
        self._before_change()
        self._connect()

    def _meter_event(self):
        self.settle()
        self.meter.event(self.now_us)
        self.meter_changed()

    def _input_level(self, pin):
        """Return what the board puts on an input, None where nothing is connected."""
        wiring = self._wiring
        if pin == wiring["meter_irq_pin"]:
            return int(not self.meter_irq)
        if pin == wiring["sense_line_pin"]:
            return int(not self._is_live("line", 0))
        if pin == wiring["sense_neutral_pin"]:
            return int(not self._is_live("neutral", 1))
        if pin == wiring["plug_switch_pin"]:
            return int(self.car is None)
        if pin == wiring["button_pin"]:
            return 0 if self.button_pressed else None
        return self.meter.pin_level(pin)

    def _is_live(self, pole, i):
        """Tell whether the load side of a pole is live: through its contact, for a while after that has opened, or through what leaks across it."""
        sense = self._sense
        if self.mains.voltage_v * 1000 < sense["threshold_mv"]:
            return False
        return self._was_live[i] or self.leakage_ua[pole] >= sense["threshold_ua"]
