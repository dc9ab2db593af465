# needs: sim
"""The HLW8012's pulses, counted by the processor's counters."""

import json
import os

with open("sim.json", "w") as file:
    front_end = {"shunt_uohm": 1000, "divider_upper_ohm": 2350000, "divider_lower_ohm": 1000, "gain_error_ppm": 0, "noise_ppm": 0}
    json.dump({"meter": "hlw8012", "front_end": front_end}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

from clock import world
from esp32 import PCNT
from machine import Counter, Pin
from run_in_micropython import raises

CF, CF1, SEL = 18, 19, 23
HZ_PER_W = 0.001 / 2351 * 48 / 2.43**2 * 3579000 / 128
HZ_PER_A = 0.001 * 24 / 2.43 * 3579000 / 512
HZ_PER_V = 1 / 2351 * 2 / 2.43 * 3579000 / 512


def charge():
    Pin(25, Pin.OUT, value=1)
    world.plug_in({"energy_wh": 9000, "current_ma": 10000, "start_ms": 0})
    time.sleep_ms(1000)


def test_pulses_are_energy_current_or_voltage():
    charge()
    select = Pin(SEL, Pin.OUT, value=0)
    power, other = Counter(0, Pin(CF, Pin.IN)), Counter(1, Pin(CF1, Pin.IN))
    true_mwh = world.state()["true_mwh"]
    other.value(0)
    time.sleep_ms(10_000)
    assert abs(power.value() - (world.state()["true_mwh"] - true_mwh) * 3.6 * HZ_PER_W) <= 1
    assert abs(other.value(0) - 100 * HZ_PER_A) <= 1
    select(1)
    time.sleep_ms(10_000)
    assert abs(other.value() - 2300 * HZ_PER_V) < 2300 * HZ_PER_V * 0.01


def test_a_unit_goes_back_to_zero_at_its_limit_and_says_so():
    charge()
    flags = []
    unit = PCNT(3, pin=Pin(CF), rising=PCNT.INCREMENT, max=100)
    unit.irq(lambda unit: flags.append(unit.irq().flags()), PCNT.IRQ_MAX)
    assert PCNT(3) is unit
    time.sleep_ms(1000)
    assert unit.value() == 0, "not started"
    unit.start()
    passed = 0
    for _ in range(10):
        time.sleep_ms(200)
        passed = len(flags) * 100 + unit.value()
    passed = len(flags) * 100 + unit.value()
    assert abs(passed - 2 * 2300 * HZ_PER_W) < 8, passed
    assert set(flags) == {PCNT.IRQ_MAX}
    unit.value(0)
    assert unit.value() == 0
    raises(ValueError, unit.value, 5)
    raises(ValueError, PCNT, 8)
    unit.deinit()


def test_edges_can_be_watched_one_by_one():
    charge()
    edges = []
    Pin(CF, Pin.IN).irq(lambda pin: edges.append(time.ticks_us()), Pin.IRQ_RISING)
    time.sleep_ms(1000)
    Pin(CF).irq(None)
    period_us = (edges[-1] - edges[0]) / (len(edges) - 1)
    assert abs(1e6 / period_us - world.state()["power_mw"] / 1000 * HZ_PER_W) < 1


def test_nothing_flows_nothing_counts():
    Pin(25, Pin.OUT, value=0)
    time.sleep_ms(1000)
    power = Counter(0, Pin(CF, Pin.IN))
    time.sleep_ms(60_000)
    assert power.value() == 0
