# needs: sim
"""Computing that takes virtual time."""

import json
import os

with open("sim.json", "w") as file:
    json.dump({"cpu_scale": 50}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

import cpu
import machine
from clock import world
from machine import Pin


def compute(rounds=20_000):
    value = 1
    for i in range(rounds):
        value = value * 3 + i & 0xFFFF
    return value


def test_computing_is_charged_at_the_scale():
    start_us = time.ticks_us()
    began_ns = cpu.now_ns()
    compute()
    real_us = (cpu.now_ns() - began_ns) / 1000
    charged_us = time.ticks_diff(time.ticks_us(), start_us)
    assert 0.9 < charged_us / (real_us * 50) < 1.3, (charged_us, real_us)


def test_waiting_costs_no_more_than_it_lasts():
    start_us = time.ticks_us()
    time.sleep_ms(500)
    assert 500_000 <= time.ticks_diff(time.ticks_us(), start_us) < 505_000


def test_the_simulators_own_work_is_not_charged():
    compute_us = world.now_us
    for _ in range(200):
        time.sleep_ms(1)
        world.now_us  # noqa: B018
    loop_us = world.now_us - compute_us - 200_000
    assert loop_us < 200 * 150, loop_us  # 3 us of real time a round


def test_an_interrupt_in_the_middle_of_computing_comes_at_its_time():
    calls = []
    Pin(27, Pin.IN, Pin.PULL_UP).irq(lambda pin: calls.append(world.now_us), Pin.IRQ_FALLING)

    def press():
        world.button_pressed = True
        world.pins.changed()

    time.ticks_us()
    due_us = world.now_us + 2000
    world.agenda.set(None, due_us, press)
    compute()
    assert calls == []
    time.ticks_us()
    assert calls[0] - due_us < 1000
    assert world.now_us > due_us + 5000
    Pin(27).irq(None)


def test_a_handlers_computing_is_charged_too():
    def press():
        world.button_pressed = not world.button_pressed
        world.pins.changed()

    Pin(27, Pin.IN, Pin.PULL_UP).irq(lambda pin: compute(), Pin.IRQ_FALLING | Pin.IRQ_RISING)
    world.agenda.set(None, world.now_us + 100_000, press)
    time.sleep_ms(101)
    assert world.now_ms > 102
    start_us = time.ticks_us()
    assert start_us > 0
    Pin(27).irq(None)


def test_a_watchdog_sees_computing():
    class BiteError(Exception):
        pass

    def bite():
        world.watchdog_ms = None
        raise BiteError

    world._on_watchdog = bite
    watchdog = machine.WDT(timeout=5)
    compute(50_000)
    try:
        watchdog.feed()
    except BiteError:
        return
    raise AssertionError("it was fed too late")
