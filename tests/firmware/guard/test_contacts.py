"""Welded and stuck contacts: each pole by itself, before, at and after every closing, and all the time between."""

from guard.rig import Rig, mains
from plug.errors import Tripped, WeldUnknown
from run_in_micropython import raises

LOAD_MA = 9_000


def test_pole_that_is_live_at_boot():
    for pole, name in ((1, "line"), (2, "neutral")):
        rig = Rig()
        rig.welded = pole
        assert 500 <= rig.run_to_trip("closed_at_boot") <= 700
        assert rig.guard.trip_detail == name + " live"
        assert rig.guard.weld == "welded"
        raises(Tripped, rig.guard.clear, rig.now_ms)
        rig.reboot()
        assert rig.guard.weld == "welded"
        rig.run(1_000)
        raises(Tripped, rig.guard.clear, rig.now_ms)
        rig.welded = 0
        rig.meter.voltage_mv = 0
        rig.run(3_000)
        raises(Tripped, rig.guard.clear, rig.now_ms)  # without mains nothing shows live
        rig.meter.voltage_mv = 230_000
        rig.run(3_000)
        rig.guard.clear(rig.now_ms)
        rig.run(3_000)
        assert (rig.guard.trip, rig.guard.weld) == (None, "ok")


def test_no_closing_before_the_self_check():
    rig = Rig()
    rig.guard.want(True, rig.now_ms)
    raises(WeldUnknown, rig.guard.check_session)
    assert rig.run(5_000, lambda: mains.coil == 1) >= 1_900  # mains healthy for 1 s, poles dead for 1 s, looked at every 100 ms
    rig.guard.check_session()


def test_pole_that_is_live_after_opening():
    for pole in (1, 2):
        rig = Rig().close(LOAD_MA)
        rig.welded = pole
        rig.guard.want(False, rig.now_ms, final=True)
        rig.run(5_000, rig.is_off)
        assert 500 <= rig.run_to_trip("weld") <= 520
        assert rig.guard.weld == "welded"
        raises(Tripped, rig.guard.clear, rig.now_ms)


def test_pole_that_becomes_live_while_open():
    rig = Rig()
    rig.run(5_000)
    rig.welded = 2
    assert 500 <= rig.run_to_trip("weld") <= 620
    assert rig.guard.trip_detail == "neutral live"


def test_weld_just_before_a_closing_is_caught_by_the_test():
    for pole in (1, 2):
        rig = Rig()
        rig.run(5_000)
        rig.welded = pole
        rig.guard.want(True, rig.now_ms)
        assert rig.run_to_trip("weld") <= 620
        assert rig.is_off()
        assert rig.guard.to_state()["closings"] == 0


def test_a_detector_that_flickers_half_of_the_time_or_more_keeps_it_open():
    rig = Rig()
    rig.run(5_000)
    rig.guard.want(True, rig.now_ms)
    for _ in range(100):
        for mains.leak in (1, 1, 0):
            rig.run(10)
            assert mains.coil == 0
    assert rig.guard.trip == "weld"


def test_leakage_that_shows_a_third_of_the_time_is_no_weld():
    rig = Rig()
    for _ in range(500):
        for mains.leak in (3, 0, 0):
            rig.run(10)
    rig.guard.want(True, rig.now_ms)
    for _ in range(100):
        for mains.leak in (3, 0, 0):
            rig.run(10)
    assert rig.guard.state == "closed"


def test_pole_that_does_not_close():
    for pole, name in ((1, "line"), (2, "neutral")):
        rig = Rig()
        rig.run(5_000)
        rig.stuck = pole
        rig.guard.want(True, rig.now_ms)
        rig.run(5_000, lambda: mains.coil == 1)
        assert 190 <= rig.run(1_000, rig.is_off) <= 210
        assert rig.guard.trip == "stuck_open"
        assert rig.guard.trip_detail == name + " dead after closing"
        rig.run(1_000)
        rig.guard.clear(rig.now_ms)
        rig.guard.want(True, rig.now_ms)
        rig.run_to_trip("stuck_open")


def test_without_readings_a_pole_that_does_not_close_is_not_blamed():
    rig = Rig()
    rig.run(5_000)
    rig.stuck = 1
    rig.guard.want(True, rig.now_ms)
    rig.run(5_000, lambda: mains.coil == 1)
    rig.meter.is_live = False
    assert 190 <= rig.run(1_000, rig.is_off) <= 210
    assert rig.guard.trip is None


def test_pole_that_opens_while_closed():
    for pole in (1, 2):
        rig = Rig().close(LOAD_MA)
        rig.run(1_000)
        rig.stuck = pole
        assert 200 <= rig.run_to_trip("stuck_open") <= 300
        assert rig.is_off()


def test_a_stall_of_the_program_makes_no_weld_and_no_stuck_pole():
    rig = Rig().close(LOAD_MA)
    rig.guard.want(False, rig.now_ms, final=True)
    rig.run(5_000, rig.is_off)
    rig.run(700, step_ms=700)
    rig.run(2_000)
    rig.guard.want(True, rig.now_ms)
    rig.run(5_000, lambda: mains.coil == 1)
    rig.run(700, step_ms=700)
    rig.run(300)
    assert (rig.guard.state, rig.guard.trip) == ("closed", None)


def test_weld_replaces_the_trip_that_the_contactor_opened_for():
    rig = Rig().close(LOAD_MA)
    rig.welded = 3
    rig.meter.is_live = False
    rig.run_to_trip("meter_silent")
    rig.meter.is_live = True
    rig.run(600)
    assert rig.guard.trip == "weld"


def test_board_without_sense_pins():
    rig = Rig(sense=False)
    rig.run(5_000)
    assert rig.guard.weld == "unknown"
    assert raises(WeldUnknown, rig.guard.check_session).code == "weld_unknown"
    rig.close(LOAD_MA)
    assert rig.guard.weld == "unknown"
    rig.guard.want(False, rig.now_ms, final=True)
    rig.run(2_500)
    assert rig.guard.is_open


def test_current_with_the_coil_released_is_a_weld_without_any_pin():
    rig = Rig(sense=False).close(LOAD_MA)
    rig.welded = 3
    rig.guard.want(False, rig.now_ms, final=True)
    rig.run(5_000, rig.is_off)
    assert 2_000 <= rig.run_to_trip("weld") <= 2_300
    assert rig.guard.weld == "welded"
    raises(Tripped, rig.guard.clear, rig.now_ms)
    rig = Rig(sense=False)
    rig.welded, rig.load_ma = 3, LOAD_MA
    rig.run_to_trip("closed_at_boot")
