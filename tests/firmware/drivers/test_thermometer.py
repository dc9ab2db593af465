"""The thermometer on a fake ADC."""

import sys


class Pin:
    def __init__(self, number):
        self.number = number


class ADC:
    ATTN_11DB = 3
    uv = 0

    def __init__(self, pin, atten):
        assert pin.number == 32
        assert atten == ADC.ATTN_11DB

    def read_uv(self):
        return ADC.uv


class FakeMachine:
    Pin, ADC = Pin, ADC


sys.modules["machine"] = FakeMachine
from plug.drivers.thermometer import Thermometer  # noqa: E402

TABLE = ((200_000, 110_000), (400_000, 80_000), (1_650_000, 25_000), (2_900_000, -15_000))


def read(uv):
    ADC.uv = uv
    return Thermometer(32, TABLE).read_mc()


def test_points_of_the_table_are_exact():
    for uv, temperature_mc in TABLE:
        assert read(uv) == temperature_mc


def test_between_points_it_is_linear():
    assert abs(read(300_000) - 95_000) <= 20
    assert abs(read(1_025_000) - 52_500) <= 20
    assert abs(read(2_275_000) - 5_000) <= 20


def test_hotter_is_lower():
    readings = [read(uv) for uv in range(200_000, 2_900_001, 10_007)]
    assert readings == sorted(readings, reverse=True)
    assert readings[0] > readings[-1]


def test_outside_of_the_table_the_ntc_is_short_or_open():
    for uv in (0, 199_999, 2_900_001, 3_300_000):
        assert read(uv) is None
