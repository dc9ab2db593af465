"""Every trip: fires at its stated time and not before, opens the coil, latches, outlives a reboot, and stays while its cause does."""

from guard.rig import Rig, mains, temperature_uv
from plug.errors import Tripped
from run_in_micropython import raises

LOAD_MA = 9_000


def check_latched(rig, code):
    """Check what holds after any trip."""
    guard = rig.guard
    assert (guard.trip, guard.state) == (code, "tripped")
    assert rig.is_off()
    assert not guard.is_closed
    assert guard.trip_detail
    assert guard.dirty
    raises(Tripped, guard.want, True, rig.now_ms)
    raises(Tripped, guard.check_session)
    rig.run(1_000)
    assert guard.trip == code
    assert rig.is_off()
    rig.reboot()
    rig.run(1_000)
    assert (rig.guard.trip, rig.guard.state) == (code, "tripped")
    assert rig.guard.trip_detail
    raises(Tripped, rig.guard.want, True, rig.now_ms)


def check_clears(rig):
    """Clear; the contacts must stay open until somebody wants them closed again."""
    rig.guard.clear(rig.now_ms)
    assert rig.guard.trip is None
    assert rig.guard.to_state()["trip"] == ""
    rig.run(2_000)
    assert rig.guard.state == "open"
    assert rig.is_off()


def check_persists(rig):
    error = raises(Tripped, rig.guard.clear, rig.now_ms)
    assert error.code == "tripped"
    assert rig.guard.trip in str(error)


def test_ic_over_current_opens_within_the_interrupt():
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms + 3, 50_000)
    assert rig.is_off()
    assert "50000 mA peak" in rig.guard.trip_detail
    check_latched(rig, "over_current")
    check_clears(rig)


def test_ic_over_current_without_a_peak_opens_within_the_interrupt():
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms, None)
    assert rig.is_off()
    assert rig.guard.trip == "over_current"


def test_over_current_report_with_an_open_contactor_is_none():
    rig = Rig()
    rig.run(2_000)
    rig.guard.on_over_current(rig.now_ms, 50_000)
    assert rig.guard.trip is None


def test_reading_above_the_instant_limit_opens_in_that_sample():
    rig = Rig().close(28_279)  # 40 A peak is 28.28 A rms
    rig.run(20)
    assert rig.guard.trip is None
    rig.load_ma = 28_280
    assert rig.run_to_trip("over_current") == 10
    check_latched(rig, "over_current")


def test_above_breaking_capacity_the_coil_holds_for_100_ms():
    for report in (True, False):
        rig = Rig().close(LOAD_MA)
        began_ms = rig.now_ms
        rig.load_ma = 70_000
        if report:
            rig.guard.on_over_current(rig.now_ms, 100_000)
        else:
            rig.run(10)
            began_ms = rig.now_ms
        assert rig.guard.trip == "over_current"
        assert mains.coil == 1
        rig.run(1_000, rig.is_off)
        assert rig.now_ms - began_ms == 100
        check_latched(rig, "over_current")
        assert rig.guard.to_state()["wear"] == 1


def test_a_claim_does_not_outlive_a_trip_that_found_it_waiting_or_held():
    rig = Rig()
    rig.guard.want(True, rig.now_ms)
    rig.run(100)
    assert rig.guard.state == "waiting"
    mains.uv[32] = 50_000
    rig.run_to_trip("temperature_sensor")
    mains.uv[32] = 1_650_000
    rig.run(1_000)
    check_clears(rig)
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms, 100_000)
    rig.run(3_000)
    check_clears(rig)


def test_after_clearing_the_self_check_comes_first():
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms, 50_000)
    rig.run(2_000)
    rig.guard.clear(rig.now_ms)
    rig.guard.want(True, rig.now_ms)
    rig.run(100)
    assert rig.guard.waits_for == "self-check"
    assert rig.run_to("closed") >= 900


def test_hold_ends_a_period_after_the_breaker_cleared_it_and_not_for_a_lagging_average():
    rig = Rig().close(LOAD_MA)  # the average stays at 9 A
    rig.guard.on_over_current(rig.now_ms, 100_000)
    rig.run(10)
    rig.guard.on_over_current(rig.now_ms, 100_000)
    rig.run(20)  # the next report may come just after a sample
    assert mains.coil == 1
    rig.run(10)
    assert rig.is_off()


def test_late_samples_do_not_end_a_hold_while_reports_come():
    rig = Rig().close(LOAD_MA)  # the average lags: it stays at 9 A
    for _ in range(3):
        rig.guard.on_over_current(rig.now_ms, 100_000)
        rig.now_ms += 20  # and the sample comes after 30 ms
        rig.run(10)
        assert mains.coil == 1
    rig.run(20)
    assert rig.is_off()


def test_hold_ends_with_a_report_within_the_breaking_capacity():
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms, 100_000)
    assert mains.coil == 1
    rig.guard.on_over_current(rig.now_ms, None)
    assert mains.coil == 1
    rig.guard.on_over_current(rig.now_ms + 5, 50_000)
    assert rig.is_off()


def test_emergency_open_does_not_hold():
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms, 100_000)
    rig.guard.emergency_open()
    assert rig.is_off()


def test_overload_by_i2t():
    rig = Rig().close(12_500)
    assert 4_700 <= rig.run_to_trip("overload") <= 4_900
    check_latched(rig, "overload")
    rig.run(2_500)
    check_clears(rig)


def test_overload_cannot_be_cleared_hot():
    rig = Rig().close(12_500)
    rig.run_to_trip("overload")
    rig.run(500)
    check_persists(rig)
    rig.run(2_000)
    check_clears(rig)


def test_a_little_over_the_limit_never_trips():
    rig = Rig().close(10_200)
    rig.run(60_000, step_ms=100)
    assert rig.guard.state == "closed"


def test_selected_8_a_trips_where_10_a_does_not():
    rig = Rig(continuous_ma=8_000).close(9_500)
    assert rig.run_to_trip("overload", 20_000) > 5_000


def test_over_voltage():
    rig = Rig().close(LOAD_MA)
    rig.meter.voltage_mv = 264_000
    rig.run(2_000)
    rig.meter.voltage_mv = 264_001
    rig.run(490)
    rig.meter.voltage_mv = 264_000
    rig.run(10)
    assert rig.guard.trip is None
    rig.meter.voltage_mv = 270_000
    assert rig.run_to_trip("over_voltage") == 510  # 500 ms from the first reading on
    check_latched(rig, "over_voltage")
    check_persists(rig)
    rig.meter.voltage_mv = 250_000
    rig.run(900)
    check_persists(rig)
    rig.run(200)
    check_clears(rig)


def test_under_voltage():
    rig = Rig().close(LOAD_MA)
    rig.meter.voltage_mv = 195_999
    rig.run(1_990)
    rig.meter.voltage_mv = 196_000
    rig.run(10)
    assert rig.guard.trip is None
    rig.meter.voltage_mv = 190_000
    assert rig.run_to_trip("under_voltage") == 2_010
    check_latched(rig, "under_voltage")
    check_persists(rig)
    rig.meter.voltage_mv = 230_000
    rig.run(1_100)
    check_clears(rig)


def test_frequency():
    for outside_mhz in (47_499, 52_001, None):
        rig = Rig().close(LOAD_MA)
        rig.meter.frequency_mhz = 47_500
        rig.run(2_000)
        rig.meter.frequency_mhz = outside_mhz
        rig.run(990)
        assert rig.guard.trip is None
        assert rig.run_to_trip("frequency") == 20
        assert rig.guard.trip_detail == ("no reading" if outside_mhz is None else f"{outside_mhz} mHz")
        check_latched(rig, "frequency")
        check_persists(rig)
        rig.meter.frequency_mhz = 50_000
        rig.run(1_100)
        check_clears(rig)


def test_bad_mains_do_not_trip_an_open_contactor_but_keep_it_open():
    rig = Rig()
    rig.meter.voltage_mv = 270_000
    rig.run(3_000)
    rig.guard.want(True, rig.now_ms)
    rig.run(3_000)
    assert rig.guard.trip is None
    assert (rig.guard.state, rig.guard.waits_for) == ("waiting", "mains")
    rig.meter.voltage_mv = 230_000
    assert rig.run_to("closed") >= 1_000


def test_silent_meter():
    rig = Rig().close(LOAD_MA)
    rig.meter.is_live = False
    rig.run(490)
    assert rig.guard.trip is None
    rig.meter.is_live = True
    rig.run(10)
    rig.meter.is_live = False
    assert rig.run_to_trip("meter_silent") == 500
    check_latched(rig, "meter_silent")
    check_persists(rig)
    rig.meter.is_live = True
    rig.run(10)
    check_clears(rig)


def test_a_meter_that_leaves_out_what_limits_need_is_silent():
    for field in ("current_ma", "voltage_mv"):
        rig = Rig().close(LOAD_MA)
        setattr(rig.meter, field, None)
        rig.mains.live = 3
        rig.move = lambda: None
        assert rig.run_to_trip("meter_silent") == 500


def test_slow_meter_may_be_silent_for_five_of_its_readings():
    rig = Rig(sample_interval_ms=200).close(LOAD_MA)
    rig.meter.is_live = False
    rig.run(990)
    assert rig.guard.trip is None
    assert rig.run_to_trip("meter_silent") == 10


def test_temperatures():
    for pin, code, max_mc, reset_mc in ((32, "contact_temperature", 85_000, 60_000), (33, "plug_temperature", 70_000, 50_000)):
        rig = Rig().close(LOAD_MA)
        mains.uv[pin] = temperature_uv(max_mc - 500)
        rig.run(2_000)
        mains.uv[pin] = temperature_uv(max_mc + 500)
        rig.run(400)  # two readings
        mains.uv[pin] = temperature_uv(25_000)
        rig.run(400)
        assert rig.guard.trip is None
        mains.uv[pin] = temperature_uv(max_mc + 500)
        assert 400 < rig.run_to_trip(code) <= 600
        check_latched(rig, code)
        check_persists(rig)
        mains.uv[pin] = temperature_uv(reset_mc + 500)
        rig.run(1_000)
        check_persists(rig)
        mains.uv[pin] = temperature_uv(reset_mc - 500)
        rig.run(1_000)
        check_clears(rig)


def test_broken_thermometer_trips_open_or_closed():
    for pin in (32, 33):
        for uv in (3_100_000, 50_000):
            for load_ma in (LOAD_MA, None):
                rig = Rig()
                rig.run(2_000)
                if load_ma:
                    rig.close(load_ma)
                mains.uv[pin] = uv
                assert 400 < rig.run_to_trip("temperature_sensor") <= 600
                check_latched(rig, "temperature_sensor")
                check_persists(rig)
                mains.uv[pin] = 1_650_000
                rig.run(1_000)
                check_clears(rig)


def test_chatter():
    rig = Rig()
    began_ms = rig.now_ms
    for _ in range(6):
        rig.close()
        rig.guard.want(False, rig.now_ms, final=True)
        rig.run_to("open")
    rig.guard.want(True, rig.now_ms)
    rig.run_to_trip("chatter")
    check_latched(rig, "chatter")
    check_persists(rig)
    rig.run(3_600_000 - 10_000, step_ms=500)
    check_persists(rig)  # a reboot does not make the closings older
    rig.run(20_000, step_ms=500)
    assert rig.now_ms - began_ms > 3_600_000
    check_clears(rig)
    rig.close()


def test_six_closings_an_hour_for_ever():
    rig = Rig()
    for _ in range(20):
        rig.close()
        rig.guard.want(False, rig.now_ms, final=True)
        rig.run(600_000, step_ms=500)
    assert rig.guard.trip is None


def test_wear():
    rig = Rig(wear_budget=2)
    for _ in range(2):
        rig.close(LOAD_MA)
        rig.guard.want(False, rig.now_ms, final=True)
        rig.run(2_500)
    check_latched(rig, "wear")
    check_persists(rig)
    rig.guard.clear(rig.now_ms, reset_wear=True)
    assert (rig.guard.trip, rig.guard.to_state()["wear"]) == (None, 0)
    rig.close()


def test_an_absent_limit_is_off():
    rig = Rig(continuous_ma=None, instant_peak_ma=None, over_voltage_mv=None, under_voltage_mv=None, contact_max_mc=None, plug_max_mc=None)
    rig.close(50_000)
    mains.uv[32] = mains.uv[33] = 50_000
    rig.meter.voltage_mv = 300_000
    rig.run(10_000)
    assert rig.guard.state == "closed"


def test_a_trip_asks_for_the_journal():
    rig = Rig().close(LOAD_MA)
    rig.guard.dirty = False
    rig.guard.on_over_current(rig.now_ms, 1_000)
    assert rig.guard.dirty
    assert rig.guard.to_state()["trip"] == "over_current"
