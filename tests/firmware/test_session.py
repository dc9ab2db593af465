"""A session from voucher to final receipt: what it counts, what ends it, what it refuses."""

import asyncio

import in_order  # noqa: F401  before what it imports
from plug.errors import (
    BadSignature,
    BadState,
    BadTerms,
    Busy,
    JournalError,
    Malformed,
    NoClock,
    StaleNonce,
    UnsupportedFunding,
    WrongPlug,
    WrongSession,
)
from plug.session import AUTHORISED, CHARGING, ENDING, IDLE, SUSPENDED
from plug.typed_data import FLAG_CAP_REACHED, FLAG_CHAIN_CLOCK, FLAG_DRIVER_STOP, FLAG_FINAL, FLAG_METER_FAULT, FLAG_POWER_LOST, FLAG_TIME_OUT
from plug.voucher import Voucher
from run_in_micropython import raises
from session_bench import DOMAIN, NO_LOAD_MA, NOW, Plug


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


def test_nothing_starts_before_the_lock():
    plug = Plug().authorise()
    plug.charge(60)
    assert (plug.session.state, plug.guard.is_open) == (AUTHORISED, True)


def test_a_voucher_cannot_be_played_again():
    plug = Plug()
    message = plug.voucher()
    plug.take(message)
    plug.session.take_end({"type": "end", "session": plug.session.newest_messages()[1]["session"]})
    plug.charge(3)
    assert plug.session.state == IDLE
    raises(StaleNonce, plug.take, message)
    plug.session.offer()
    raises(StaleNonce, plug.take, message)


def test_a_sample_is_at_most_10_wh_old():
    plug = Plug().authorise().lock()
    for _ in range(50):
        plug.charge(1, mwh_per_second=900)
        assert plug.register.total_mwh - plug.ledger.sample().total_mwh < 10_000


def test_a_receipt_is_written_after_the_sample_that_it_rests_on():
    plug = Plug().authorise().lock()
    put, seen = plug.ledger.put_receipt, []

    def look(tag, message):
        sample, fields = plug.ledger.sample(), message["receipt"]
        seen.append(fields["sequence"])
        assert sample.total_mwh // 1000 - fields["registerWh"] == fields["energyWh"]
        assert (sample.sequence, sample.active_ms // 1000, sample.as_of) == (fields["sequence"], fields["activeSeconds"], fields["asOf"])
        put(tag, message)

    plug.ledger.put_receipt = look
    plug.charge(310)
    plug.stop()
    plug.charge(3)
    assert seen == [1, 2]


def refuse(tag, message):
    raise JournalError("full")


def test_a_receipt_that_is_not_in_the_journal_is_not_sent():
    plug = Plug().authorise().lock()
    plug.ledger.put_receipt = refuse
    raises(JournalError, plug.charge, 310)
    assert plug.session.newest()[1] == 0
    plug.stop()
    raises(JournalError, plug.charge, 3)
    assert plug.session.newest()[1] == 0
    assert plug.ledger.running() is not None
    assert plug.ledger.unpaid() == []


def test_a_power_cut_while_the_final_receipt_is_signed_loses_none():
    for charged_s in (100, 400):  # without and with a receipt before
        plug = Plug().authorise().lock()
        plug.charge(charged_s)
        plug.stop()
        plug.ledger.put_receipt = refuse  # the sample before it is in the journal
        raises(JournalError, plug.charge, 3)
        plug.boot(NOW + 500)
        plug.charge(3)
        final = plug.newest()
        assert plug.session.state == IDLE
        assert final["flags"] & FLAG_FINAL
        assert final["energyWh"] == charged_s * 639 // 1000
