"""MicroPython's `machine` as on the ESP32, over the simulated world: the parts of it that a plug needs."""

import time

import clock
import process

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

# A brown-out is a power-on to MicroPython: mp_machine_reset_cause in ports/esp32/modmachine.c.
_CAUSES = {"power_on": PWRON_RESET, "reset": HARD_RESET, "watchdog": WDT_RESET, "brown_out": PWRON_RESET}
_FREQUENCIES_HZ = (20_000_000, 40_000_000, 80_000_000, 160_000_000, 240_000_000)
_FIRST_INPUT_ONLY_PIN, _PINS = 34, 40

_world = clock.world
_pins = _world.pins
_modes, _latches = {}, {}  # of the pins by number, as far as they were set
_frequency_hz = 160_000_000


def reset():
    """Reset: the process ends with status 3, and it is for the harness to start it again."""
    process.end(process.RESET, f"machine.reset() at {_world.now_ms} ms")


def reset_cause():
    """Return why it started: the setting `reset_cause`."""
    return _CAUSES[clock.settings["reset_cause"]]


def freq(hertz=None):
    """Return the processor's frequency, or set it."""
    global _frequency_hz
    if hertz is None:
        return _frequency_hz
    if hertz not in _FREQUENCIES_HZ:
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _frequency_hz = hertz


def disable_irq():
    """Keep interrupt handlers from being called; return what enable_irq takes."""
    was_masked, _pins.is_masked = _pins.is_masked, True
    return was_masked


def enable_irq(state):
    """Let them be called again."""
    _pins.is_masked = state
    _pins.dispatch()


def unique_id():
    """Return the six bytes of the MAC address, made from the seed."""
    return b"\x02\x00" + (clock.settings["seed"] & 0xFFFFFFFF).to_bytes(4, "big")


class Pin:
    """A pin by its number. An input reads what the board puts on it; its pull resistor where nothing is connected."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(self, id, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if isinstance(id, Pin):
            id = id.id
        if type(id) is not int or not 0 <= id < _PINS:
            raise ValueError("invalid pin")
        self.id = id
        self.init(mode, pull, value=value, drive=drive, hold=hold)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        """Set what is given; the level before the direction, so that an output starts at `value`."""
        if value is not None:
            _latches[self.id] = int(bool(value))
        if mode is not None:
            if mode != Pin.IN and self.id >= _FIRST_INPUT_ONLY_PIN:
                raise ValueError("pin can only be input")
            _modes[self.id] = mode
        if pull != -1:
            _pins.pulls[self.id] = int(bool((pull or 0) & Pin.PULL_UP))
        self._drive()

    def value(self, level=None):
        """Return the level at the pin, or set the output's."""
        if level is None:
            if _modes.get(self.id) == Pin.OUT:
                return _latches.get(self.id, 0)
            return _pins.level(self.id)
        _latches[self.id] = int(bool(level))
        self._drive()

    __call__ = value

    def on(self):
        """Set the output to 1."""
        self.value(1)

    def off(self):
        """Set the output to 0."""
        self.value(0)

    def toggle(self):
        """Invert the output."""
        self.value(1 - _latches.get(self.id, 0))

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING, wake=None):
        """Have `handler(pin)` called at the edges of `trigger`, whenever the simulator next gets control after one; None: no longer."""
        if trigger & ~(Pin.IRQ_FALLING | Pin.IRQ_RISING):
            raise NotImplementedError("simulator: interrupts by level")
        _pins.watch(self.id, handler, trigger, self)
        _world.meter_changed()  # it may have edges for this pin

    def _drive(self):
        if self.id in _modes:
            _world.drive(self.id, _latches.get(self.id, 0) if _modes[self.id] == Pin.OUT else None)


class RTC:
    """The clock of date and time, which begins in the year 2000. TLS on the unix port looks at the host's clock instead."""

    def __init__(self, id=0):
        if id != 0:
            raise ValueError(f"RTC({id}) doesn't exist")

    def datetime(self, fields=None):
        """Return (year, month, day, weekday, hour, minute, second, microsecond), or set them."""
        if fields is None:
            year, month, day, hour, minute, second, weekday, _ = time.gmtime()
            return (year, month, day, weekday, hour, minute, second, 0)
        year, month, day, _, hour, minute, second, _ = fields
        clock.rtc_ahead_s += time.mktime((year, month, day, hour, minute, second, 0, 0)) - time.time()


class WDT:
    """The watchdog: once made it must be fed within each `timeout` milliseconds, or the process ends with status 4."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError(f"WDT({id}) doesn't exist")
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        self._timeout_ms = timeout
        self.feed()

    def feed(self):
        """Start the timeout again."""
        _world.watchdog_ms = _world.now_ms + self._timeout_ms


def __getattr__(name):
    """Load what only some boards need when it is first asked for."""
    if name not in ("I2C", "ADC", "UART", "Counter"):
        raise AttributeError(f"module 'machine' has no attribute '{name}'")
    found = getattr(__import__(name.lower()), name)
    globals()[name] = found
    return found


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(Pin, ("init", "value", "__call__", "irq"))
    cpu.charge_class(WDT, ("feed",))
    cpu.charge_class(RTC, ("datetime",))
