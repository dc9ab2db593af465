"""MicroPython's `esp32.PCNT` and `machine.Counter`: they count the pulses of the metering IC. One channel, no mode pin, no filter that matters."""

import clock

_UNITS = 8

_world = clock.world
_units, _counters = {}, {}


class PCNT:
    """A counting unit, the same object for the same `id`. It goes back to 0 at its limits; a handler learns that when `value` is called."""

    INCREMENT, DECREMENT, IGNORE = 1, 2, 0
    NORMAL, REVERSE, HOLD = 0, 1, 2
    IRQ_THRESHOLD1, IRQ_THRESHOLD0, IRQ_MIN, IRQ_MAX, IRQ_ZERO = 4, 8, 16, 32, 64

    def __new__(cls, id, **named):  # noqa: D102
        if not 0 <= id < _UNITS:
            raise ValueError("invalid id")
        unit = _units.get(id)
        if unit is None:
            unit = _units[id] = object.__new__(cls)
            unit.deinit()
        return unit

    def __init__(self, id, **named):
        self.init(**named)

    def init(self, *, channel=0, pin=None, rising=None, falling=None, filter=0, min=None, max=None, value=None, **other):
        """Set what is given."""
        if channel or other:
            raise NotImplementedError("simulator: a second channel, mode pins and thresholds of PCNT")
        if not 0 <= filter <= 1023:
            raise ValueError("filter")
        if value:
            raise ValueError("value")
        self._count()
        if pin is not None:
            self._pin = getattr(pin, "id", pin)
        if rising is not None or falling is not None:
            self._actions = (rising or 0, falling or 0)
        if min is not None:
            self._limits = (min, self._limits[1])
        if max is not None:
            self._limits = (self._limits[0], max)
        if not -32768 <= self._limits[0] <= 0 <= self._limits[1] <= 32767:
            raise ValueError("minimum" if min else "maximum")
        self._seen = self._edges()
        if value is not None or min is not None or max is not None:
            self._value = 0

    def deinit(self):
        """Stop and forget everything."""
        self._pin = None
        self._actions = (0, 0)
        self._limits = (0, 0)
        self._seen = (0, 0)
        self._value = self._flags = 0
        self._handler = None
        self._trigger = 0
        self._is_running = False

    def start(self):
        """Count from now on."""
        self._count()
        self._is_running = True

    def stop(self):
        """Count no longer."""
        self._count()
        self._is_running = False

    def irq(self, handler=None, trigger=IRQ_ZERO):
        """Take a handler, called with this unit; return an object whose `flags()` tells and clears what has happened."""
        if handler is not None:
            self._handler, self._trigger = handler, trigger
        return self

    def flags(self):
        """Return what has happened since the last call."""
        flags, self._flags = self._flags, 0
        return flags

    def value(self, value=None):
        """Return the count; with 0 clear it too."""
        if value:
            raise ValueError("value")
        while True:
            self._count()
            if not (self._flags & self._trigger and self._handler):
                break
            _world.pins.call(self._handler, self)
        count = self._value
        if value is not None:
            self._value = 0
        return count

    def _edges(self):
        if self._pin is None or _world.meter.BUS != "pulse":
            return (0, 0)
        return (_world.meter.edges(self._pin, True), _world.meter.edges(self._pin, False))

    def _count(self):
        """Take in the edges since the last look; one limit is passed at a time, so that its handler learns of each."""
        edges = self._edges()
        if not self._is_running:
            self._seen = edges
            return
        least, most = self._limits
        step = 0
        for i, action in enumerate(self._actions):
            step += (edges[i] - self._seen[i]) * (0, 1, -1)[action]
        self._seen = edges
        value = self._value + step
        if most and value >= most:
            self._flags |= PCNT.IRQ_MAX
            value -= most
        elif least and value <= least:
            self._flags |= PCNT.IRQ_MIN
            value -= least
        self._value = value


class Counter:
    """Counts edges without a limit; the same object for the same `id`."""

    RISING, FALLING = 1, 2
    UP, DOWN = PCNT.INCREMENT, PCNT.DECREMENT

    def __new__(cls, id, *arguments, **named):  # noqa: D102
        if not 0 <= id < _UNITS:
            raise ValueError("invalid id")
        if id not in _counters:
            _counters[id] = object.__new__(cls)
            _counters[id]._pin = None
        return _counters[id]

    def __init__(self, id, src=None, edge=RISING, direction=UP, filter_ns=0):
        if src is not None:
            self.init(src, edge, direction, filter_ns)
        elif self._pin is None:
            raise TypeError("function missing required positional argument #1")

    def init(self, src, edge=RISING, direction=UP, filter_ns=0):
        """Count the edges of a pin from 0 on."""
        self._pin = getattr(src, "id", src)
        self._edge = edge
        self._sign = 1 if direction == Counter.UP else -1
        self._offset = -self._edges()

    def deinit(self):
        """Stop."""
        self._pin = None

    def value(self, value=None):
        """Return the count, and set it."""
        if self._pin is None:
            raise RuntimeError("not initialised")
        count = self._edges() + self._offset
        if value is not None:
            self._offset = value - self._edges()
        return count

    def _edges(self):
        meter = _world.meter
        if meter.BUS != "pulse":
            return 0
        edges = meter.edges(self._pin, True) if self._edge & Counter.RISING else 0
        if self._edge & Counter.FALLING:
            edges += meter.edges(self._pin, False)
        return edges * self._sign


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(PCNT, ("init", "value", "start", "stop"))
    cpu.charge_class(Counter, ("init", "value"))
