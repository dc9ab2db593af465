"""A session from voucher to final receipt, over the real journal, ledger and signatures; only time, guard and meter are the test's."""

import asyncio

from plug.crypto import eip712, secp256k1
from plug.errors import (
    BadSignature,
    BadState,
    BadTerms,
    Busy,
    Malformed,
    NoClock,
    NotBilling,
    StaleNonce,
    Tripped,
    UnsupportedFunding,
    WeldUnknown,
    WrongPlug,
    WrongSession,
)
from plug.ledger import Ledger
from plug.metering.energy import EnergyRegister
from plug.receipt import Signer
from plug.session import AUTHORISED, CHARGING, ENDING, IDLE, SUSPENDED, Session
from plug.storage.journal import Journal
from plug.terms import NO_TERMS, Terms
from plug.typed_data import (
    FLAG_CAP_REACHED,
    FLAG_CHAIN_CLOCK,
    FLAG_DRIVER_STOP,
    FLAG_FINAL,
    FLAG_HOST_STOP,
    FLAG_METER_FAULT,
    FLAG_POWER_LOST,
    FLAG_TIME_OUT,
    FLAG_TRIP,
    FLAG_UNPLUGGED,
)
from plug.voucher import Voucher
from plug.wire import from_hex, struct_from_wire, struct_to_wire, to_hex
from run_in_micropython import raises
from storage.file_partition import FilePartition

DOMAIN = eip712.domain_separator(31337, b"\x11" * 20)
DRIVER = b"\x22" * 32
DRIVER_ADDRESS = secp256k1.address(secp256k1.public_key(DRIVER))
HOST = b"\x44" * 20
SIGNER = Signer(b"\x33" * 32, DOMAIN, "0.0.0", bytes(32))
NOW = 1_790_000_000
NO_LOAD_MA = 50
LOAD_MA = 10_000
FACTS = {"rated_power_w": 2300, "continuous_ma": 10_000, "no_load_ma": NO_LOAD_MA, "is_billing": True, "has_load_sense": True, "calibration": "00"}


class Clock:
    """UTC as the test sets it; milliseconds go on by themselves only with `charge`."""

    def __init__(self, now):
        self.now = now
        self.uptime_ms = 0

    @property
    def is_set(self):
        return self.now is not None

    def tick(self):
        return self.uptime_ms

    def utc(self):
        if self.now is None:
            raise NoClock("not set")
        return self.now


class Guard:
    """Does at once what it is told."""

    trip = None
    weld = "ok"
    outage = False
    is_closed = False

    @property
    def is_open(self):
        return not self.is_closed

    def want(self, closed, now_ms, final=False):
        self.is_closed = closed and not self.trip


class Plug:
    """A session with its surroundings; `boot` builds it again from what is in flash."""

    def __init__(self, now=NOW, total_mwh=0, terms=None, host=None, **facts):
        self.partition = FilePartition(64)
        self.terms = Terms(dict(NO_TERMS, **(terms or {})))
        self.host = host
        self.facts = dict(FACTS, **facts)
        self.is_plugged = True
        self.boot(now, total_mwh)

    def boot(self, now, total_mwh=0):
        self.clock = Clock(now)
        self.guard = Guard()
        self.ledger = Ledger(Journal(self.partition))
        self.register = EnergyRegister(self.ledger.sample().total_mwh or total_mwh, 1, 1)
        self.changes = 0
        self.session = Session(
            SIGNER, DOMAIN, self.clock, self.register, self.guard, self.ledger, self.host, self.terms, self.facts, self.changed
        )
        self.session.resume()
        return self

    def changed(self):
        self.changes += 1

    def voucher(self, sign_with=DRIVER, **changes):
        offer = self.session.offer()
        values = {
            "driver": DRIVER_ADDRESS,
            "host": HOST,
            "plug": SIGNER.address,
            "token": bytes(20),
            "funding": 0,
            "pricePerKwh": 300_000,
            "pricePerHour": 0,
            "maxPowerW": 2875,
            "cap": 1 << 100,
            "issuedAt": NOW,
            "validUntil": NOW + 86_400,
            "nonce": offer["nonce"] if offer else 1,
        }
        values.update(changes)
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Voucher", values))
        return {"type": "voucher", "voucher": struct_to_wire("Voucher", values), "signature": to_hex(secp256k1.sign(sign_with, digest))}

    def take(self, message):
        asyncio.run(self.session.take_voucher(message))

    def authorise(self, **changes):
        self.take(self.voucher(**changes))
        self.id = to_hex(self.session.voucher.session)
        return self

    def lock(self):
        self.session.take_lock({"type": "lock", "session": self.id})
        return self.step()

    def stop(self, sign_with=DRIVER):
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Stop", {"session": from_hex("session", self.id, 32)}))
        message = {"type": "stop", "session": self.id, "signature": to_hex(secp256k1.sign(sign_with, digest))}
        asyncio.run(self.session.take_stop(message))
        self.step()

    def step(self):
        asyncio.run(self.session.step(self.is_plugged))
        return self

    def charge(self, seconds, mwh_per_second=639, current_ma=LOAD_MA):
        for _ in range(seconds):
            if self.clock.now is not None:
                self.clock.now += 1
            self.clock.uptime_ms += 1000
            if self.guard.is_closed:
                self.register.add(mwh_per_second if current_ma > NO_LOAD_MA else 0)
            self.session.account(current_ma if self.guard.is_closed else 0, 1000)
            self.step()

    def newest(self):
        """The newest receipt's fields: of the running session, else of the only ended one."""
        running = self.session.newest_messages()
        message = running[2] if running else self.ledger.entry(self.ledger.unpaid()[0])[1]
        values = struct_from_wire("Receipt", message["receipt"])
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Receipt", values))
        public = secp256k1.recover(digest, from_hex("signature", message["signature"], 65))
        assert secp256k1.address(public) == SIGNER.address
        return values


def test_a_whole_session():
    plug = Plug(total_mwh=5_000_400).authorise()
    assert plug.session.state == AUTHORISED
    assert plug.guard.is_open
    plug.lock()
    assert plug.session.state == CHARGING
    assert plug.guard.is_closed
    plug.charge(2000)
    plug.stop()
    assert plug.session.state == ENDING
    assert plug.guard.is_open
    plug.charge(2)
    final = plug.newest()
    assert plug.session.state == IDLE
    assert final["flags"] == FLAG_FINAL | FLAG_CHAIN_CLOCK | FLAG_DRIVER_STOP
    assert (final["startedAt"], final["asOf"], final["activeSeconds"]) == (NOW, NOW + 2000, 2000)
    assert final["registerWh"] == 5001
    assert final["energyWh"] == (5_000_400 + 2000 * 639) // 1000 - 5001
    assert plug.session.offer() is not None
    assert plug.changes >= 4


def test_a_receipt_every_300_seconds_or_250_wh():
    plug = Plug().authorise().lock()
    plug.charge(299)
    assert plug.session.newest_messages()[2] is None
    plug.charge(1)
    assert (plug.newest()["sequence"], plug.newest()["asOf"]) == (1, NOW + 300)
    plug.charge(100, mwh_per_second=3000)
    assert plug.newest()["sequence"] == 2
    assert plug.newest()["energyWh"] >= 250 + 300 * 639 // 1000
    assert plug.newest()["asOf"] == NOW + 300 + 84


def run(coroutine_function, *arguments):
    return asyncio.run(coroutine_function(*arguments))


def test_the_cap_ends_it_and_is_never_passed():
    plug = Plug().authorise(cap=30_000).lock()
    plug.charge(1000)
    final = plug.newest()
    assert plug.session.state == IDLE
    assert plug.guard.is_open
    assert final["flags"] & (FLAG_CAP_REACHED | FLAG_FINAL) == FLAG_CAP_REACHED | FLAG_FINAL
    assert 100 <= final["energyWh"] <= 102


def test_an_idle_car_ends_it():
    plug = Plug().authorise().lock()
    plug.charge(100)
    plug.charge(599, current_ma=NO_LOAD_MA - 1)
    assert plug.session.state == CHARGING
    plug.charge(3, current_ma=NO_LOAD_MA - 1)
    final = plug.newest()
    assert final["flags"] & FLAG_TIME_OUT
    assert final["activeSeconds"] == 100


def test_a_car_that_never_draws_ends_it_later():
    plug = Plug().authorise().lock()
    plug.charge(1799, current_ma=0)
    assert plug.session.state == CHARGING
    plug.charge(3, current_ma=0)
    assert plug.session.state == IDLE
    assert (plug.newest()["energyWh"], plug.newest()["activeSeconds"]) == (0, 0)


def test_valid_until_ends_it_and_no_receipt_is_later():
    plug = Plug().authorise(validUntil=NOW + 400).lock()
    plug.charge(500)
    final = plug.newest()
    assert final["flags"] & FLAG_TIME_OUT
    assert final["asOf"] == NOW + 397  # time to open the contacts
    assert final["activeSeconds"] <= 397


def test_a_meter_fault_ends_it():
    plug = Plug().authorise().lock()
    plug.charge(10)
    plug.guard.trip, plug.guard.is_closed = "meter_silent", False
    plug.charge(2)
    assert plug.newest()["flags"] & FLAG_METER_FAULT


def test_never_started_is_all_zeros():
    plug = Plug(total_mwh=1_234_567).authorise()
    plug.clock.now = NOW + 3600
    plug.charge(0)
    assert plug.session.state == AUTHORISED
    plug.charge(3)
    final = plug.newest()
    assert (final["startedAt"], final["asOf"], final["activeSeconds"], final["energyWh"]) == (NOW, NOW, 0, 0)
    assert final["flags"] & (FLAG_FINAL | FLAG_TIME_OUT) == FLAG_FINAL | FLAG_TIME_OUT


def test_a_lock_after_the_start_window_is_refused():
    plug = Plug().authorise()
    plug.clock.now = NOW + 3601
    raises(BadState, plug.lock)
    assert plug.guard.is_open


def test_power_cut_resumes_with_its_flag_and_without_the_unjournalled():
    plug = Plug().authorise().lock()
    plug.charge(450)
    before = plug.newest()
    plug.boot(None)
    assert plug.session.state == SUSPENDED
    assert plug.guard.is_open
    assert 450 * 639 - 10_000 <= plug.register.total_mwh <= 450 * 639
    journalled_s = plug.register.total_mwh // 639
    raises(NoClock, plug.lock)
    plug.clock.now = NOW + 500
    plug.lock()
    assert plug.guard.is_closed
    plug.charge(320)
    after = plug.newest()
    assert after["flags"] & FLAG_POWER_LOST
    assert after["sequence"] == before["sequence"] + 1
    assert (after["startedAt"], after["registerWh"]) == (before["startedAt"], before["registerWh"])
    assert after["energyWh"] == (after["activeSeconds"]) * 639 // 1000
    assert journalled_s + 200 <= after["activeSeconds"] <= journalled_s + 320


def test_power_cut_while_ending_signs_the_journalled_sample_without_a_clock():
    plug = Plug().authorise().lock()
    plug.charge(400)
    plug.stop()
    plug.boot(None)
    plug.charge(2)
    final = plug.newest()
    assert plug.session.state == IDLE
    assert final["flags"] & FLAG_FINAL
    assert final["asOf"] == NOW + 400
    assert final["energyWh"] == 400 * 639 // 1000


def test_power_cut_before_the_lock_still_waits_for_it():
    plug = Plug().authorise()
    plug.boot(None)
    assert plug.session.state == AUTHORISED
    plug.clock.now = NOW + 60
    plug.lock()
    assert plug.guard.is_closed
    assert plug.session.state == CHARGING


def test_power_cut_past_valid_until_ends_at_the_last_sample():
    plug = Plug().authorise(validUntil=NOW + 1000).lock()
    plug.charge(310)
    plug.boot(None)
    plug.clock.now = NOW + 2000
    raises(BadState, plug.lock)
    plug.charge(3)
    final = plug.newest()
    assert final["asOf"] == NOW + 300
    assert final["flags"] & FLAG_TIME_OUT
    assert final["flags"] & FLAG_POWER_LOST


def test_only_the_driver_stops():
    plug = Plug().authorise().lock()
    raises(BadSignature, plug.stop, b"\x55" * 32)
    assert plug.guard.is_closed
    raises(WrongSession, run, plug.session.take_stop, {"type": "stop", "session": "0x" + "00" * 32, "signature": "0x" + "00" * 65})
    raises(Malformed, run, plug.session.take_stop, {"type": "stop", "session": plug.id})
    assert plug.guard.is_closed


def test_what_a_voucher_is_refused_for():
    plug = Plug()
    for changes, error in (
        ({"plug": b"\x01" * 20}, WrongPlug),
        ({"token": b"\x01" * 20}, UnsupportedFunding),
        ({"funding": 1}, UnsupportedFunding),
        ({"driver": bytes(20)}, BadTerms),
        ({"host": bytes(20)}, BadTerms),
        ({"cap": 0}, BadTerms),
        ({"maxPowerW": 2874}, BadTerms),
        ({"issuedAt": NOW + 1}, BadTerms),
        ({"issuedAt": NOW - 3601, "validUntil": NOW + 1}, BadTerms),
        ({"validUntil": NOW}, BadTerms),
        ({"validUntil": NOW + 864_001}, BadTerms),
        ({"nonce": 12}, StaleNonce),
        ({"sign_with": b"\x66" * 32}, BadSignature),
    ):
        raises(error, plug.take, plug.voucher(**changes))
        assert plug.session.state == IDLE
    plug.take(plug.voucher())


def test_malformed_vouchers_are_refused():
    plug = Plug()
    for field, value in (("cap", -1), ("cap", 1 << 128), ("cap", True), ("cap", "1"), ("cap", 1.5), ("driver", "0x" + "AA" * 20), ("host", None)):
        message = plug.voucher()
        message["voucher"][field] = value
        raises(Malformed, plug.take, message)
    message = plug.voucher()
    del message["voucher"]["cap"]
    raises(Malformed, plug.take, message)
    message = plug.voucher()
    message["more"] = 1
    raises(Malformed, plug.take, message)
    assert plug.session.state == IDLE


def test_a_nonce_serves_once_and_for_ten_minutes():
    plug = Plug()
    first = plug.session.offer()["nonce"]
    assert plug.session.offer()["nonce"] == first
    message = plug.voucher()
    plug.clock.now += 601
    raises(StaleNonce, plug.take, message)
    assert plug.session.offer()["nonce"] != first
    plug.authorise()
    raises(Busy, plug.take, plug.voucher())
    plug.stop()
    plug.charge(3)
    assert plug.session.offer()["nonce"] not in (first, 0)


def test_no_offer_and_no_voucher_without_a_clock():
    plug = Plug(now=None)
    assert plug.session.offer() is None
    raises(NoClock, plug.take, {"type": "voucher", "voucher": {}, "signature": ""})


def test_due_is_the_contracts_formula():
    message = Plug().voucher(pricePerKwh=123_457, pricePerHour=3_601, maxPowerW=3_000, cap=10**9)
    voucher = Voucher(DOMAIN, message["voucher"], message["signature"])
    assert voucher.due(1000, 3600) == 123_457 + 3_601
    assert voucher.due(10_000, 3600) == 3 * 123_457 + 3_601
    assert voucher.due(0, 0) == 0
    assert voucher.due(10**12, 4 * 10**9) == 10**9


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
    session = Session(SIGNER, other, plug.clock, plug.register, plug.guard, ledger, None, plug.terms, FACTS, plug.changed)
    session.resume()
    assert session.state == IDLE
    assert ledger.unpaid() == [tag]
    assert ledger.entry(tag)[1]["receipt"]["sequence"] == 1
