"""The board's meter on the bus that the board file names."""

import sys

from plug.board import METER, PINS


class Pin:
    def __init__(self, number):
        self.number = number


class I2C:
    def __init__(self, id, *, scl, sda, freq, timeout):  # noqa: A002 - as the machine's
        self.wiring = (id, scl.number, sda.number, freq)
        self.timeout = timeout


class Machine:
    pass


sys.modules["machine"] = Machine()
sys.modules["machine"].Pin = Pin
sys.modules["machine"].I2C = I2C
from plug.metering.calibration import Calibration  # noqa: E402
from plug.metering.meter import open_meter  # noqa: E402


def test_the_reference_boards_meter_is_an_ade7953_on_its_bus():
    meter, driver = open_meter(Calibration())
    assert type(meter) is driver.ADE7953
    assert driver.BUS == "i2c"
    assert meter.BILLING
    assert meter._bus.wiring == (METER["i2c_id"], PINS["i2c_scl"], PINS["i2c_sda"], METER["i2c_freq_hz"])
    assert meter._bus.timeout <= 5_000  # a hanging bus must not stop the guard
