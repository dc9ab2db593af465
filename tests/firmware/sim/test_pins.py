# needs: sim
"""What the processor's inputs see, interrupts, and the analog inputs."""

import asyncio
import time

import machine
from clock import world
from machine import ADC, Pin
from run_in_micropython import raises

BUTTON, PLUG, METER, COIL, LINE = 27, 39, 34, 25, 35


def press(pressed):
    world.button_pressed = pressed
    world.pins.changed()


def at(milliseconds, act):
    world.agenda.set(None, world.now_us + milliseconds * 1000, act)


def watched(pin, pull=None, trigger=Pin.IRQ_FALLING | Pin.IRQ_RISING):
    calls = []
    Pin(pin, Pin.IN, pull).irq(lambda pin: calls.append((time.ticks_ms(), pin.id, pin.value())), trigger)
    return calls


def test_button_and_plug_switch():
    button, plug = Pin(BUTTON, Pin.IN, Pin.PULL_UP), Pin(PLUG, Pin.IN)
    assert (button(), plug()) == (1, 1)
    press(True)
    world.plug_in({"energy_wh": 1, "current_ma": 1000})
    assert (button(), plug()) == (0, 0)
    press(False)
    world.unplug()
    assert (button(), plug()) == (1, 1)


def test_the_harness_can_force_a_level():
    plug = Pin(PLUG, Pin.IN)
    world.pins.forced[PLUG] = 0
    assert plug() == 0
    world.pins.forced[PLUG] = None
    assert plug() == 1


def test_handlers_run_at_the_moment_of_the_edge():
    calls = watched(BUTTON, Pin.PULL_UP, Pin.IRQ_FALLING)
    start = time.ticks_ms()
    at(5, lambda: press(True))
    at(7, lambda: press(False))
    at(9, lambda: press(True))
    time.sleep_ms(20)
    assert calls == [(start + 5, BUTTON, 0), (start + 9, BUTTON, 0)]
    Pin(BUTTON).irq(None)
    press(False)
    press(True)
    time.sleep_ms(1)
    assert len(calls) == 2
    press(False)


def test_the_coil_can_be_released_from_a_handler():
    coil = Pin(COIL, Pin.OUT, value=1)
    time.sleep_ms(100)
    Pin(BUTTON, Pin.IN, Pin.PULL_UP).irq(lambda pin: coil(0), Pin.IRQ_FALLING)
    pressed_at_us = world.now_us + 3000
    at(3, lambda: press(True))
    time.sleep_ms(1000)
    assert world.coil_low_at_us == pressed_at_us
    Pin(BUTTON).irq(None)
    press(False)


def test_no_handler_runs_within_another():
    running, nested = [], []

    def handler(pin):
        nested.append(len(running))
        running.append(pin)
        time.sleep_ms(5)
        running.pop()

    Pin(BUTTON, Pin.IN, Pin.PULL_UP).irq(handler, Pin.IRQ_FALLING)
    Pin(PLUG, Pin.IN).irq(handler, Pin.IRQ_FALLING)
    at(1, lambda: press(True))
    at(2, lambda: world.plug_in({"energy_wh": 1, "current_ma": 1000}))
    time.sleep_ms(50)
    assert nested == [0, 0]
    for pin in (BUTTON, PLUG):
        Pin(pin).irq(None)
    press(False)
    world.unplug()


def test_disabled_interrupts_come_later():
    calls = watched(BUTTON, Pin.PULL_UP, Pin.IRQ_FALLING)
    state = machine.disable_irq()
    press(True)
    time.sleep_ms(3)
    assert calls == []
    machine.enable_irq(state)
    assert len(calls) == 1
    Pin(BUTTON).irq(None)
    press(False)
    raises(NotImplementedError, Pin(BUTTON).irq, None, 4)


async def test_a_flag_set_by_a_handler_wakes_a_task_at_once():
    flag = asyncio.ThreadSafeFlag()
    Pin(BUTTON, Pin.IN, Pin.PULL_UP).irq(lambda pin: flag.set(), Pin.IRQ_FALLING)
    start = time.ticks_ms()
    at(40, lambda: press(True))
    await asyncio.wait_for(flag.wait(), 10)
    assert time.ticks_diff(time.ticks_ms(), start) == 40
    Pin(BUTTON).irq(None)
    press(False)


def test_load_sense_interrupts_both_ways():
    calls = watched(LINE)
    coil = Pin(COIL, Pin.OUT, value=0)
    time.sleep_ms(100)
    calls.clear()
    start = time.ticks_ms()
    coil(1)
    time.sleep_ms(100)
    coil(0)
    time.sleep_ms(100)
    assert calls == [(start + 20, LINE, 0), (start + 130, LINE, 1)], calls
    Pin(LINE).irq(None)


def test_the_meter_says_with_its_pin_that_it_was_reset():
    calls = watched(METER, None, Pin.IRQ_FALLING)
    world.meter.reset(world.now_ms)
    start = time.ticks_ms()
    time.sleep_ms(200)
    assert [call[0] for call in calls] == [start + 100]
    world.meter.write(b"\x03\x2e", world.now_ms)
    world.meter.read(4)
    assert Pin(METER, Pin.IN)() == 1
    Pin(METER).irq(None)


def test_analog_inputs():
    contacts = ADC(Pin(32), atten=ADC.ATTN_11DB)
    assert abs(contacts.read_uv() - 1_650_000) < 20_000
    assert 30000 < contacts.read_u16() < 36000
    world.heat.ntc["contacts"] = "open"
    assert contacts.read_uv() == 3_120_000, "the converter's end"
    assert contacts.read_u16() == 65535
    world.heat.ntc["contacts"] = "ok"
    contacts.atten(ADC.ATTN_0DB)
    assert contacts.read_uv() == 950_000
    raises(ValueError, ADC, Pin(25))
    raises(ValueError, ADC, 31)
    raises(ValueError, contacts.atten, 4)
