# needs: sim
"""The ADE7953's own detection: on the instantaneous value, at the phase at which the sine passes the level."""

from config import DEFAULTS, merge
from run_in_micropython import raises
from world import World

FULL_SCALE_A = 44.19417
IRQ = 34


def write(w, register, width, value):
    w.meter.write(register.to_bytes(2, "big") + value.to_bytes(width, "big"), w.now_ms)


def read(w, register, width=4):
    w.settle()
    w.meter.write(register.to_bytes(2, "big"), w.now_ms)
    return int.from_bytes(w.meter.read(width), "big")


def ready(limit_a=20.0, **settings):
    w = World(merge(DEFAULTS, settings), None)
    w.advance(200)
    write(w, 0x0FE, 1, 0xAD)
    write(w, 0x120, 2, 0x0030)
    write(w, 0x008, 1, 4)
    write(w, 0x325, 4, int(limit_a * 2**0.5 / (FULL_SCALE_A * 2**0.5) * 6_500_000))
    write(w, 0x32C, 4, 1 << 13)
    read(w, 0x32E)
    w.plug_in({"energy_wh": 5000, "current_ma": 10000, "start_ms": 0})
    w.drive(25, 1)
    w.advance(1000)
    return w


def test_current_below_the_level_is_no_event():
    w = ready()
    w.advance(60_000)
    assert read(w, 0x32D) & 1 << 13 == 0
    assert w.pins.level(IRQ) == 1


def test_the_pin_falls_when_the_sine_passes_the_level():
    # A sine of 100 A rms passes the peak of 20 A rms at asin(0.2), 6.41 % of its half period.
    for start_ms, delay_us in ((60_000, 641), (60_003, 0), (60_009, 0)):
        w = ready()
        w.advance(start_ms)
        w.irq_at_us = None
        w.set_overload(90.0)
        w.advance(start_ms + 20)
        assert w.pins.level(IRQ) == 0
        assert abs(w.irq_at_us - start_ms * 1000 - delay_us) <= 2, w.irq_at_us


def test_reading_the_status_with_reset_releases_the_pin_until_the_next_crest():
    w = ready()
    w.set_overload(30.0)
    w.advance(1020)
    assert read(w, 0x32D) & 1 << 13
    assert read(w, 0x32E) & 1 << 13
    w.advance(1035)
    assert w.pins.level(IRQ) == 0, "it goes on"
    w.set_overload(0.0)
    read(w, 0x32E)
    w.advance(2000)
    assert w.pins.level(IRQ) == 1
    assert read(w, 0x329) > 40 / FULL_SCALE_A * 6_500_000 * 0.99


def test_without_enable_only_the_status_tells():
    w = ready()
    write(w, 0x32C, 4, 0)
    w.set_overload(30.0)
    w.advance(1020)
    assert w.pins.level(IRQ) == 1
    assert read(w, 0x32D) & 1 << 13
    raises(NotImplementedError, write, w, 0x32C, 4, 1 << 15)


def test_over_voltage_is_seen_likewise():
    w = ready()
    write(w, 0x324, 4, int(300 / 350.3714 * 6_500_000))
    write(w, 0x32C, 4, 1 << 16)
    w.advance(2000)
    assert w.pins.level(IRQ) == 1
    w.set_dip(310.0)
    w.advance(2020)
    assert w.pins.level(IRQ) == 0


def test_inrush_trips_it_at_the_start_of_the_car():
    w = ready()
    w.drive(25, 0)
    w.advance(2000)
    w.plug_in({"energy_wh": 500, "current_ma": 10000, "start_ms": 500, "inrush": 4, "inrush_ms": 30})
    w.irq_at_us = None
    w.drive(25, 1)
    w.advance(3000)
    assert 2_520_000 <= w.irq_at_us <= 2_530_000, w.irq_at_us


def test_a_step_shorter_than_a_half_period_may_miss_the_crest():
    w = ready()
    read(w, 0x329)
    w.advance(1001)
    seen = read(w, 0x328)
    assert 0 < seen < 10 / FULL_SCALE_A * 6_500_000, "a millisecond after zero crossing the peak is still to come"
    w.advance(1012)
    assert abs(read(w, 0x328) - 10 * 1.0003 / FULL_SCALE_A * 6_500_000) < 2000


def test_rms_carries_the_ripple_of_twice_the_mains():
    w = ready(front_end={"ripple_ppm": 5000, "noise_ppm": 0})
    readings = []
    for ms in range(10_000, 10_020):
        w.advance(ms)
        readings.append(read(w, 0x31A))
    middle = (max(readings) + min(readings)) / 2
    assert abs((max(readings) - min(readings)) / 2 / middle - 0.005) < 0.0005


def test_the_line_period_follows_the_mains():
    w = ready()
    w.set_mains(frequency_mhz=47_500)
    assert read(w, 0x10E, 2) == 223_750_000 // 47_500 - 1
    before = w.mains.phase(w.now_us)
    w.set_mains(frequency_mhz=65_000)
    assert abs(w.mains.phase(w.now_us) - before) < 1e-6, "the sine does not jump"
    raises(ValueError, w.set_mains, 230000, 80_000)
