"""A session from voucher to final receipt, over real journal, outbox and signatures; only time, contactor and meter are the test's."""

import json
import os

from plug.crypto import eip712, secp256k1
from plug.errors import BadSignature, BadState, BadTerms, Busy, Malformed, NoClock, StaleNonce, UnsupportedFunding, WrongPlug, WrongSession
from plug.metering.energy import EnergyRegister
from plug.receipt import Signer
from plug.session import AUTHORISED, CHARGING, ENDING, IDLE, SUSPENDED, Session, read_journal
from plug.storage.journal import Journal
from plug.storage.outbox import Outbox
from plug.typed_data import FLAG_CAP_REACHED, FLAG_CHAIN_CLOCK, FLAG_DRIVER_STOP, FLAG_FINAL, FLAG_METER_FAULT, FLAG_POWER_LOST, FLAG_TIME_OUT
from plug.voucher import Voucher
from plug.wire import from_hex, struct_from_wire, struct_to_wire, to_hex
from run_in_micropython import raises

DOMAIN = eip712.domain_separator(31337, b"\x11" * 20)
DRIVER = b"\x22" * 32
DRIVER_ADDRESS = secp256k1.address(secp256k1.public_key(DRIVER))
SIGNER = Signer(b"\x33" * 32, DOMAIN, "0.0.0")
NOW = 1_790_000_000
NO_LOAD_MA = 50
LOAD_MA = 10_000


class Clock:
    """UTC as the test sets it."""

    def __init__(self, now):
        self.now = now

    @property
    def is_set(self):
        return self.now is not None

    def utc(self):
        if self.now is None:
            raise NoClock("not set")
        return self.now


class Contactor:
    """Remembers what it was told."""

    closed = False

    def open(self):
        self.closed = False

    def close(self):
        self.closed = True


class Plug:
    """A session with its surroundings; `reboot` builds it again from what is in flash."""

    def __init__(self, folder, now=NOW, total_mwh=0):
        self.folder = folder
        os.mkdir(folder)
        self.boot(now, total_mwh)

    def boot(self, now, total_mwh=0):
        self.clock = Clock(now)
        self.contactor = Contactor()
        journal = Journal(self.folder + "/state")
        saved = read_journal(journal)
        saved = saved or {"total_mwh": total_mwh, "session": None}
        self.register = EnergyRegister(saved["total_mwh"], 1, 1)
        self.outbox = Outbox(self.folder + "/outbox")
        self.changes = 0
        self.session = Session(SIGNER, DOMAIN, self.clock, self.register, self.contactor, journal, self.outbox, 2300, NO_LOAD_MA, self.changed)
        self.session.resume(saved["session"])
        return self

    def changed(self):
        self.changes += 1

    def voucher(self, sign_with=DRIVER, **changes):
        values = {
            "driver": DRIVER_ADDRESS,
            "host": b"\x44" * 20,
            "plug": SIGNER.address,
            "token": bytes(20),
            "funding": 0,
            "pricePerKwh": 300_000,
            "pricePerHour": 0,
            "maxPowerW": 2875,
            "cap": 1 << 100,
            "issuedAt": NOW,
            "validUntil": NOW + 86_400,
            "nonce": self.session.offer()["nonce"] if self.session.offer() else 1,
        }
        values.update(changes)
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Voucher", values))
        return {"type": "voucher", "voucher": struct_to_wire("Voucher", values), "signature": to_hex(secp256k1.sign(sign_with, digest))}

    def authorise(self, **changes):
        self.session.take_voucher(self.voucher(**changes))
        self.id = to_hex(self.session.voucher.session)
        return self

    def lock(self):
        self.session.take_lock({"type": "lock", "session": self.id})
        return self

    def stop(self, sign_with=DRIVER):
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Stop", {"session": from_hex("session", self.id, 32)}))
        self.session.take_stop({"type": "stop", "session": self.id, "signature": to_hex(secp256k1.sign(sign_with, digest))})

    def charge(self, seconds, mwh_per_second=639, current_ma=LOAD_MA):
        for _ in range(seconds):
            self.clock.now += 1
            if self.contactor.closed:
                self.register.add(mwh_per_second if current_ma > NO_LOAD_MA else 0)
            self.session.sample(current_ma if self.contactor.closed else 0, 1000)

    def newest(self):
        """The newest receipt's fields: of the running session, else of the outbox's only entry."""
        running = self.session.newest_messages()
        message = running[1] if running else json.loads(self.outbox.payload(self.outbox.unpaid()[0]))["receipt"]
        values = struct_from_wire("Receipt", message["receipt"])
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Receipt", values))
        public = secp256k1.recover(digest, from_hex("signature", message["signature"], 65))
        assert secp256k1.address(public) == SIGNER.address
        return values


def test_a_whole_session():
    plug = Plug("whole", total_mwh=5_000_400).authorise()
    assert plug.session.state == AUTHORISED
    assert not plug.contactor.closed
    plug.lock()
    assert plug.session.state == CHARGING
    assert plug.contactor.closed
    plug.charge(2000)
    plug.stop()
    assert plug.session.state == ENDING
    assert not plug.contactor.closed
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
    plug = Plug("interval").authorise().lock()
    plug.charge(299)
    assert plug.session.newest_messages()[1] is None
    plug.charge(1)
    assert (plug.newest()["sequence"], plug.newest()["asOf"]) == (1, NOW + 300)
    plug.charge(100, mwh_per_second=3000)
    assert plug.newest()["sequence"] == 2
    assert plug.newest()["energyWh"] >= 250 + 300 * 639 // 1000
    assert plug.newest()["asOf"] == NOW + 300 + 84


def test_the_cap_ends_it_and_is_never_passed():
    plug = Plug("cap").authorise(cap=30_000).lock()
    plug.charge(1000)
    final = plug.newest()
    assert plug.session.state == IDLE
    assert not plug.contactor.closed
    assert final["flags"] & (FLAG_CAP_REACHED | FLAG_FINAL) == FLAG_CAP_REACHED | FLAG_FINAL
    assert 100 <= final["energyWh"] <= 102


def test_an_idle_car_ends_it():
    plug = Plug("full").authorise().lock()
    plug.charge(100)
    plug.charge(599, current_ma=NO_LOAD_MA - 1)
    assert plug.session.state == CHARGING
    plug.charge(3, current_ma=NO_LOAD_MA - 1)
    final = plug.newest()
    assert final["flags"] & FLAG_TIME_OUT
    assert final["activeSeconds"] == 100


def test_a_car_that_never_draws_ends_it_later():
    plug = Plug("absent").authorise().lock()
    plug.charge(1799, current_ma=0)
    assert plug.session.state == CHARGING
    plug.charge(3, current_ma=0)
    assert plug.session.state == IDLE
    assert (plug.newest()["energyWh"], plug.newest()["activeSeconds"]) == (0, 0)


def test_valid_until_ends_it_and_no_receipt_is_later():
    plug = Plug("valid").authorise(validUntil=NOW + 400).lock()
    plug.charge(500)
    final = plug.newest()
    assert final["flags"] & FLAG_TIME_OUT
    assert final["asOf"] == NOW + 400
    assert final["activeSeconds"] <= 400


def test_a_meter_fault_ends_it():
    plug = Plug("fault").authorise().lock()
    plug.charge(10)
    plug.session.end_by_fault(FLAG_METER_FAULT)
    assert not plug.contactor.closed
    plug.charge(2)
    assert plug.newest()["flags"] & FLAG_METER_FAULT


def test_never_started_is_all_zeros():
    plug = Plug("never", total_mwh=1_234_567).authorise()
    plug.clock.now = NOW + 3600
    plug.charge(0)
    assert plug.session.state == AUTHORISED
    plug.charge(3)
    final = plug.newest()
    assert (final["startedAt"], final["asOf"], final["activeSeconds"], final["energyWh"]) == (NOW, NOW, 0, 0)
    assert final["flags"] & (FLAG_FINAL | FLAG_TIME_OUT) == FLAG_FINAL | FLAG_TIME_OUT


def test_a_lock_after_the_start_window_is_refused():
    plug = Plug("window").authorise()
    plug.clock.now = NOW + 3601
    raises(BadState, plug.lock)
    assert not plug.contactor.closed


def test_power_cut_resumes_with_its_flag_and_without_the_unjournalled():
    plug = Plug("resume").authorise().lock()
    plug.charge(450)
    before = plug.newest()
    plug.boot(None)
    assert plug.session.state == SUSPENDED
    assert not plug.contactor.closed
    assert plug.register.total_mwh == 420 * 639  # of 450 s, to the minute
    raises(NoClock, plug.lock)
    plug.clock.now = NOW + 500
    plug.lock()
    assert plug.contactor.closed
    plug.charge(220)
    after = plug.newest()
    assert after["flags"] & FLAG_POWER_LOST
    assert after["sequence"] == before["sequence"] + 1
    assert (after["startedAt"], after["registerWh"]) == (before["startedAt"], before["registerWh"])
    assert after["energyWh"] == 640 * 639 // 1000
    assert after["activeSeconds"] == 640


def test_power_cut_while_ending_signs_the_journalled_sample_without_a_clock():
    plug = Plug("ending").authorise().lock()
    plug.charge(400)
    plug.stop()
    plug.boot(None)
    final = plug.newest()
    assert plug.session.state == IDLE
    assert final["flags"] & FLAG_FINAL
    assert final["asOf"] == NOW + 400
    assert final["energyWh"] == 400 * 639 // 1000


def test_power_cut_before_the_lock_still_waits_for_it():
    plug = Plug("early").authorise()
    plug.boot(None)
    assert plug.session.state == AUTHORISED
    plug.clock.now = NOW + 60
    plug.lock()
    assert plug.contactor.closed
    assert plug.session.state == CHARGING


def test_power_cut_past_valid_until_ends_at_the_last_sample():
    plug = Plug("late").authorise(validUntil=NOW + 1000).lock()
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
    plug = Plug("stop").authorise().lock()
    raises(BadSignature, plug.stop, b"\x55" * 32)
    assert plug.contactor.closed
    raises(WrongSession, plug.session.take_stop, {"type": "stop", "session": "0x" + "00" * 32, "signature": "0x" + "00" * 65})
    raises(Malformed, plug.session.take_stop, {"type": "stop", "session": plug.id})
    assert plug.contactor.closed


def test_what_a_voucher_is_refused_for():
    plug = Plug("refuse")
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
        raises(error, plug.session.take_voucher, plug.voucher(**changes))
        assert plug.session.state == IDLE
    plug.session.take_voucher(plug.voucher())


def test_malformed_vouchers_are_refused():
    plug = Plug("malformed")
    for field, value in (("cap", -1), ("cap", 1 << 128), ("cap", True), ("cap", "1"), ("cap", 1.5), ("driver", "0x" + "AA" * 20), ("host", None)):
        message = plug.voucher()
        message["voucher"][field] = value
        raises(Malformed, plug.session.take_voucher, message)
    message = plug.voucher()
    del message["voucher"]["cap"]
    raises(Malformed, plug.session.take_voucher, message)
    message = plug.voucher()
    message["more"] = 1
    raises(Malformed, plug.session.take_voucher, message)
    assert plug.session.state == IDLE


def test_a_nonce_serves_once_and_for_ten_minutes():
    plug = Plug("nonce")
    first = plug.session.offer()["nonce"]
    assert plug.session.offer()["nonce"] == first
    message = plug.voucher()
    plug.clock.now += 601
    raises(StaleNonce, plug.session.take_voucher, message)
    assert plug.session.offer()["nonce"] != first
    plug.authorise()
    raises(Busy, plug.session.take_voucher, plug.voucher())
    plug.stop()
    plug.charge(3)
    assert plug.session.offer()["nonce"] not in (first, 0)


def test_no_offer_and_no_voucher_without_a_clock():
    plug = Plug("clockless", now=None)
    assert plug.session.offer() is None
    raises(NoClock, plug.session.take_voucher, {"type": "voucher", "voucher": {}, "signature": ""})


def test_due_is_the_contracts_formula():
    message = Plug("due").voucher(pricePerKwh=123_457, pricePerHour=3_601, maxPowerW=3_000, cap=10**9)
    voucher = Voucher(DOMAIN, message["voucher"], message["signature"])
    assert voucher.due(1000, 3600) == 123_457 + 3_601
    assert voucher.due(10_000, 3600) == 3 * 123_457 + 3_601
    assert voucher.due(0, 0) == 0
    assert voucher.due(10**12, 4 * 10**9) == 10**9
