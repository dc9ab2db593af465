"""What suspends, resumes and ends a session besides its voucher: plug, host, trips, tariff, schedule, budget, button, mains, reboot."""

import in_order  # noqa: F401  before what it imports
from plug.crypto import eip712
from plug.errors import BadTerms, JournalError, NotBilling, Tripped, WeldUnknown, WrongSession
from plug.ledger import Ledger
from plug.session import AUTHORISED, CHARGING, IDLE, SUSPENDED, Session
from plug.storage.journal import Journal
from plug.typed_data import FLAG_FINAL, FLAG_HOST_STOP, FLAG_POWER_LOST, FLAG_TRIP, FLAG_UNPLUGGED
from run_in_micropython import raises
from session_bench import FACTS, HOST, NOW, RECEIPTS, Plug


def test_a_pulled_plug_ends_it_and_it_never_goes_on():
    plug = Plug().authorise().lock()
    plug.charge(100)
    plug.is_plugged = False
    plug.step()
    assert plug.guard.is_open
    plug.is_plugged = True
    plug.charge(3)
    assert plug.session.state == IDLE
    assert plug.newest()["flags"] & (FLAG_FINAL | FLAG_UNPLUGGED) == FLAG_FINAL | FLAG_UNPLUGGED
    raises(WrongSession, plug.lock)


def test_an_empty_socket_gets_no_power():
    plug = Plug().authorise()
    plug.is_plugged = False
    plug.lock()
    plug.charge(10)
    assert (plug.session.state, plug.guard.is_open) == (AUTHORISED, True)
    plug.is_plugged = True
    plug.charge(1)
    assert (plug.session.state, plug.guard.is_closed) == (CHARGING, True)


def test_the_host_ends_it():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.session.take_end({"type": "end", "session": plug.id})
    plug.charge(3)
    assert plug.newest()["flags"] & (FLAG_FINAL | FLAG_HOST_STOP) == FLAG_FINAL | FLAG_HOST_STOP
    raises(WrongSession, plug.session.take_end, {"type": "end", "session": plug.id})


def test_a_trip_ends_it_and_bars_the_next():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.guard.trip, plug.guard.is_closed = "weld", True  # the contacts stay closed whatever anybody wants
    plug.charge(3)
    assert plug.session.state == IDLE
    assert plug.newest()["flags"] & (FLAG_FINAL | FLAG_TRIP) == FLAG_FINAL | FLAG_TRIP
    assert plug.session.offer() is None
    assert "weld" in str(raises(Tripped, plug.take, plug.voucher()))


def test_a_board_that_must_not_bill_serves_only_free_sessions():
    for error, facts, weld in ((WeldUnknown, {"has_load_sense": False}, "unknown"), (NotBilling, {"is_billing": False}, "ok")):
        plug = Plug(**facts)
        plug.guard.weld = weld
        raises(error, plug.take, plug.voucher())
        raises(error, plug.take, plug.voucher(pricePerKwh=0, pricePerHour=1))
        assert plug.session.state == IDLE
        plug.authorise(pricePerKwh=0)
        assert plug.session.state == AUTHORISED


def test_the_tariff_is_the_least_a_voucher_may_pay():
    night = {"from": "22:00", "to": "06:00", "price_per_kwh": 200, "price_per_hour": 5}
    day = {"from": "06:00", "to": "20:00", "price_per_kwh": 300, "price_per_hour": 5}
    midnight = NOW // 86_400 * 86_400
    plug = Plug(midnight + 23 * 3600, terms={"tariff": [night, day], "utc_offset_min": 120}, host=HOST)
    times = {"issuedAt": plug.clock.now, "validUntil": plug.clock.now + 3600}
    offer = plug.session.offer()
    assert (offer["price_per_kwh"], offer["price_per_hour"]) == (200, 5)
    raises(BadTerms, plug.take, plug.voucher(pricePerKwh=199, pricePerHour=5, **times))
    raises(BadTerms, plug.take, plug.voucher(pricePerKwh=200, pricePerHour=4, **times))
    raises(BadTerms, plug.take, plug.voucher(pricePerKwh=200, pricePerHour=5, host=b"\x45" * 20, **times))
    plug.take(plug.voucher(pricePerKwh=200, pricePerHour=5, **times))
    between = Plug(midnight + 19 * 3600, terms={"tariff": [night, day], "utc_offset_min": 60})
    assert between.session.offer() is None  # 20:00 local time: no tariff holds


def test_outside_the_schedule_a_session_waits():
    midnight = NOW // 86_400 * 86_400
    plug = Plug(midnight + 3590, terms={"schedule": [{"from": "00:00", "to": "01:00"}, {"from": "02:00", "to": "24:00"}]})
    plug.authorise(issuedAt=midnight + 3590, validUntil=midnight + 80_000).lock()
    plug.charge(9)
    assert (plug.session.state, plug.guard.is_closed) == (CHARGING, True)
    plug.charge(2)
    assert (plug.session.state, plug.guard.is_open) == (SUSPENDED, True)
    plug.clock.now = midnight + 7200
    plug.charge(2)
    assert (plug.session.state, plug.guard.is_closed) == (CHARGING, True)
    assert Plug(midnight + 3700, terms={"schedule": [{"from": "00:00", "to": "01:00"}]}).session.offer() is None


def test_a_budget_suspends_and_resumes_without_ending():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.session.take_budget(9_999)
    plug.charge(1)
    assert (plug.session.state, plug.guard.is_open) == (SUSPENDED, True)
    energy_mwh = plug.register.total_mwh
    plug.charge(800)
    plug.session.take_budget(10_000)
    plug.charge(1)
    assert (plug.session.state, plug.guard.is_closed) == (CHARGING, True)
    plug.charge(20)
    assert plug.register.total_mwh > energy_mwh
    plug.charge(900)  # nobody repeats the grant: it counts as 0
    assert plug.session.state == SUSPENDED


def test_nothing_is_claimed_against_budget_or_schedule_even_for_a_moment():
    midnight = NOW // 86_400 * 86_400
    for terms in ({"site": True}, {"schedule": [{"from": "00:00", "to": "01:00"}]}):
        plug = Plug(midnight + 3590, terms=terms)
        plug.authorise(issuedAt=midnight + 3590, validUntil=midnight + 80_000)
        plug.clock.now = midnight + 3610
        claims = []
        plug.guard.want = lambda closed, now_ms, final=False, claims=claims: claims.append(closed)
        plug.lock()
        plug.charge(5)
        assert plug.session.state == SUSPENDED
        assert True not in claims


def test_a_dead_meter_starts_nothing():
    plug = Plug().authorise()
    plug.is_metering = False
    plug.lock()
    plug.charge(5)
    assert (plug.session.state, plug.guard.is_open) == (AUTHORISED, True)


def test_a_trip_that_was_cleared_at_once_still_ends_it():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.guard.trip, plug.guard.is_closed = "over_voltage", False
    plug.session.account(0, 10)
    plug.guard.trip = None
    plug.charge(3)
    assert plug.session.state == IDLE
    assert plug.newest()["flags"] & FLAG_TRIP


def test_what_never_closes_again_ends_it():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.guard.is_closed, plug.guard.waits_for = False, "meter"
    plug.charge(603)
    assert plug.session.state == IDLE


def test_a_voucher_that_flash_did_not_keep_is_not_accepted():
    plug = Plug()
    message = plug.voucher()

    def fail(tag, document):
        raise JournalError("flash did not keep it")

    plug.ledger.put_session = fail
    raises(JournalError, plug.take, message)
    assert plug.session.state == IDLE
    assert plug.session.offer() is not None


def test_a_reboot_before_the_first_wh_goes_on():
    plug = Plug(total_mwh=1_000_500).authorise().lock()
    plug.charge(120, current_ma=0)
    plug.boot(NOW + 130)
    plug.step()
    assert plug.session.state == SUSPENDED
    assert plug.session.was_charging


def test_a_reboot_of_a_suspended_session_was_no_charge():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.session.take_budget(0)
    plug.charge(2)
    plug.boot(NOW + 20)
    assert plug.session.state == SUSPENDED
    assert not plug.session.was_charging


def test_energy_through_a_weld_is_journalled_between_sessions_too():
    plug = Plug()
    plug.register.add(9_500)
    plug.step()
    assert plug.ledger.sample().total_mwh == 9_500
    plug.register.add(500)
    plug.step()
    assert plug.ledger.sample().total_mwh == 9_500


def test_a_site_charges_only_with_a_budget():
    plug = Plug(terms={"site": True}).authorise().lock()
    plug.charge(5)
    assert plug.guard.is_open
    plug.session.take_budget(16_000)
    plug.charge(1)
    assert plug.guard.is_closed


def test_where_a_press_is_asked_for_nothing_starts_without():
    plug = Plug(terms={"button": True})
    plug.session.press()
    plug.authorise().lock()
    plug.charge(5)
    assert plug.guard.is_open
    plug.session.press()
    plug.charge(1)
    assert plug.guard.is_closed


def test_mains_that_goes_away_suspends_and_says_so():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.guard.outage, plug.guard.is_closed = True, False
    plug.charge(5)
    assert plug.session.state == SUSPENDED
    plug.guard.outage = False
    plug.charge(1)
    assert plug.session.state == CHARGING
    plug.charge(300)
    assert plug.newest()["flags"] & FLAG_POWER_LOST


def test_after_a_reboot_what_contradicts_going_on_ends_it_at_the_journalled_sample():
    def too_long(plug):
        plug.clock.now = NOW + 400 + 1801

    def unplugged(plug):
        plug.is_plugged = False

    def tripped(plug):
        plug.guard.trip = "weld"

    def recalibrated(plug):
        plug.session._facts = FACTS
        plug.facts["calibration"] = "01"
        plug.boot(NOW + 500)

    for contradict in (too_long, unplugged, tripped, recalibrated):
        plug = Plug().authorise().lock()
        plug.charge(400)
        total_mwh = plug.ledger.sample().total_mwh
        plug.boot(NOW + 500)
        contradict(plug)
        plug.charge(5)
        final = plug.newest()
        assert plug.session.state == IDLE, contradict
        assert final["flags"] & (FLAG_FINAL | FLAG_POWER_LOST) == FLAG_FINAL | FLAG_POWER_LOST
        assert final["energyWh"] == total_mwh // 1000
        assert final["asOf"] <= NOW + 400


def test_idle_and_suspended_write_nothing():
    plug = Plug().authorise().lock()
    plug.charge(100)
    plug.session.take_budget(0)
    plug.charge(2)
    writes = plug.partition.writes
    plug.charge(890)
    assert plug.partition.writes == writes
    plug.stop()
    plug.charge(3)
    writes = plug.partition.writes
    plug.charge(1000)
    assert plug.partition.writes == writes


def test_what_was_signed_for_another_contract_is_kept_and_does_not_run():
    plug = Plug().authorise().lock()
    plug.charge(310)
    tag = plug.session.newest_messages()[0]
    other = eip712.domain_separator(31337, b"\x12" * 20)
    ledger = Ledger(Journal(plug.partition))
    session = Session(RECEIPTS, other, plug.clock, plug.register, plug.guard, ledger, None, plug.terms, FACTS, plug.changed)
    session.resume()
    assert session.state == IDLE
    assert ledger.unpaid() == [tag]
    assert ledger.entry(tag)[1]["receipt"]["sequence"] == 1


def test_after_a_reboot_nothing_closes_before_the_lock():
    plug = Plug().authorise().lock()
    plug.charge(100)
    plug.boot(NOW + 200)
    plug.charge(60)
    assert (plug.session.state, plug.guard.is_open) == (SUSPENDED, True)
    plug.lock()
    assert (plug.session.state, plug.guard.is_closed) == (CHARGING, True)
