"""An NTC from an ADC pin to ground, with a resistor to the supply: microvolts to millidegrees by the board's table."""

from machine import ADC, Pin
from micropython import const

_FINE_UV = const(64)  # keeps products within 31 bits; far below the ADC's noise


class Thermometer:
    """The NTC on GPIO number `pin`.

    `table` holds (uv, temperature_mc) pairs, microvolts ascending, so the hottest first. What lies outside of it is a short or an open NTC.
    """

    def __init__(self, pin, table):
        self._adc = ADC(Pin(pin), atten=ADC.ATTN_11DB)
        self._table = table

    def read_mc(self):
        """Return millidegrees Celsius, linear between the table's points, or None for an NTC that is open or short."""
        uv = self._adc.read_uv()
        below_uv, below_mc = self._table[0]
        if uv < below_uv:
            return None
        for above_uv, above_mc in self._table:
            if uv <= above_uv:
                if above_uv == below_uv:
                    return above_mc
                return below_mc + (uv - below_uv) // _FINE_UV * (above_mc - below_mc) // ((above_uv - below_uv) // _FINE_UV)
            below_uv, below_mc = above_uv, above_mc
        return None
