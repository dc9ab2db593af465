# needs: sim
"""Mains, contactor, car and watchdog, as time passes."""

from config import DEFAULTS, merge
from run_in_micropython import raises
from world import World

CONTACTOR = 25


class WatchdogError(Exception):
    """Stands for the reset."""


def expire():
    raise WatchdogError


def world(**settings):
    return World(merge(DEFAULTS, settings), expire)


def charging_world(**car):
    new = world()
    new.plug_in(dict({"energy_wh": 500, "current_ma": 10000}, **car))
    new.drive(CONTACTOR, 1)
    return new


def test_contacts_follow_the_pin_after_their_delay():
    w = world(contactor={"close_ms": 20, "open_ms": 10})
    w.drive(CONTACTOR, 1)
    w.advance(19)
    assert not w.contacts_closed
    w.advance(20)
    assert w.contacts_closed
    w.drive(CONTACTOR, 0)
    w.advance(29)
    assert w.contacts_closed
    w.advance(30)
    assert not w.contacts_closed


def test_a_short_pulse_moves_no_contacts():
    w = world()
    w.drive(CONTACTOR, 1)
    w.advance(10)
    w.drive(CONTACTOR, 0)
    w.advance(1000)
    assert not w.contacts_closed


def test_a_floating_pin_releases_the_contactor():
    w = world()
    w.drive(CONTACTOR, 1)
    w.advance(100)
    w.drive(CONTACTOR, None)
    w.advance(200)
    assert not w.contacts_closed


def test_active_low_contactor_on_another_pin():
    w = world(wiring={"contactor_pin": 4, "contactor_active_high": False})
    w.drive(CONTACTOR, 0)
    w.advance(100)
    assert not w.contacts_closed
    w.drive(4, 0)
    w.advance(200)
    assert w.contacts_closed


def test_car_takes_exactly_its_energy_however_often_one_looks():
    for step_ms in (100, 777, 60000):
        w = charging_world(energy_wh=1234.5)
        while not w.is_reached("car_full"):
            assert w.now_ms < 7200000
            w.advance(w.now_ms + step_ms)
        assert abs(w.true_j / 3600 - 1234.5) < 1e-6, w.true_j
        taken_j = w.true_j
        w.advance(w.now_ms + 600000)
        assert w.true_j == taken_j
        assert w.state()["current_ma"] == 0


def test_20_kwh_are_exact_to_a_mwh():
    w = charging_world(energy_wh=20000)
    w.advance(12 * 3600 * 1000)
    assert w.state()["true_mwh"] == 20_000_000
    assert w.state()["car_full"]


def test_car_without_taper_stops_at_full_current():
    w = charging_world(energy_wh=100, taper_wh=0)
    w.advance(100000)
    assert w.state()["current_ma"] == 10000
    w.advance(3600000, "car_full")
    assert abs(w.true_j - 360000) < 1e-3
    assert abs(w.now_ms - 157600) < 2000, w.now_ms  # 100 Wh at 2300 W, after 1.02 s


def test_current_tapers_to_the_cutoff():
    w = charging_world(energy_wh=100, taper_wh=50, cutoff_ma=1000)
    currents = []
    while not w.is_reached("car_full"):
        w.advance(w.now_ms + 1000, "car_full")
        currents.append(w.state()["current_ma"])
    assert max(currents) == 10000
    assert currents[3:] == sorted(currents[3:], reverse=True)
    assert 1000 <= currents[-2] < 1100


def test_car_starts_after_its_delay_and_again_after_an_interruption():
    w = charging_world(start_ms=3000)
    w.advance(3019)
    assert w.true_j == 0
    w.advance(4020)
    assert 2200 < w.true_j < 2400
    w.drive(CONTACTOR, 0)
    w.advance(5000)
    taken_j = w.true_j
    w.drive(CONTACTOR, 1)
    w.advance(8019)
    assert w.true_j == taken_j
    w.advance(9000)
    assert w.true_j > taken_j


def test_open_contacts_unplugging_and_dead_mains_stop_the_energy():
    w = charging_world()
    w.advance(10000)
    w.set_mains(0)
    taken_j = w.true_j
    w.advance(20000)
    assert w.true_j == taken_j
    assert w.state()["voltage_mv"] == 0
    w.set_mains(230000)
    w.advance(30000)
    assert w.true_j > taken_j
    w.unplug()
    taken_j = w.true_j
    w.advance(40000)
    assert w.true_j == taken_j


def test_meter_agrees_with_the_truth_within_its_gain_error():
    w = charging_world(energy_wh=300)
    for register, value in ((b"\x00\xfe", b"\xad"), (b"\x01\x20", b"\x00\x30"), (b"\x00\x08", b"\x04")):
        w.meter.write(register + value, 1000)
    counts = 0
    while w.now_ms < 1800000:
        w.advance(w.now_ms + 10000)
        w.meter.write(b"\x03\x1e", w.now_ms)
        counts += int.from_bytes(w.meter.read(4), "big")
    metered_wh = counts * (350.3714 * 44.19417) / (206900 * 3600)
    error_ppm = (metered_wh / 300 - 1) * 1e6
    assert abs(error_ppm - 300) < 100 + 5, error_ppm


def trace(seed):
    w = world(seed=seed, car={"energy_wh": 500, "current_ma": 10000})
    w.drive(CONTACTOR, 1)
    w.meter.write(b"\x03\x1c", 0)
    rows = []
    for now_ms in range(0, 60000, 700):
        w.advance(now_ms)
        rows.append((w.state()["voltage_mv"], w.true_j, w.meter.read(4)))
    return rows


def test_same_seed_same_trace():
    assert trace(7) == trace(7)
    assert trace(7) != trace(8)


def test_mains_stay_near_nominal():
    w = world()
    voltages_mv = []
    for _ in range(1200):
        w.advance(w.now_ms + 1000)
        voltages_mv.append(w.state()["voltage_mv"])
    assert 228000 < min(voltages_mv) < 229500
    assert 230500 < max(voltages_mv) < 232000


def test_advance_stops_at_the_event():
    w = charging_world()
    w.advance(100000, "contactor_closed")
    assert w.now_ms == 20
    w.advance(100000, "contactor_closed")
    assert w.now_ms == 20, "already so"


def test_watchdog_expires_unless_fed():
    w = world()
    w.watchdog_ms = 5000
    w.advance(4999)
    w.watchdog_ms = 9999
    w.advance(9998)
    raises(WatchdogError, w.advance, 20000)
    assert w.now_ms == 9999


def test_impossible_cars_are_refused():
    for car in ({"energy_wh": 0}, {"current_ma": -1}, {"taper_wh": 600}, {"cutoff_ma": 10000}, {"start_ms": -1}):
        raises(ValueError, lambda car=car: charging_world(**car))
    raises(TypeError, lambda: world().plug_in({"energy_wh": 1}))
