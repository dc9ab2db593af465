# needs: sim
"""Poles that bounce, weld, stick or leak, what load sense and thermometers see of it, and how often current was broken."""

from config import DEFAULTS, merge
from run_in_micropython import raises
from world import World

CONTACTOR, LINE, NEUTRAL, NTC_CONTACTS, NTC_PINS = 25, 35, 36, 32, 33


def world(**settings):
    return World(merge(DEFAULTS, settings), None)


def charging(**settings):
    w = world(**settings)
    w.plug_in({"energy_wh": 5000, "current_ma": 10000, "start_ms": 100})
    w.drive(CONTACTOR, 1)
    w.advance(1000)
    return w


def sense(w):
    return w.pins.level(LINE), w.pins.level(NEUTRAL)


def test_contacts_bounce_when_they_close():
    w = world(contactor={"close_ms": 20, "open_ms": 10, "bounce_ms": 4})
    w.drive(CONTACTOR, 1)
    seen = []
    for ms in (19, 21, 23, 25):
        w.advance(ms)
        seen.append(w.contacts_closed)
    assert seen == [False, True, False, True], seen


def test_a_release_during_the_bounce_opens_for_good():
    w = world(contactor={"close_ms": 20, "open_ms": 1, "bounce_ms": 40})
    w.drive(CONTACTOR, 1)
    w.advance(25)
    w.drive(CONTACTOR, 0)
    w.advance(200)
    assert not w.contacts_closed


def test_load_sense_is_low_while_live_and_a_while_after():
    w = world()
    assert sense(w) == (1, 1)
    w.drive(CONTACTOR, 1)
    w.advance(20)
    assert sense(w) == (0, 0)
    w.drive(CONTACTOR, 0)
    w.advance(20 + 10 + 19)
    assert sense(w) == (0, 0), "the load side is still charged"
    w.advance(20 + 10 + 20)
    assert sense(w) == (1, 1)
    w.drive(CONTACTOR, 1)
    w.advance(200)
    w.set_mains(voltage_mv=0)
    assert sense(w) == (1, 1), "a dead supply is not live"


def test_each_pole_welds_by_itself():
    w = charging()
    w.contactor.set_condition(line="welded")
    w.drive(CONTACTOR, 0)
    w.advance(2000)
    assert sense(w) == (0, 1)
    assert w.state()["current_ma"] == 0, "the other pole broke the current"
    w.contactor.set_condition(line="ok", neutral="welded")
    w.advance(3000)
    assert sense(w) == (1, 0)
    w.contactor.set_condition(line="welded")
    w.advance(5000)
    assert w.state()["current_ma"] == 10000, "both welded: the car goes on charging"


def test_a_pole_that_stays_open_breaks_the_circuit():
    w = charging()
    w.contactor.set_condition(neutral="stuck_open")
    w.advance(2000)
    assert sense(w) == (0, 1)
    assert not w.contacts_closed
    raises(ValueError, w.contactor.set_condition, "glued")


def test_leakage_over_the_threshold_looks_live():
    w = world()
    w.leakage_ua = {"line": 499, "neutral": 500}
    assert sense(w) == (1, 0)


def test_openings_under_load_are_counted_with_their_current():
    w = charging()
    w.drive(CONTACTOR, 0)
    w.advance(2000)
    state = w.state()
    assert (state["openings"], state["opening_ma"]) == (1, 10000)
    w.unplug()
    w.drive(CONTACTOR, 1)
    w.advance(3000)
    w.drive(CONTACTOR, 0)
    w.advance(4000)
    assert w.state()["openings"] == 1, "without a load nothing was broken"


def test_the_coil_pins_moments_are_on_record():
    w = world()
    w.advance(5)
    w.drive(CONTACTOR, 1)
    w.advance(1000)
    w.drive(CONTACTOR, None)
    state = w.state()
    assert (state["coil_high_at_us"], state["coil_low_at_us"]) == (5000, 1_000_000)


def test_inrush_and_power_factor():
    w = world()
    w.plug_in({"energy_wh": 500, "current_ma": 10000, "start_ms": 0, "power_factor": 0.8, "inrush": 3, "inrush_ms": 50})
    w.drive(CONTACTOR, 1)
    w.advance(40)
    assert w.state()["current_ma"] == 30000
    w.advance(1000)
    state = w.state()
    assert state["current_ma"] == 10000
    assert abs(state["power_mw"] - state["voltage_mv"] * 8) < 10
    for wrong in ({"power_factor": 0.4}, {"inrush": 0.5}, {"inrush_ms": -1}):
        raises(ValueError, w.plug_in, dict({"energy_wh": 500, "current_ma": 10000}, **wrong))


def test_a_capacitive_load_side_draws_current_and_no_energy():
    w = world(load_capacitance_nf=1000)
    w.drive(CONTACTOR, 1)
    w.advance(10000)
    state = w.state()
    assert abs(state["current_ma"] - 72) <= 1, state["current_ma"]  # 230 V * 1 uF * 314 / s
    assert state["true_mwh"] == 0


def test_a_dip_lasts_its_time():
    w = charging()
    w.set_dip(150.0)
    assert w.state()["voltage_mv"] == 150000
    w.advance(3000)
    assert w.state()["voltage_mv"] == 150000, "noise must not end it"
    w.set_dip(None)
    assert w.state()["voltage_mv"] > 225000


def test_contacts_warm_by_their_loss():
    w = charging(heat={"contacts_uohm": 5000, "mk_per_w": 60000, "time_constant_ms": 300000})
    cold_uv = w.analog_uv(NTC_CONTACTS)
    assert abs(cold_uv - 1_650_000) < 10_000, "10 kOhm under 10 kOhm at 25 degrees"
    w.advance(301_000)
    state = w.state()
    assert abs(state["contacts_mc"] - (25000 + 30000 * 0.632)) < 300, state["contacts_mc"]  # 100 A^2 * 5 mOhm * 60 K/W, one time constant
    assert state["pins_mc"] < 29000
    assert w.analog_uv(NTC_CONTACTS) < w.analog_uv(NTC_PINS) < cold_uv
    w.drive(CONTACTOR, 0)
    w.advance(3_000_000)
    assert w.state()["contacts_mc"] < 25100


def test_a_broken_or_shorted_ntc():
    w = world()
    w.heat.ntc["contacts"], w.heat.ntc["pins"] = "open", "short"
    assert (w.analog_uv(NTC_CONTACTS), w.analog_uv(NTC_PINS)) == (3_300_000, 0)
