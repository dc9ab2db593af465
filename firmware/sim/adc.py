"""MicroPython's `machine.ADC` as on the ESP32: the pins of converter 1, which works beside Wi-Fi; the other one is refused."""

import clock

_world = clock.world
_RANGES_UV = ((100_000, 950_000), (100_000, 1_250_000), (150_000, 1_750_000), (150_000, 3_120_000))  # the ESP32's by attenuation, rounded


class ADC:
    """One analog input. What lies outside the range of its attenuation reads as the range's end."""

    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3

    def __init__(self, pin, atten=ATTN_0DB):
        self._pin = getattr(pin, "id", pin)
        if type(self._pin) is not int or not 32 <= self._pin <= 39:
            raise ValueError("invalid pin")
        self.atten(atten)

    def atten(self, atten):
        """Set the attenuation."""
        if atten not in (0, 1, 2, 3):
            raise ValueError("invalid attenuation")
        self._range_uv = _RANGES_UV[atten]

    def read_uv(self):
        """Return the voltage in microvolts, in steps of the converter's 12 bits."""
        low, high = self._range_uv
        return low + self._code() * (high - low) // 4095

    def read_u16(self):
        """Return the raw reading, 0 to 65535."""
        code = self._code()
        return code << 4 | code >> 8

    def _code(self):
        low, high = self._range_uv
        uv = min(max(_world.analog_uv(self._pin), low), high)
        return (uv - low) * 4095 // (high - low)


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(ADC, ("read_uv", "read_u16"))
