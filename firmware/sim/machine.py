"""MicroPython's `machine` as on the ESP32, over the simulated world: the parts of it that a plug needs."""

import clock
import process
from ade7953_model import ADDRESS, MAX_BUS_HZ

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

_CAUSES = {"power_on": PWRON_RESET, "reset": HARD_RESET, "watchdog": WDT_RESET}
_FREQUENCIES_HZ = (20_000_000, 40_000_000, 80_000_000, 160_000_000, 240_000_000)
_ENODEV, _ETIMEDOUT = 19, 110
_FIRST_INPUT_ONLY_PIN, _PINS = 34, 40

_world = clock.world
_modes, _latches, _pulls = {}, {}, {}  # of the pins by number, as far as they were set
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


def unique_id():
    """Return the six bytes of the MAC address, made from the seed."""
    return b"\x02\x00" + (clock.settings["seed"] & 0xFFFFFFFF).to_bytes(4, "big")


class Pin:
    """A pin by its number. An input reads its pull resistor: nothing is connected to inputs."""

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
            _pulls[self.id] = pull or 0
        self._drive()

    def value(self, level=None):
        """Return the level at the pin, or set the output's."""
        if level is None:
            if _modes.get(self.id) == Pin.OUT:
                return _latches.get(self.id, 0)
            return int(bool(_pulls.get(self.id, 0) & Pin.PULL_UP))
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
        """Take a handler; it is never called, as no input ever changes."""

    def _drive(self):
        if self.id in _modes:
            _world.drive(self.id, _latches.get(self.id, 0) if _modes[self.id] == Pin.OUT else None)


class I2C:
    """A hardware bus; the metering IC is on the one that the settings wire to it. OSError 19 without an answer, 110 for a bus that hangs."""

    def __init__(self, id=-1, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError(f"I2C({id}) doesn't exist")
        scl = Pin((18, 25)[id] if scl is None else scl).id
        sda = Pin((19, 26)[id] if sda is None else sda).id
        self._reaches_meter = _world.is_wired(id, scl, sda) and freq <= MAX_BUS_HZ

    def scan(self):
        """Return the addresses that answer."""
        return [ADDRESS] if self._reaches_meter and _world.meter.is_ready(_world.now_ms) else []

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        """Return bytes from a register."""
        return self._transfer(addr, memaddr.to_bytes(addrsize // 8, "big"), nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        """Fill a buffer from a register."""
        buf[:] = self._transfer(addr, memaddr.to_bytes(addrsize // 8, "big"), len(buf))

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        """Write bytes to a register."""
        self._transfer(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf), 0)

    def readfrom(self, addr, nbytes, stop=True):
        """Return bytes from where the last write pointed."""
        return self._transfer(addr, None, nbytes)

    def readfrom_into(self, addr, buf, stop=True):
        """Fill a buffer from where the last write pointed."""
        buf[:] = self._transfer(addr, None, len(buf))

    def writeto(self, addr, buf, stop=True):
        """Write bytes; return how many were acknowledged."""
        self._transfer(addr, bytes(buf), 0)
        return len(buf)

    def _transfer(self, addr, sent, nbytes):
        world = _world
        if addr != ADDRESS or not self._reaches_meter or not world.meter.is_ready(world.now_ms):
            raise OSError(_ENODEV, "ENODEV")
        if world.failing_transfers:
            world.failing_transfers -= 1
            raise OSError(_ENODEV, "ENODEV")
        if sent is not None:
            world.meter.write(sent, world.now_ms)
        received = world.meter.read(nbytes) if nbytes else b""
        if world.late_failures:  # the IC has done its part, the processor never hears of it
            world.late_failures -= 1
            raise OSError(_ETIMEDOUT, "ETIMEDOUT")
        return received


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
