"""Claims, minimum times, low current, outages: when the contactor moves though nothing is wrong."""

from guard.rig import Rig, mains
from run_in_micropython import raises

LOAD_MA = 9_000


def test_states_of_a_plain_charge():
    rig = Rig()
    rig.run(3_000)
    guard = rig.guard
    assert (guard.state, guard.is_open, guard.is_closed) == ("open", True, False)
    guard.want(True, rig.now_ms)
    states = []
    rig.run(300, lambda: states.append((guard.state, mains.coil)))
    seen = [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]
    assert seen == [("closing", 0), ("closing", 1), ("closed", 1)], seen
    assert (guard.is_open, guard.is_closed) == (False, True)
    guard.want(False, rig.now_ms, final=True)
    assert guard.state == "opening"
    rig.run(10)
    assert (guard.state, mains.coil) == ("open", 0)
    assert guard.to_state()["wear"] == 0


def test_an_end_waits_two_seconds_for_low_current_and_then_counts_wear():
    rig = Rig().close(LOAD_MA)
    rig.guard.dirty = False
    rig.guard.want(False, rig.now_ms, final=True)
    assert rig.run(5_000, rig.is_off) == 2_000
    assert rig.guard.to_state()["wear"] == 1
    assert rig.guard.dirty
    rig = Rig().close(LOAD_MA)
    rig.guard.want(False, rig.now_ms, final=True)
    rig.run(500)
    rig.load_ma = 1_001
    rig.run(500)
    assert mains.coil == 1
    rig.load_ma = 1_000
    assert rig.run(5_000, rig.is_off) == 10
    assert rig.guard.to_state()["wear"] == 0


def test_minimum_on_time_binds_a_suspension_but_not_an_end():
    rig = Rig().close()
    rig.guard.want(False, rig.now_ms)
    rig.run(10)
    assert (rig.guard.state, rig.guard.waits_for) == ("closed", "minimum on time")
    rig.run(899_000 - 20, step_ms=100)
    assert mains.coil == 1
    rig.run_to("open")
    rig = Rig().close()
    rig.guard.want(False, rig.now_ms)
    rig.run(1_000)
    rig.guard.want(False, rig.now_ms, final=True)
    assert rig.run(5_000, rig.is_off) == 10


def test_a_claim_that_comes_back_within_the_minimum_on_time_moves_nothing():
    rig = Rig().close()
    rig.guard.want(False, rig.now_ms)
    rig.run(1_000)
    rig.guard.want(True, rig.now_ms)
    rig.run(1_000_000, step_ms=100)
    assert (rig.guard.state, rig.guard.waits_for) == ("closed", None)


def suspended(rig):
    """Let a closed contactor open by a suspension."""
    rig.run(900_000, step_ms=100)
    rig.guard.want(False, rig.now_ms)
    rig.run_to("open")


def test_minimum_off_time_binds_a_resumption_but_not_the_next_session():
    rig = Rig().close()
    suspended(rig)
    opened_ms = rig.now_ms
    rig.guard.want(True, rig.now_ms)
    rig.run(899_900, step_ms=100)
    assert (rig.guard.state, rig.guard.waits_for, mains.coil) == ("waiting", "minimum off time", 0)
    rig.run_to("closed")
    assert rig.now_ms - opened_ms >= 900_000
    suspended(rig)
    rig.guard.want(False, rig.now_ms, final=True)
    rig.guard.want(True, rig.now_ms)
    assert rig.run_to("closed") < 1_000


def test_the_minimum_off_time_is_never_shorter():
    for phase_ms in range(0, 100, 10):
        rig = Rig(min_on_ms=0, min_off_ms=1_000).close()
        rig.run(100 + phase_ms)
        rig.guard.want(False, rig.now_ms)
        rig.run_to("open")
        rig.guard.want(True, rig.now_ms)
        assert 1_000 <= rig.run_to("closing", 2_000) <= 1_110


def test_an_end_opens_even_if_the_next_session_wants_it_closed_at_once():
    rig = Rig().close(LOAD_MA)
    rig.guard.want(False, rig.now_ms, final=True)
    rig.guard.want(True, rig.now_ms)
    assert rig.run(5_000, rig.is_off) == 2_000
    assert rig.run_to("closed") < 1_000


def test_a_claim_withdrawn_while_waiting_closes_nothing():
    rig = Rig()
    rig.guard.want(True, rig.now_ms)
    rig.run(100)
    assert rig.guard.state == "waiting"
    rig.guard.want(False, rig.now_ms)
    rig.run(5_000)
    assert (rig.guard.state, mains.coil) == ("open", 0)


def test_emergency_open_drops_the_claim():
    rig = Rig().close(LOAD_MA)
    rig.guard.emergency_open()
    assert rig.is_off()
    rig.run(5_000)
    assert (rig.guard.state, rig.guard.trip, mains.coil) == ("open", None, 0)


def test_silent_meter_keeps_it_open():
    rig = Rig()
    rig.meter.is_live = False
    rig.guard.want(True, rig.now_ms)
    rig.run(10_000)
    assert (rig.guard.state, rig.guard.waits_for, rig.guard.trip) == ("waiting", "meter", None)


def test_a_hot_reading_keeps_it_open_before_it_trips():
    rig = Rig()
    rig.run(3_000)
    mains.uv[32] = 210_000
    rig.run(210)
    rig.guard.want(True, rig.now_ms)
    rig.run(20)
    assert (rig.guard.state, rig.guard.waits_for, rig.guard.trip) == ("waiting", "temperature", None)
    mains.uv[32] = 1_650_000
    rig.run_to("closed")


def outage(rig, ms=500):
    rig.meter.voltage_mv = 0
    took_ms = rig.run(ms, rig.is_off)
    rig.run(ms)
    rig.meter.voltage_mv = 230_000
    return took_ms


def test_outage_opens_within_70_ms_and_suspends():
    rig = Rig().close(LOAD_MA)
    rig.meter.voltage_mv = 117_000  # just above half of nominal
    rig.run(50)
    rig.meter.voltage_mv = 230_000
    rig.run(100)
    assert rig.guard.state == "closed"
    assert outage(rig) == 70  # 60 ms from the first reading on
    guard = rig.guard
    assert (guard.outage, guard.trip, guard.is_closed) == (True, None, False)
    assert guard.dirty
    rig.run(4_900)
    assert guard.outage
    rig.run(300)
    assert not guard.outage


def test_a_dip_to_just_below_the_window_is_no_outage():
    rig = Rig().close(LOAD_MA)
    rig.meter.voltage_mv = 118_000
    rig.run(1_500)
    assert not rig.guard.outage
    assert mains.coil == 1


def test_after_an_outage_it_closes_after_a_random_time():
    for spread_ms, least_ms in ((0, 30_000), (270_000, 300_000)):
        rig = Rig(delay_ms=spread_ms).close(LOAD_MA)
        outage(rig)
        back_ms = rig.now_ms
        rig.run(1_000_000, lambda: mains.coil == 1)
        assert least_ms + 6_000 <= rig.now_ms - back_ms <= least_ms + 7_500  # 5 s of healthy mains, 1 s of self-check
        rig.run_to("closed")


def test_after_an_outage_the_poles_are_checked_first():
    rig = Rig().close(LOAD_MA)
    rig.welded = 1
    outage(rig)
    rig.run_to_trip("weld")
    assert rig.is_off()


def test_an_outage_in_which_the_session_ends_closes_nothing():
    rig = Rig().close(LOAD_MA)
    outage(rig)
    rig.guard.want(False, rig.now_ms, final=True)
    rig.run(60_000, step_ms=100)
    assert (rig.guard.state, mains.coil) == ("open", 0)


def test_outage_while_open_delays_too():
    rig = Rig()
    rig.run(3_000)
    outage(rig)
    rig.guard.want(True, rig.now_ms)
    assert rig.run(100_000, lambda: mains.coil == 1) >= 36_000
    assert rig.guard.to_state()["brown_outs"] == 0


def test_third_brown_out_within_ten_minutes_locks_out():
    rig = Rig().close(LOAD_MA)
    for _ in range(2):
        outage(rig)
        rig.run_to("closed", 100_000)
    assert rig.guard.trip is None
    outage(rig)
    assert rig.guard.trip == "brown_out"
    rig.run(10_000)
    raises(Exception, rig.guard.clear, rig.now_ms)
    rig.reboot("power_on", False)
    rig.run(590_000, step_ms=500)
    raises(Exception, rig.guard.clear, rig.now_ms)  # the reboot made nothing older
    rig.run(20_000, step_ms=500)
    rig.guard.clear(rig.now_ms)


def test_third_brown_out_after_ten_minutes_is_the_second():
    rig = Rig().close(LOAD_MA)
    for _ in range(4):
        outage(rig)
        rig.run_to("closed", 100_000)
        rig.run(400_000, step_ms=500)
    assert rig.guard.trip is None
