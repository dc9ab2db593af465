"""What a person at the plug sees and touches: LED, button, and the switch that tells whether a plug is in the socket (docs/guard.md)."""

from plug.drivers.button import LONG_PRESS, PRESS, Button
from plug.drivers.indicator import AUTHORISED, CHARGING, IDLE, NO_LINK, TRIP, WAITING, Indicator
from plug.drivers.plug_switch import PlugSwitch
from plug.errors import PlugError
from plug.guard import blinks


class Panel:
    """Each part only where the board has its pin; `tick` a few times a second."""

    def __init__(self, pins, guard, session, clock, needs_button):
        self._guard = guard
        self._session = session
        self._clock = clock
        self._needs_button = needs_button
        self._led = Indicator(pins["led"]) if "led" in pins else None
        self._button = Button(pins["button"]) if "button" in pins else None
        self._switch = PlugSwitch(pins["plug_switch"]) if "plug_switch" in pins else None

    @property
    def is_plugged(self):
        """Tell whether a plug is in the socket; without a switch nobody knows, and it is taken for granted."""
        return self._switch is None or self._switch.is_plugged

    def tick(self, link_is_up):
        """Look at button and switch, move the LED on."""
        now_ms = self._clock.tick()
        if self._switch is not None:
            self._switch.look(now_ms)
        if self._button is not None:
            self._take(self._button.tick(now_ms), now_ms)
        if self._led is not None:
            self._led.show(*self._meaning(link_is_up))
            self._led.tick(now_ms)

    def _take(self, press, now_ms):
        if press == PRESS:
            self._session.press()
        elif press == LONG_PRESS:
            try:
                self._guard.clear(now_ms)
            except PlugError as error:
                print(f"button: {error}")

    def _meaning(self, link_is_up):
        """Return what the LED shows: the meaning that matters most, and how often it blinks."""
        guard, state = self._guard, self._session.state
        if guard.trip:
            return TRIP, blinks(guard.trip)
        if guard.is_closed:
            return CHARGING, 0
        if state == "authorised" and self._needs_button:
            return AUTHORISED, 0
        if state != "idle":
            return WAITING, 0
        return (IDLE, 0) if link_is_up else (NO_LINK, 0)
