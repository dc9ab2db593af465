"""The board's metering IC: its driver on its opened bus."""

from machine import Pin
from micropython import const

from plug import board

_TIMEOUT_US = const(2_000)  # a hanging bus must not cost more than a sample or two


def open_meter(calibration):
    """Return (driver, its module), not started; wait the module's START_UP_MS before start()."""
    part = board.METER["part"]
    module = __import__("plug.drivers." + part, None, None, (part,))
    return getattr(module, part.upper())(_open_bus(module), board.METER, calibration), module


def _open_bus(module):
    pins, scale = board.PINS, board.METER
    if module.BUS == "i2c":
        from machine import I2C

        return I2C(scale["i2c_id"], scl=Pin(pins["i2c_scl"]), sda=Pin(pins["i2c_sda"]), freq=scale["i2c_freq_hz"], timeout=_TIMEOUT_US)
    if module.BUS == "uart":
        from machine import UART

        return UART(scale["uart_id"], baudrate=module.BAUD, tx=Pin(pins["uart_tx"]), rx=Pin(pins["uart_rx"]), parity=module.PARITY, rxbuf=256)
    return module.open_pulses(pins)
