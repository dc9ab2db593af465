"""Heat at the contacts and at the plug's pins, with three readings to believe it and a lower limit to forget it."""

from micropython import const

from plug.guard.codes import CONTACT_TEMPERATURE, PLUG_TEMPERATURE, TEMPERATURE_SENSOR

_READINGS = const(3)


class Place:
    """One thermometer and its limits. Without a thermometer a place that has a limit reads as a broken one."""

    def __init__(self, thermometer, code, max_mc, reset_mc):
        self._thermometer = thermometer
        self.code = code
        self._max_mc = max_mc
        self._reset_mc = reset_mc
        self._bad = 0
        self.temperature_mc = None

    def read(self):
        """Read once; return whether this is the third bad reading in a row, or a later one."""
        reading_mc = None if self._thermometer is None else self._thermometer.read_mc()
        self.temperature_mc = reading_mc
        if reading_mc is not None and reading_mc < self._max_mc:
            self._bad = 0
            return False
        if self._bad < _READINGS - 1:
            self._bad += 1
            return False
        self._bad = _READINGS
        return True

    @property
    def trip(self):
        """Return the code for what is wrong."""
        return TEMPERATURE_SENSOR if self.temperature_mc is None else self.code

    @property
    def is_well(self):
        """Tell whether the newest reading is there and below the limit."""
        return self.temperature_mc is not None and self._bad == 0

    @property
    def has_cooled(self):
        """Tell whether the newest reading is there and below the lower limit."""
        return self.temperature_mc is not None and self.temperature_mc < self._reset_mc


class Temperatures:
    """The places in rotation; `thermometers` is (contacts, plug pins), either may be None."""

    def __init__(self, thermometers, limits):
        self._places = []
        self._turn = 0
        self._add(thermometers[0], CONTACT_TEMPERATURE, limits, "contact_max_mc", "contact_reset_mc")
        self._add(thermometers[1], PLUG_TEMPERATURE, limits, "plug_max_mc", "plug_reset_mc")

    def _add(self, thermometer, code, limits, max_key, reset_key):
        if max_key in limits:
            max_mc = limits[max_key]
            self._places.append(Place(thermometer, code, max_mc, limits.get(reset_key, max_mc)))

    def read_next(self):
        """Read the place whose turn it is; return it when it is beyond its limit, else None. Every 100 ms: each of two is read at 5 Hz."""
        if not self._places:
            return None
        self._turn = (self._turn + 1) % len(self._places)
        place = self._places[self._turn]
        return place if place.read() else None

    @property
    def are_well(self):
        """Tell whether every place has a reading below its limit."""
        return all(place.is_well for place in self._places)

    def reading_mc(self, code):
        """Return the newest reading of the place that trips with that code, or None."""
        for place in self._places:
            if place.code == code:
                return place.temperature_mc
        return None

    def have_cooled(self, code):
        """Tell whether what made a trip of that code is over."""
        if code == TEMPERATURE_SENSOR:
            return self.are_well
        return all(place.has_cooled for place in self._places if place.code == code)
