"""One charging session from voucher to final receipt: the state machine of docs/protocol.md section 3.

`step`, called a few times a second, is what moves the session; a message that ends it does so at once. Every change that a receipt will
rest on is in the journal before anything else happens.
"""

import gc
import os

from micropython import const

from plug.errors import BadState, Busy, JournalError, NotBilling, StaleNonce, Tripped, WrongSession
from plug.ledger import NO_TAG, TAG_BYTES, Sample
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
    GRACE_S,
)
from plug.voucher import Voucher, check_stop
from plug.wire import check_keys, from_hex, session_message, to_hex

IDLE = "idle"
AUTHORISED = "authorised"
CHARGING = "charging"
SUSPENDED = "suspended"
ENDING = "ending"
STATES = (IDLE, AUTHORISED, CHARGING, SUSPENDED, ENDING)  # a sample holds the index

RECEIPT_INTERVAL_S = const(300)
RECEIPT_INTERVAL_WH = const(250)
SAMPLE_INTERVAL_MS = const(55_000)  # a power cut costs the host a minute or 10 Wh at most, the writing included
SAMPLE_INTERVAL_MWH = const(9_000)
REST_INTERVAL_MS = const(900_000)  # while suspended: a sample's age tells after a reboot how long it was dark
NONCE_LIFE_S = const(600)
BUDGET_LIFE_MS = const(900_000)
RESUME_WITHIN_S = const(1_800)  # longer in the dark, and another car may stand there
IDLE_AFTER_LOAD_MS = const(600_000)
IDLE_BEFORE_LOAD_MS = const(1_800_000)
_BARRED = ("meter", "mains", "self-check", "temperature")  # what the guard may wait for that need not end by itself
SETTLING_MS = const(1_000)  # contacts open, and the meter IC's last counts are in
OPENING_S = const(3)  # before validUntil: the contacts may wait for a low current


class Session:
    """The plug's one session: its voucher, totals and receipts. The guard moves the contactor at its word.

    `facts`: rated_power_w, no_load_ma, continuous_ma, is_billing, has_load_sense, calibration (digest in hex). `host`: whom the plug works for,
    or None. `changed()` is called after anything that the relay should hear about.
    """

    def __init__(self, receipts, domain, clock, register, guard, ledger, host, terms, facts, changed):
        self._receipts = receipts
        self._domain = domain
        self._clock = clock
        self._register = register
        self._guard = guard
        self._ledger = ledger
        self._host = host
        self._terms = terms
        self._facts = facts
        self._changed = changed
        self._nonce = 0
        self._nonce_at = 0
        self.budget_ma = None  # the newest, also when its time is over; None: never told
        self._budget_ms = 0
        self._saved_mwh = register.total_mwh
        self.was_charging = False  # when the power went
        self._clear()

    def _clear(self):
        self.state = IDLE
        self.voucher = None
        self._tag = None
        self._receipt_sequence = 0  # newest receipt's; the journal has it, and the voucher's message: 3 KB that the heap has not to spare
        self._receipt_at = 0
        self._receipt_wh = 0
        self._saved_ms = 0
        self._saved_active_ms = 0
        self._started_at = 0
        self._register_wh = 0
        self._active_ms = 0
        self._idle_ms = 0
        self._settled_ms = 0
        self._as_of = 0
        self._sequence = 0
        self._flags = 0
        self._is_contradicted = False  # after a reboot: it must not go on
        self._trip = None  # the first since the session began, even if it was cleared already
        self._is_locked = False
        self._is_pressed = False

    # -- journal ---------------------------------------------------------------------------------------------------------------------

    def resume(self):
        """Take up what the journal holds: a session that was cut off waits, contacts open, or will be ended by the next `step`."""
        running = self._ledger.running()
        if running is None:
            return
        tag, document, receipt = running
        voucher = Voucher(self._domain, document["voucher"], document["signature"])
        if voucher.session[:TAG_BYTES] != tag:  # made under another chain or contract: what was signed for it stays to be claimed
            self._ledger.end(tag, voucher.values["validUntil"] + GRACE_S)
            return
        self._tag, self.voucher = tag, voucher
        self._started_at = document["started_at"]
        self._register_wh = document["register_wh"]
        sample = self._ledger.sample()
        self._flags = FLAG_CHAIN_CLOCK
        if sample.tag == self._tag:
            self.state = STATES[sample.state]
            self._active_ms = sample.active_ms
            self._as_of = sample.as_of
            self._sequence = sample.sequence
            self._flags = sample.flags & ~FLAG_FINAL  # that one is the receipt's: the cut may have come before it was written
        elif self._started_at == self.voucher.values["issuedAt"]:  # the cut came while it was ended that had never started
            self.state = ENDING
            self._as_of = self._started_at
        else:  # the cut came before the session's first sample
            self.state = SUSPENDED if self._started_at else AUTHORISED
            self._as_of = self._started_at or self.voucher.values["issuedAt"]
        if receipt is not None:
            fields = receipt["receipt"]
            self._receipt_sequence = fields["sequence"]
            self._sequence = max(self._sequence, self._receipt_sequence)
            if fields["flags"] & FLAG_FINAL:
                self.state = ENDING
                self._flags = fields["flags"]
        if self.state != AUTHORISED and not self._started_at:
            raise JournalError("the running session's start is gone, though its samples are there: flash is damaged, the contactor stays open")
        self._receipt_at = self._as_of
        self._receipt_wh = self._energy_wh()
        if self.state == AUTHORISED:
            self._started_at = self._as_of
        elif self.state != ENDING:
            self.was_charging = self.state == CHARGING
            self.state = SUSPENDED
            self._flags |= FLAG_POWER_LOST
            if document["calibration"] != self._facts["calibration"] or self._register.wh_ceil() < self._register_wh:
                self._is_contradicted = True  # what was metered before and what would be metered now do not belong together

    def save(self):
        """Put energy register and the session's totals into the journal."""
        register = self._register
        self._saved_ms = self._clock.tick()
        self._saved_mwh = register.total_mwh
        self._saved_active_ms = self._active_ms
        totals = register.total_mwh, register.reverse_mwh
        self._ledger.put_sample(
            Sample(*totals, self._tag or NO_TAG, STATES.index(self.state), int(self._as_of), self._active_ms, self._sequence, self._flags)
        )

    # -- what the relay asks ---------------------------------------------------------------------------------------------------------

    def offer(self):
        """Return the `offer` message with a nonce at most ten minutes old, or None while no session can start."""
        if self.state != IDLE or not self._clock.is_set or self._guard.trip:
            return None
        if self._facts["has_load_sense"] and self._guard.weld == "unknown":  # the self-check is still under way
            return None
        now = self._clock.utc()
        prices = self._terms.prices(now)
        if prices is None or not self._terms.is_open(now):
            return None
        if self._nonce == 0 or now - self._nonce_at >= NONCE_LIFE_S:
            self._nonce = int.from_bytes(os.urandom(8), "big") or 1
            self._nonce_at = now
        return {"type": "offer", "nonce": self._nonce, "issued_at": self._nonce_at, "price_per_kwh": prices[0], "price_per_hour": prices[1]}

    async def take_voucher(self, message):
        """Accept a driver's voucher: state `authorised`. Raises the PlugError that says why not."""
        check_keys("voucher", message, ("type", "voucher", "signature"))
        self._must_be_idle()
        now = self._clock.utc()
        voucher = Voucher(self._domain, message["voucher"], message["signature"])
        prices = self._terms.prices(self._nonce_at)  # those of the offer
        voucher.check_terms(self._receipts.plug, self._facts["rated_power_w"], self._host, prices or (0, 0), now)
        if self._nonce == 0 or voucher.values["nonce"] != self._nonce or now - self._nonce_at > NONCE_LIFE_S:
            raise StaleNonce("the nonce is not the offered one, or older than 10 minutes: take the newest offer")
        if not voucher.is_free:
            self._must_be_payable()
        await voucher.check_signature()
        self._must_be_idle()  # the check took a while
        self._ledger.make_room(now)
        tag = voucher.session[:TAG_BYTES]
        document = {"voucher": message["voucher"], "signature": message["signature"]}
        document.update({"started_at": 0, "register_wh": 0, "calibration": self._facts["calibration"]})
        self._ledger.put_session(tag, document)
        self._nonce = 0
        self.voucher = voucher
        self._tag = tag
        self.state = AUTHORISED
        self._as_of = self._started_at = voucher.values["issuedAt"]
        self._flags = FLAG_CHAIN_CLOCK
        self._changed()

    def _must_be_idle(self):
        if self._guard.trip:
            raise Tripped(f"the plug has tripped ({self._guard.trip}): its host must look at it")
        if self.state != IDLE:
            raise Busy(f"a session is {self.state}: wait for the next offer")

    def _must_be_payable(self):
        if not self._facts["is_billing"]:
            raise NotBilling("this board's meter must not be billed: only a voucher with prices of 0 is served")
        self._guard.check_session()

    def take_lock(self, message):
        """Note that the relay has seen the voucher's lock open on chain: the session may start or go on."""
        check_keys("lock", message, ("type", "session"))
        self._must_be(message["session"])
        now = self._clock.utc()
        if self.state == ENDING or now > (self.voucher.start_deadline if self.state == AUTHORISED else self.voucher.values["validUntil"]):
            raise BadState(f"a session that is {self.state} cannot start at {now}")
        self._is_locked = True

    async def take_stop(self, message):
        """End the session at its driver's word."""
        check_keys("stop", message, ("type", "session", "signature"))
        self._must_be(message["session"])
        session, driver = self.voucher.session, self.voucher.values["driver"]
        await check_stop(self._domain, session, message, driver)
        self._must_be(message["session"])
        if self.state != ENDING:
            self._end(FLAG_DRIVER_STOP)

    def take_end(self, message):
        """End the session at its host's word."""
        check_keys("end", message, ("type", "session"))
        self._must_be(message["session"])
        if self.state != ENDING:
            self._end(FLAG_HOST_STOP)

    def take_budget(self, current_ma):
        """Suspend while the site grants less than a charge needs; a grant lasts 15 minutes, then it counts as 0."""
        self.budget_ma = current_ma
        self._budget_ms = self._clock.tick()

    def forget_offer(self):
        """Let the next offer have a new nonce: the clock has gone back."""
        self._nonce = 0

    def _must_be(self, session):
        if self.voucher is None or from_hex("session", session, 32) != self.voucher.session:
            raise WrongSession(f"no session {session!r:.70} is running")

    # -- what the plug itself sees -----------------------------------------------------------------------------------------------------

    def press(self):
        """Note that somebody pressed the button."""
        self._is_pressed = self.state == AUTHORISED

    def account(self, current_ma, elapsed_ms):
        """Book `elapsed_ms` of contacts and current; called with every sample of the meter."""
        if self.state == IDLE:
            return
        guard = self._guard
        if guard.trip and not self._trip:
            self._trip = guard.trip
        if guard.is_open or guard.trip:  # welded contacts must not keep the final receipt back
            self._settled_ms += elapsed_ms
            if self.state == CHARGING and guard.waits_for in _BARRED:
                self._idle_ms += elapsed_ms
        elif current_ma is not None and current_ma >= self._facts["no_load_ma"]:
            self._settled_ms = 0
            self._active_ms += elapsed_ms
            self._idle_ms = 0
        elif self.state == CHARGING and guard.is_closed:
            self._settled_ms = 0
            self._idle_ms += elapsed_ms

    # -- what time brings ------------------------------------------------------------------------------------------------------------

    async def step(self, is_plugged, is_metering):
        """Move on: start, suspend, resume, write samples and receipts, end.

        `is_plugged` is False while the board sees no plug, `is_metering` while the meter does not answer.
        """
        if self.state == IDLE:
            if self._register.total_mwh - self._saved_mwh >= SAMPLE_INTERVAL_MWH:  # through welded contacts
                self.save()
            return
        if self.state == ENDING:
            if self._settled_ms >= SETTLING_MS:
                await self._finish()
            return
        if self._clock.is_set and self.state != AUTHORISED and self._is_locked:
            self._as_of = max(self._as_of, min(self._clock.utc(), self.voucher.values["validUntil"]))
        flag = self._why_end(is_plugged)
        if flag is not None:
            self._end(flag)
        elif self.state == AUTHORISED:
            if self._is_locked and is_plugged and is_metering and (self._is_pressed or not self._terms.needs_button):
                self._start()
        else:
            self._follow_claims()
            await self._write()

    def _why_end(self, is_plugged):
        """Return the flag to end the session with now, or None."""
        trip = self._trip or self._guard.trip
        if trip:
            return FLAG_METER_FAULT if trip == "meter_silent" else FLAG_TRIP
        if self._is_contradicted:
            return 0
        if not is_plugged and self.state != AUTHORISED:  # it must not go on under another car
            return FLAG_UNPLUGGED
        if not self._clock.is_set:
            return None
        now = self._clock.utc()
        values = self.voucher.values
        if self.state == AUTHORISED:
            return FLAG_TIME_OUT if now > self.voucher.start_deadline or now >= values["validUntil"] else None
        if now + OPENING_S >= values["validUntil"]:
            return FLAG_TIME_OUT
        if not self._is_locked and now - self._as_of > RESUME_WITHIN_S:
            return FLAG_TIME_OUT
        if self._idle_ms >= (IDLE_AFTER_LOAD_MS if self._active_ms else IDLE_BEFORE_LOAD_MS):
            return FLAG_TIME_OUT
        if self.voucher.due(self._energy_wh(), self._active_seconds()) >= values["cap"]:
            return FLAG_CAP_REACHED
        return None

    def _start(self):
        self._started_at = self._as_of = self._receipt_at = self._clock.utc()
        self._register_wh = self._register.wh_ceil()
        self.state = SUSPENDED  # until nothing speaks against closing
        self._ledger.start_session(self._tag, self._started_at, self._register_wh, self._facts["calibration"])
        self.save()
        self._changed()
        self._follow_claims()

    def _follow_claims(self):
        """Close or open the contacts as lock, budget, schedule and mains have it; the session goes on either way."""
        wanted = self._is_locked and self._clock.is_set and self._terms.is_open(self._clock.utc()) and self._has_budget() and not self._guard.outage
        if wanted == (self.state == CHARGING):
            return
        if self._guard.outage:
            self._flags |= FLAG_POWER_LOST
        self.state = CHARGING if wanted else SUSPENDED
        self._idle_ms = 0
        self.save()
        self._claim(wanted)

    def _claim(self, closed):
        try:
            self._guard.want(closed, self._clock.tick())
        except Tripped as error:  # since the look at the top of this step; the next one ends the session
            print(error)
        self._changed()

    def _has_budget(self):
        if self.budget_ma is None:
            return not self._terms.is_site
        return self.budget_ma >= self._facts["continuous_ma"] and self._clock.tick() - self._budget_ms < BUDGET_LIFE_MS

    async def _write(self):
        """Keep a sample every minute or 10 Wh, a receipt every 5 minutes or 250 Wh, while there is anything new."""
        register = self._register
        energy_wh = self._energy_wh()
        if self._active_ms == self._saved_active_ms and register.total_mwh == self._saved_mwh and self._guard.is_open:
            if self._clock.tick() - self._saved_ms >= REST_INTERVAL_MS:
                self.save()
            return
        if self._as_of - self._receipt_at >= RECEIPT_INTERVAL_S or energy_wh - self._receipt_wh >= RECEIPT_INTERVAL_WH:
            await self._issue()
            self._changed()
        elif register.total_mwh - self._saved_mwh >= SAMPLE_INTERVAL_MWH or self._clock.tick() - self._saved_ms >= SAMPLE_INTERVAL_MS:
            self.save()

    def _end(self, flag):
        self._guard.want(False, self._clock.tick(), final=True)
        if self.state == AUTHORISED:  # never started: zeros
            self._register_wh = self._register.wh_ceil()
            self._ledger.start_session(self._tag, self._started_at, self._register_wh, self._facts["calibration"])
        self._flags |= flag
        self._settled_ms = 0
        self.state = ENDING
        self.save()
        self._changed()

    async def _finish(self):
        if not self._flags & FLAG_FINAL:
            self._flags |= FLAG_FINAL
            await self._issue()
        self._ledger.end(self._tag, self.voucher.values["validUntil"] + GRACE_S)
        self._clear()
        self._changed()

    # -- receipts --------------------------------------------------------------------------------------------------------------------

    def _energy_wh(self):
        return max(0, self._register.wh_floor() - self._register_wh)

    def _active_seconds(self):
        return max(0, min(self._active_ms // 1000, self._as_of - self._started_at))

    async def _issue(self):
        """Sign a receipt for the totals so far and put it into the journal, after the sample that it rests on."""
        self._sequence += 1
        self._receipt_at = self._as_of
        self._receipt_wh = self._energy_wh()
        fields = {
            "session": self.voucher.session,
            "sequence": self._sequence,
            "startedAt": self._started_at,
            "asOf": self._as_of,
            "activeSeconds": self._active_seconds(),
            "registerWh": self._register_wh,
            "energyWh": self._receipt_wh,
            "flags": self._flags,
        }
        self.save()
        gc.collect()  # receipt and record need pieces of 2 KB: keep the heap from splintering
        receipt = await self._receipts.message(fields)
        self._ledger.put_receipt(self._tag, receipt)
        self._receipt_sequence = fields["sequence"]

    def newest(self):
        """Return (tag, newest receipt's sequence or 0) of the running session, or None when idle."""
        return None if self.voucher is None else (self._tag, self._receipt_sequence)

    def newest_messages(self):
        """Return (tag, `session` message, newest `receipt` message or None) of the running session out of the journal, or None when idle."""
        running = None if self.voucher is None else self._ledger.running()
        if running is None:
            return None
        tag, document, receipt = running
        return tag, session_message(to_hex(self.voucher.session), document), receipt
