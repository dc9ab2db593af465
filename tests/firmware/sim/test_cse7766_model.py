# needs: sim
"""The CSE7766, which talks by itself."""

import json
import os

with open("sim.json", "w") as file:
    front_end = {"shunt_uohm": 1000, "divider_upper_ohm": 999000, "divider_lower_ohm": 1000, "gain_error_ppm": 0, "noise_ppm": 0}
    json.dump({"meter": "cse7766", "front_end": front_end}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

from clock import world
from machine import UART, Pin


def frame():
    uart = UART(1, 4800, parity=0, rx=Pin(16))
    uart.read()
    time.sleep_ms(150)
    data = uart.read()
    for start in range(len(data) - 23):
        if data[start + 1] == 0x5A and sum(data[start + 2 : start + 23]) & 0xFF == data[start + 23]:
            return data[start : start + 24]
    raise AssertionError(f"no frame in {data!r}")


def ratio(data, place):
    return int.from_bytes(data[place : place + 3], "big") / int.from_bytes(data[place + 3 : place + 6], "big")


def test_without_a_load_power_and_current_never_come():
    time.sleep_ms(100)
    data = frame()
    assert data[:2] == b"\xf6\x5a"
    assert data[20] & 0x70 == 0x40
    assert sum(data[2:23]) & 0xFF == data[23]
    assert abs(ratio(data, 2) * 1000 - world.state()["voltage_mv"]) < 400


def test_values_and_pulses_are_what_flows():
    Pin(25, Pin.OUT, value=1)
    world.plug_in({"energy_wh": 9000, "current_ma": 10000, "start_ms": 0, "power_factor": 0.9})
    time.sleep_ms(2000)
    data = frame()
    assert data[:2] == b"\x55\x5a"
    assert abs(ratio(data, 8) - 10) < 0.01
    assert abs(ratio(data, 14) * 1000 - world.state()["power_mw"]) < 5000
    before, true_mwh = int.from_bytes(data[21:23], "big"), world.state()["true_mwh"]
    time.sleep_ms(60_000)
    data = frame()
    joule = (int.from_bytes(data[21:23], "big") - before) * int.from_bytes(data[14:17], "big") / 1e6
    assert abs(joule / 3.6 / (world.state()["true_mwh"] - true_mwh) - 1) < 0.005


def test_a_wrong_parity_loses_bytes_and_a_stuck_line_all_of_them():
    uart = UART(1, 4800, rx=Pin(16))
    uart.read()
    time.sleep_ms(1000)
    assert 50 < uart.any() < 256
    uart.init(4800, parity=0)
    uart.read()
    world.bus_faults.stuck = 0
    time.sleep_ms(1000)
    assert uart.any() == 0
    world.bus_faults.stuck = None


def test_the_pulse_count_turns_a_bit_when_it_overflows():
    seen = set()
    for _ in range(12):
        time.sleep_ms(60_000)
        seen.add(frame()[20] >> 7)
    assert seen == {0, 1}
