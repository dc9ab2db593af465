# needs: sim
"""A metering bus that flips bits, is stuck or slow, and the time that its transfers and the flash take."""

import json
import os

with open("sim.json", "w") as file:
    json.dump({"bus_time": True, "flash_time": True}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

import machine
from clock import spend_us, world
from esp32 import Partition
from machine import I2C, Pin

METER = 0x38


def bus(freq=400_000):
    if world.now_ms < 100:
        time.sleep_ms(100)
    return I2C(0, scl=Pin(22), sda=Pin(21), freq=freq)


def read(i2c):
    return i2c.readfrom_mem(METER, 0x101, 2, addrsize=16)


def test_a_transfer_takes_the_time_of_its_bits():
    for freq, byte_us in ((400_000, 22.5), (100_000, 90)):
        i2c = bus(freq)
        start_us = world.now_us
        i2c.readfrom_mem(METER, 0x31A, 4, addrsize=16)
        assert world.now_us - start_us == round(8 * byte_us)  # address and two, address and four
        start_us = world.now_us
        i2c.writeto_mem(METER, 0x101, b"\x00\x01", addrsize=16)
        assert world.now_us - start_us == round(5 * byte_us)


def test_a_slow_slave_takes_longer():
    i2c = bus()
    world.bus_faults.slow_us = 4000
    start_us = world.now_us
    read(i2c)
    assert world.now_us - start_us == 4000 + round(6 * 22.5)
    world.bus_faults.slow_us = 0


def test_a_stuck_bus_reads_the_same_and_complains_of_nothing():
    i2c = bus()
    i2c.writeto_mem(METER, 0x101, b"\x12\x34", addrsize=16)
    for level in (0x00, 0xFF):
        world.bus_faults.stuck = level
        i2c.writeto_mem(METER, 0x101, b"\x56\x78", addrsize=16)
        assert read(i2c) == bytes([level, level])
    world.bus_faults.stuck = None
    assert read(i2c) == b"\x12\x34", "what was written meanwhile is lost"


def test_flipped_bits_come_at_their_rate():
    i2c = bus()
    i2c.writeto_mem(METER, 0x101, b"\x00\x00", addrsize=16)
    world.bus_faults.flip_ppm = 20_000
    wrong = 0
    for _ in range(500):
        wrong += sum(read(i2c)) != 0
    world.bus_faults.flip_ppm = 0
    assert 5 <= wrong <= 60, wrong


def test_time_that_is_spent_moves_the_world():
    pressed = []
    Pin(27, Pin.IN, Pin.PULL_UP).irq(lambda pin: pressed.append(world.now_us), Pin.IRQ_FALLING)

    def press():
        world.button_pressed = True
        world.pins.changed()

    due_us = world.now_us + 20_000
    world.agenda.set(None, due_us, press)
    start_us = world.now_us
    spend_us(45_000)
    assert world.now_us == start_us + 45_000
    assert pressed == [due_us]
    Pin(27).irq(None)


def test_erasing_flash_takes_its_time():
    start_us = world.now_us
    Partition("journal").ioctl(6, 0)
    assert 30_000 <= world.now_us - start_us <= 400_000  # W25Q32JV: 45 ms typical, 400 ms at most


def test_the_watchdog_bites_while_time_is_spent():
    class BiteError(Exception):
        pass

    def bite():
        world.watchdog_ms = None
        raise BiteError

    machine.WDT(timeout=100)
    world._on_watchdog = bite
    try:
        spend_us(150_000)
    except BiteError:
        return
    raise AssertionError("the watchdog was asleep")
