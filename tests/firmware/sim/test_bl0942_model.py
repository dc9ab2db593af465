# needs: sim
"""The BL0942 on its serial line, against figures from the data sheet's formulas."""

import json
import os

with open("sim.json", "w") as file:
    front_end = {"shunt_uohm": 1000, "divider_upper_ohm": 1950000, "divider_lower_ohm": 510, "gain_error_ppm": 0, "noise_ppm": 0}
    json.dump({"meter": "bl0942", "front_end": front_end}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import time

from clock import world
from machine import UART, Pin
from run_in_micropython import raises

MV_PER_V = 510 / 1950510 * 1000


def line(**named):
    return UART(1, 4800, **dict({"tx": Pin(17), "rx": Pin(16)}, **named))


def ask(uart, request=b"\x58\xaa", wait_ms=70):
    uart.read()
    uart.write(request)
    time.sleep_ms(wait_ms)
    return uart.read()


def part(packet, start, width):
    return int.from_bytes(packet[start : start + width], "little")


def write(uart, register, value):
    frame = bytes([0xA8, register]) + value.to_bytes(3, "little")
    ask(uart, frame + bytes([~sum(frame) & 0xFF]))


def charge():
    Pin(25, Pin.OUT, value=1)
    world.plug_in({"energy_wh": 5000, "current_ma": 10000, "start_ms": 0})
    time.sleep_ms(2000)


def test_the_packet_holds_what_flows():
    uart = line()
    charge()
    packet = ask(uart)
    assert len(packet) == 23
    assert packet[0] == 0x55
    assert (0x58 + sum(packet)) & 0xFF == 0xFF, "inverted sum, the command included"
    truth = world.state()
    assert abs(part(packet, 1, 3) * 1.218 / 305978 - 10) < 0.001
    assert abs(part(packet, 4, 3) * 1.218 / 73989 / MV_PER_V * 1000 - truth["voltage_mv"]) < 300
    assert abs(part(packet, 10, 3) * 1.218**2 / 3537 / MV_PER_V * 1000 - truth["power_mw"]) < 3000
    assert part(packet, 16, 2) == 20000, "10^6 over 50 Hz"


def test_pulses_are_the_energy():
    uart = line()
    charge()
    before, true_mwh, ideal_mwh = part(ask(uart), 13, 3), world.state()["true_mwh"], world.state()["ideal_mwh"]
    time.sleep_ms(600_000)
    pulses = part(ask(uart), 13, 3) - before
    mwh = pulses * 1638.4 * 256 * 1.218**2 / 3537 / MV_PER_V / 3.6
    energy_mwh = world.state()["true_mwh"] - true_mwh
    assert abs(mwh - energy_mwh) < 500, (mwh, energy_mwh)
    assert abs(world.state()["ideal_mwh"] - ideal_mwh - energy_mwh) <= 2


def test_bytes_arrive_one_after_the_other_and_a_full_buffer_loses_the_rest():
    uart = line()
    uart.read()
    uart.write(b"\x58\xaa")
    assert uart.any() == 0
    time.sleep_ms(20)
    assert 5 <= uart.any() <= 8, "2.08 ms a byte, after the request's two"
    time.sleep_ms(100)
    for _ in range(13):
        uart.write(b"\x58\xaa")
        time.sleep_ms(70)
    assert uart.any() == 256
    buffer = bytearray(10)
    assert uart.readinto(buffer) == 10
    assert len(uart.read(300)) == 246
    assert uart.read() is None


def test_a_wrong_line_hears_nothing_or_nonsense():
    assert ask(line(rx=Pin(4))) is None
    assert ask(UART(2, 4800, tx=Pin(17), rx=Pin(16))) is None
    uart = line()
    uart.write(b"\x58\xaa")
    uart.init(9600)
    time.sleep_ms(70)
    assert uart.read()[0] != 0x55
    raises(ValueError, UART, 3)
    raises(ValueError, lambda: line(rxbuf=100))


def test_registers_are_locked_until_the_key_is_written():
    uart = line()
    write(uart, 0x14, 0)
    assert part(ask(uart, b"\x58\x14"), 0, 3) == 0x0B
    write(uart, 0x1D, 0x55)
    write(uart, 0x14, 0)
    answer = ask(uart, b"\x58\x14")
    assert part(answer, 0, 3) == 0
    assert (0x58 + 0x14 + sum(answer)) & 0xFF == 0xFF
    write(uart, 0x1C, 0x5A5A5A)
    time.sleep_ms(100)
    assert part(ask(uart, b"\x58\x14"), 0, 3) == 0x0B, "the soft reset brings everything back"
    assert part(ask(uart), 13, 3) < 5


def test_a_reset_ic_is_silent_and_a_broken_request_gets_no_answer():
    uart = line()
    world.meter.reset(world.now_ms)
    assert ask(uart, wait_ms=40) is None
    assert ask(uart, b"\x58") is None
    assert len(ask(uart)) == 23


def test_flipped_bits_break_the_sum():
    uart = line()
    world.bus_faults.flip_ppm = 100_000
    broken = 0
    for _ in range(10):
        packet = ask(uart, wait_ms=100)
        broken += packet is None or len(packet) != 23 or (0x58 + sum(packet)) & 0xFF != 0xFF
    world.bus_faults.flip_ppm = 0
    assert broken >= 5
