"""One LED that says what the plug is doing, in patterns of 20 slots of 100 ms; docs/guard.md lists them for people."""

from machine import Pin
from micropython import const

BOOT = const(0)
IDLE = const(1)
NO_LINK = const(2)
AUTHORISED = const(3)
CHARGING = const(4)
WAITING = const(5)
TRIP = const(6)

_SLOT_MS = const(100)
_SLOTS = const(20)
_PATTERNS = (
    0b01010101010101010101,  # boot: flickers
    0b00000000000000000001,  # idle: a flash every 2 s
    0b00000000000000001001,  # no link: two flashes every 2 s
    0b00000111110000011111,  # authorised, waits for the button: on and off twice in 2 s
    0b11111111111111111111,  # charging: on
    0b00111111111111111111,  # suspended or waiting: on, with a gap every 2 s
)
_BLINK_SLOTS = const(5)  # of one of the blinks that tell a trip
_BLINK_ON_SLOTS = const(2)
_PAUSE_SLOTS = const(10)


class Indicator:
    """The LED on GPIO number `pin`; shows BOOT until told otherwise."""

    def __init__(self, pin, active_high=True):
        self._on_level = 1 if active_high else 0
        self._pin = Pin(pin, Pin.OUT, value=1 - self._on_level)
        self._is_on = False
        self._meaning = BOOT
        self._blinks = 0
        self._slot = 0
        self._next_ms = 0

    def show(self, meaning, blinks=0):
        """Show a meaning from its beginning; a TRIP blinks `blinks` times and pauses. Nothing happens when it is shown already."""
        if (meaning, blinks) != (self._meaning, self._blinks):
            self._meaning = meaning
            self._blinks = blinks
            self._slot = 0
            self._next_ms = 0

    def tick(self, now_ms):
        """Move on; cheap, to be called at least every 100 ms."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + _SLOT_MS
        slot = self._slot
        if self._meaning == TRIP:
            is_on = slot < self._blinks * _BLINK_SLOTS and slot % _BLINK_SLOTS < _BLINK_ON_SLOTS
            slots = self._blinks * _BLINK_SLOTS + _PAUSE_SLOTS
        else:
            is_on = bool(_PATTERNS[self._meaning] >> slot & 1)
            slots = _SLOTS
        self._slot = (slot + 1) % slots
        if is_on != self._is_on:
            self._is_on = is_on
            self._pin.value(self._on_level if is_on else 1 - self._on_level)
