"""What outlives a reboot, and what a reboot itself counts as."""

import json

from guard.rig import Contactor, Guard, Rig, mains
from plug.errors import Tripped
from run_in_micropython import raises

LOAD_MA = 9_000


def test_state_survives_json():
    rig = Rig().close(LOAD_MA)
    rig.guard.want(False, rig.now_ms, final=True)
    rig.run(2_500)
    state = rig.guard.to_state()
    assert (state["wear"], state["closings"], state["trips"]) == (1, 1, 0)
    again = json.loads(json.dumps(state))
    assert again == state
    rig.build(again)
    assert rig.guard.to_state() == state
    assert not rig.guard.dirty


def test_state_of_another_version_is_taken_as_far_as_it_goes():
    rig = Rig(state={"wear": 7, "trip": "of a newer version", "unknown": 1})
    assert (rig.guard.trip, rig.guard.state, rig.guard.to_state()["wear"]) == ("of a newer version", "tripped", 7)
    assert Rig(state={}).guard.trip is None


def test_power_on_without_a_session_counts_nothing():
    rig = Rig()
    rig.reboot("power_on", False)
    rig.guard.want(True, rig.now_ms)
    assert rig.run_to("closed") < 5_000
    assert rig.guard.to_state()["brown_outs"] == 0


def test_power_loss_while_charging_counts_and_delays():
    rig = Rig(delay_ms=1_000)
    rig.reboot("power_on", True)
    rig.guard.want(True, rig.now_ms)
    assert rig.run(100_000, lambda: mains.coil == 1) >= 31_000
    for _ in range(2):
        rig.reboot("power_on", True)
    assert rig.guard.trip == "brown_out"
    assert rig.guard.dirty
    raises(Tripped, rig.guard.want, True, rig.now_ms)


def test_an_outage_that_ends_as_a_power_loss_counts_once():
    rig = Rig().close(LOAD_MA)
    rig.meter.voltage_mv = 0
    rig.run(200)
    assert rig.guard.to_state()["brown_outs"] == 1
    rig.reboot("power_on", True)
    assert rig.guard.to_state()["brown_outs"] == 1
    rig.meter.voltage_mv = 230_000
    rig.guard.want(True, rig.now_ms)
    assert rig.run(100_000, lambda: mains.coil == 1) >= 30_000
    rig.reboot("power_on", True)
    assert rig.guard.to_state()["brown_outs"] == 2


def test_a_power_loss_after_an_outage_is_over_counts_again():
    rig = Rig().close(LOAD_MA)
    rig.meter.voltage_mv = 0
    rig.run(200)
    assert rig.guard.to_state()["outage"] == 1
    rig.meter.voltage_mv = 230_000
    rig.guard.dirty = False
    rig.run(6_000)
    assert rig.guard.to_state()["outage"] == 0
    assert rig.guard.dirty
    rig.run_to("closed", 100_000)
    rig.reboot("power_on", True)
    assert rig.guard.to_state()["brown_outs"] == 2


def test_watchdog_trips_rearms_twice_and_latches():
    for cause, was_closed in (("watchdog", False), ("watchdog", True), ("reset", True)):
        rig = Rig()
        for count in (1, 2):
            rig.reboot(cause, was_closed)
            guard = rig.guard
            assert (guard.trip, guard.state) == ("watchdog", "tripped")
            assert guard.dirty
            raises(Tripped, guard.want, True, rig.now_ms)
            rig.run(1_000)
            assert guard.trip == "watchdog"
            rig.run(5_000)
            assert (guard.trip, guard.state) == (None, "open")
            state = guard.to_state()
            assert (state["watchdogs"], state["trips"], state["last_trip"]) == (count, count, "watchdog")
        rig.run(100_000, step_ms=500)
        rig.reboot(cause, was_closed)
        assert rig.guard.trip == "watchdog_loop"
        rig.run(3_590_000, step_ms=500)
        raises(Tripped, rig.guard.clear, rig.now_ms)
        rig.run(20_000, step_ms=500)
        rig.guard.clear(rig.now_ms)
        assert rig.guard.trip is None


def test_watchdogs_an_hour_apart_never_latch():
    rig = Rig()
    for _ in range(5):
        rig.reboot("watchdog")
        rig.run(3_610_000, step_ms=500)
        assert rig.guard.trip is None


def test_watchdog_in_the_first_second_of_every_boot_latches():
    rig = Rig()
    for _ in range(3):
        rig.reboot("watchdog")
        rig.run(300)
    assert rig.guard.trip == "watchdog_loop"


def test_welded_contacts_keep_a_watchdog_trip_from_rearming():
    rig = Rig()
    rig.welded = 1
    rig.reboot("watchdog")
    rig.run(5_000)
    assert rig.guard.trip == "closed_at_boot"


def test_planned_reset_counts_nothing():
    rig = Rig()
    rig.reboot("reset", False)
    assert (rig.guard.trip, rig.guard.to_state()["watchdogs"]) == (None, 0)


def test_a_latched_trip_is_not_replaced_by_a_reboot():
    rig = Rig().close(LOAD_MA)
    rig.guard.on_over_current(rig.now_ms, 50_000)
    for cause in ("watchdog", "power_on", "reset"):
        rig.reboot(cause, True)
        rig.run(5_000)
        assert rig.guard.trip == "over_current"


def test_the_constructor_opens():
    rig = Rig()
    contactor = Contactor(25)
    contactor.close()
    Guard(contactor, None, (None, None), {}, None, lambda limit: 0)
    assert mains.coil == 0
    mains.coil = 1
    rig.build()
    assert mains.coil == 0
