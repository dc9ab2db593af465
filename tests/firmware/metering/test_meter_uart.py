# board: cse7766_16a
"""A meter on a UART, on the pins of its board file."""

import sys

from plug.board import METER, PINS


class Pin:
    def __init__(self, number):
        self.number = number


class UART:
    def __init__(self, id, *, baudrate, tx, rx, parity, rxbuf):  # noqa: A002 - as the machine's
        self.wiring = (id, baudrate, tx.number, rx.number, parity)
        self.rxbuf = rxbuf


class Machine:
    pass


sys.modules["machine"] = Machine()
sys.modules["machine"].Pin = Pin
sys.modules["machine"].UART = UART
from plug.metering.calibration import Calibration  # noqa: E402
from plug.metering.meter import open_meter  # noqa: E402


def test_a_cse7766_is_on_its_uart_with_even_parity():
    meter, driver = open_meter(Calibration())
    assert type(meter) is driver.CSE7766
    assert meter.BILLING
    assert meter._bus.wiring == (METER["uart_id"], 4_800, PINS["uart_tx"], PINS["uart_rx"], 0)
    assert meter._bus.rxbuf > 128  # what a UART of the chip needs at least
