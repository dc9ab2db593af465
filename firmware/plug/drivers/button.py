"""The push-button: a press when it is let go, a long press while it is still held."""

from machine import Pin
from micropython import const

PRESS = const(1)
LONG_PRESS = const(2)

_BOUNCE_MS = const(50)
_LONG_MS = const(5_000)


class Button:
    """The button on GPIO number `pin`, LOW while pressed, on the chip's own pull-up. One that is held while the plug starts does nothing."""

    def __init__(self, pin):
        self._pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        self._is_pressed = True  # as if held since before: its release says nothing
        self._is_told = True
        self._changed_ms = None  # since when the pin has differed from what is believed
        self._pressed_ms = 0

    def tick(self, now_ms):
        """Look at the pin; return PRESS, LONG_PRESS or 0. To be called at least every 50 ms."""
        is_low = self._pin.value() == 0
        if is_low == self._is_pressed:
            self._changed_ms = None
            if is_low and not self._is_told and now_ms - self._pressed_ms >= _LONG_MS:
                self._is_told = True
                return LONG_PRESS
            return 0
        if self._changed_ms is None:
            self._changed_ms = now_ms
        if now_ms - self._changed_ms < _BOUNCE_MS:
            return 0
        self._is_pressed = is_low
        began_ms, self._changed_ms = self._changed_ms, None
        if is_low:
            self._pressed_ms = began_ms
            self._is_told = False
            return 0
        return 0 if self._is_told else PRESS
