# needs: sim
"""The firmware's own metering on the simulated board: what it books against what truly flowed, on a good bus and on bad ones."""

import json
import os

with open("sim.json", "w") as file:
    json.dump({"seed": 5, "front_end": {"ripple_ppm": 1000}}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

from clock import world
from plug import board
from plug.drivers.contactor import Contactor
from plug.errors import MeterError
from plug.metering import meter as meters
from plug.metering.calibration import Calibration
from plug.metering.energy import EnergyRegister

STATED_ERROR_PPM = 1000  # the simulated front end: 300 of gain, 100 of noise; the data sheet's 0.1 % over all


class Plug:
    """The metering part of the firmware, started; it samples at the board's rate."""

    def __init__(self, calibration=None):
        time.sleep_ms(200)
        self.contactor = Contactor(board.PINS["contactor"], board.CONTACTOR_ACTIVE_HIGH)
        self.meter = meters.open_meter(calibration or Calibration())[0]
        self.meter.start()
        self.register = EnergyRegister(0, board.METER["energy_mwh_numerator"], board.METER["energy_mwh_denominator"])
        self.failed = 0
        self.run(1)
        self.meter.take_counts()

    def run(self, seconds):
        interval_ms = board.METER["sample_interval_ms"]
        for _ in range(seconds * 1000 // interval_ms):
            time.sleep_ms(interval_ms)
            try:
                self.meter.sample(time.ticks_ms())
            except MeterError:
                self.failed += 1
            self.register.add(self.meter.take_counts())


def charged(plug, seconds, during=None):
    """Charge for so long, with `during()` in the middle; return (true, ideal, booked) mWh of that time."""
    before = world.state()
    booked_mwh = plug.register.total_mwh
    world.plug_in({"energy_wh": 5000, "current_ma": 10000})
    plug.contactor.close()
    plug.run(seconds // 2)
    if during:
        during()
    plug.run(seconds // 2)
    plug.contactor.open()
    plug.run(5)
    after = world.state()
    return after["true_mwh"] - before["true_mwh"], after["ideal_mwh"] - before["ideal_mwh"], plug.register.total_mwh - booked_mwh


def test_books_the_energy_within_the_stated_error_and_the_ideal_counts_exactly():
    plug = Plug()
    true_mwh, ideal_mwh, booked_mwh = charged(plug, 300)
    assert true_mwh > 180_000
    assert abs(booked_mwh - true_mwh) * 1_000_000 <= true_mwh * STATED_ERROR_PPM, (booked_mwh, true_mwh)
    assert abs(booked_mwh - ideal_mwh) <= 2, (booked_mwh, ideal_mwh)
    assert plug.meter.discarded == 0


def test_reads_voltage_current_power_and_frequency():
    plug = Plug()
    world.plug_in({"energy_wh": 500, "current_ma": 8000, "power_factor": 0.8})
    plug.contactor.close()
    plug.run(10)
    truth = world.state()
    assert abs(plug.meter.voltage_mv - truth["voltage_mv"]) <= truth["voltage_mv"] // 300
    assert abs(plug.meter.current_ma - 8000) <= 24
    assert abs(plug.meter.power_mw - truth["power_mw"]) <= truth["power_mw"] // 500
    assert abs(plug.meter.frequency_mhz - 50_000) <= 20
    plug.contactor.open()
    plug.run(2)


def test_a_reset_of_the_ic_loses_energy_and_never_adds_any():
    plug = Plug()
    _, ideal_mwh, booked_mwh = charged(plug, 120, lambda: world.meter.reset(world.now_ms))
    assert 0.95 * ideal_mwh < booked_mwh <= ideal_mwh + 1, (booked_mwh, ideal_mwh)
    assert plug.meter.discarded >= 1


def test_no_fault_of_the_bus_adds_energy():
    plug = Plug()
    faults = world.bus_faults
    for name, value, share in (("flip_ppm", 2000, 0.5), ("stuck", 0x00, 0.4), ("stuck", 0xFF, 0.4)):

        def strike(name=name, value=value):
            good = getattr(faults, name)
            setattr(faults, name, value)
            plug.run(5)
            setattr(faults, name, good)

        _, ideal_mwh, booked_mwh = charged(plug, 60, strike)
        assert share * ideal_mwh < booked_mwh <= ideal_mwh + 2, (name, value, booked_mwh, ideal_mwh)
    assert plug.failed


def test_transfers_that_fail_before_or_after_the_ic_has_answered_lose_nothing():
    plug = Plug()

    def strike():
        for _ in range(20):
            world.failing_transfers = 2
            plug.run(1)
            world.late_failures = 2
            plug.run(1)

    _, ideal_mwh, booked_mwh = charged(plug, 60, strike)
    assert abs(booked_mwh - ideal_mwh) <= 2, (booked_mwh, ideal_mwh)
