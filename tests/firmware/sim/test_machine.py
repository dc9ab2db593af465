# needs: sim
"""Pins and the I2C bus, as a driver meets them."""

import time

import machine
from clock import world
from machine import I2C, Pin
from run_in_micropython import raises

METER = 0x38


def bus(**changes):
    if world.now_ms < 100:
        time.sleep_ms(100)
    return I2C(0, **dict({"scl": Pin(22), "sda": Pin(21), "freq": 400_000}, **changes))


def errno(function, *arguments):
    return raises(OSError, function, *arguments).errno


def test_meter_is_silent_until_it_has_started():
    i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=400_000)
    world.meter.reset(world.now_ms)
    assert i2c.scan() == []
    assert errno(i2c.readfrom, METER, 1) == 19
    time.sleep_ms(100)
    assert i2c.scan() == [METER]


def test_wrong_address_pins_bus_or_speed_get_no_answer():
    assert bus().scan() == [METER]
    assert errno(bus().readfrom, 0x39, 1) == 19
    for wrong in (bus(scl=Pin(21), sda=Pin(22)), bus(freq=1_000_000), I2C(1, scl=Pin(22), sda=Pin(21))):
        assert errno(wrong.readfrom, METER, 1) == 19
    raises(ValueError, I2C, 2)


def test_register_access_of_every_kind():
    i2c = bus()
    i2c.writeto_mem(METER, 0x101, b"\x12\x34", addrsize=16)
    assert i2c.readfrom_mem(METER, 0x101, 2, addrsize=16) == b"\x12\x34"
    buffer = bytearray(2)
    i2c.readfrom_mem_into(METER, 0x101, buffer, addrsize=16)
    assert buffer == b"\x12\x34"
    assert i2c.writeto(METER, b"\x01\x01\x56\x78") == 4
    i2c.writeto(METER, b"\x01\x01")
    assert i2c.readfrom(METER, 2) == b"\x56\x78"
    i2c.readfrom_into(METER, buffer)
    assert buffer == b"\x56\x78"


def test_an_8_bit_register_address_reaches_no_register():
    assert bus().readfrom_mem(METER, 0x04, 1) == b"\xff"


def test_failing_transfers_do_nothing():
    i2c = bus()
    i2c.writeto_mem(METER, 0x101, b"\x00\x01", addrsize=16)
    world.failing_transfers = 2
    for value in (b"\x00\x02", b"\x00\x03"):
        assert errno(lambda value=value: i2c.writeto_mem(METER, 0x101, value, addrsize=16)) == 19
    assert i2c.readfrom_mem(METER, 0x101, 2, addrsize=16) == b"\x00\x01"


def test_late_failures_happen_after_the_ic_has_done_its_part():
    i2c = bus()
    world.late_failures = 1
    assert errno(lambda: i2c.writeto_mem(METER, 0x101, b"\x00\x09", addrsize=16)) == 110
    assert i2c.readfrom_mem(METER, 0x101, 2, addrsize=16) == b"\x00\x09"


def test_an_output_drives_its_level_from_the_start():
    pin = Pin(25, Pin.OUT, value=1)
    assert (pin.value(), world.pin_levels[25]) == (1, 1)
    pin.off()
    assert (pin(), world.pin_levels[25]) == (0, 0)
    pin(1)
    assert Pin(25).value() == 1, "another object of the same pin"
    pin.toggle()
    assert world.pin_levels[25] == 0


def test_an_input_drives_nothing_and_reads_its_pull():
    assert Pin(25, Pin.IN, Pin.PULL_UP).value() == 1
    assert world.pin_levels[25] is None
    assert Pin(25, Pin.IN, Pin.PULL_DOWN).value() == 0


def test_impossible_pins_are_refused():
    raises(ValueError, Pin, 40)
    raises(ValueError, Pin, 34, Pin.OUT)
    assert Pin(34, Pin.IN).value() == 0


def test_watchdog_feeding_moves_the_deadline():
    watchdog = machine.WDT(timeout=2000)
    time.sleep_ms(1500)
    watchdog.feed()
    time.sleep_ms(1999)
    world.watchdog_ms = None
    raises(ValueError, machine.WDT, 1)


def test_processor_facts():
    assert machine.freq() == 160_000_000
    machine.freq(240_000_000)
    assert machine.freq() == 240_000_000
    raises(ValueError, machine.freq, 100_000_000)
    assert len(machine.unique_id()) == 6
    assert machine.reset_cause() == machine.PWRON_RESET
