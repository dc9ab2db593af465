"""Calibration on a bench, by a person with a reference meter and a load, from the REPL with the app stopped:

from plug import calibrate
calibrate.run(store)
"""

from time import sleep_ms, ticks_ms

from micropython import const

from plug import board
from plug.drivers.contactor import Contactor
from plug.metering.calibration import Calibration, CalibrationError, solve_gains, solve_offset, solve_phase
from plug.metering.meter import open_meter

_SETTLE_MS = const(3_000)  # of a meter's filters
_AVERAGE_MS = const(10_000)


def run(store, old=None, ask=input, show=print):
    """Measure, solve, hand the new calibration's bytes to `store`, return it. Books no energy; in the end the contactor is open, whatever happens.

    `old` is the Calibration so far (None: none). `ask(text)` returns what the person types, an empty line skips a step; `show(text)` prints.
    No guard runs: a current over the board's rating ends it. Raises CalibrationError, MeterError, ValueError for what is no number.
    """
    contactor = Contactor(board.PINS["contactor"], board.CONTACTOR_ACTIVE_HIGH)
    try:
        calibration = old or Calibration()
        meter, driver = _open(calibration)
        ask("Load with power factor 1, near the rated current. The contactor closes at Enter.")
        contactor.close()
        measured = _average(meter)
        show("before: %d mV, %d mA, %d mW" % measured)
        reference = tuple(int(ask(f"reference: {quantity} = ")) for quantity in ("mV", "mA", "mW"))
        calibration = solve_gains(calibration, measured, reference)
        if driver.PHASE_AND_OFFSET:
            meter, driver = _open(calibration)
            text = ask("Load with power factor 0.5, lagging. Reference mW (averaged over 15 s from Enter; empty: no phase) = ")
            if text:
                calibration = solve_phase(calibration, _average(meter)[2], int(text), meter.frequency_mhz or 50_000)
                meter, driver = _open(calibration)
            text = ask("Load of about 100 mA, power factor 1. Reference mW (empty: no offset) = ")
            if text:
                calibration = solve_offset(calibration, _average(meter)[2], int(text))
        ask("Load with power factor 1 again.")
        meter, driver = _open(calibration)
        show("after: %d mV, %d mA, %d mW" % _average(meter))
        store(calibration.to_bytes())
        return calibration
    finally:
        contactor.open()


def _open(calibration):
    """Return the started meter with that calibration, and its driver's module."""
    meter, driver = open_meter(calibration)
    sleep_ms(driver.START_UP_MS)
    meter.start()
    return meter, driver


def _average(meter):
    """Return the average (voltage_mv, current_ma, power_mw) once the meter has settled."""
    sums, count = [0, 0, 0], 0
    begin_ms = ticks_ms()
    while True:
        sleep_ms(board.METER["sample_interval_ms"])
        elapsed_ms = ticks_ms() - begin_ms
        meter.sample(ticks_ms())
        values = (meter.voltage_mv, meter.current_ma, meter.power_mw)
        if (values[1] or 0) > board.RATED_CURRENT_MA * 5 // 4:
            raise CalibrationError(f"{values[1]} mA flow: the board is rated {board.RATED_CURRENT_MA}; use a smaller load")
        if elapsed_ms >= _SETTLE_MS and None not in values:
            sums = [total + value for total, value in zip(sums, values)]  # noqa: B905 - not in MicroPython
            count += 1
        if elapsed_ms >= _SETTLE_MS + _AVERAGE_MS:
            if count == 0:
                raise CalibrationError("the meter gave no reading; check its wiring")
            return tuple(total // count for total in sums)
