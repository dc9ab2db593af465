# needs: sim
"""Interrupts that wait until the firmware next turns to the simulator, as they do for a long native loop on the chip."""

import json
import os

with open("sim.json", "w") as file:
    json.dump({"cpu_scale": 50, "late_interrupts": True}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

from clock import world
from machine import Pin


def test_a_handler_waits_for_the_end_of_the_computing():
    calls = []
    Pin(27, Pin.IN, Pin.PULL_UP).irq(lambda pin: calls.append(world.now_us), Pin.IRQ_FALLING)

    def press():
        world.button_pressed = True
        world.pins.changed()

    time.sleep_ms(1)
    due_us = world.now_us + 500
    world.agenda.set(None, due_us, press)
    for _ in range(20_000):
        pass
    assert calls == []
    now_us = time.ticks_us()
    assert len(calls) == 1
    assert due_us + 1000 < calls[0] <= now_us
    time.sleep_ms(10)
    assert len(calls) == 1
