"""The parts on the board, opened by what the board file says of them."""

import esp32
from machine import ADC, I2C, UART, Pin

from plug import board
from plug.drivers.load_sense import LoadSense
from plug.drivers.thermometer import Thermometer

_PARTS = {"ade7953": "ADE7953", "bl0942": "BL0942", "cse7766": "CSE7766", "hlw8012": "HLW8012"}


def open_meter(calibration):
    """Return (the metering IC's driver, its module); only this one is imported."""
    part = board.METER["part"]
    module = __import__("plug.drivers." + part, None, None, (part,))
    return getattr(module, _PARTS[part])(_open_bus(module.BUS), board.METER, calibration), module
