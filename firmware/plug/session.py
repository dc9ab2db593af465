"""One charging session from voucher to final receipt: the state machine of docs/protocol.md section 3.

Every change that a receipt will rest on is in the journal before anything else happens. The journal's record holds the energy register
and the session together, so neither can be newer than the other.
"""

import gc
import json
import os

from micropython import const

from plug.errors import BadState, Busy, StaleNonce, WrongSession
from plug.typed_data import (
    FLAG_CAP_REACHED,
    FLAG_CHAIN_CLOCK,
    FLAG_DRIVER_STOP,
    FLAG_FINAL,
    FLAG_POWER_LOST,
    FLAG_TIME_OUT,
    GRACE_S,
)
from plug.voucher import Voucher, check_stop
from plug.wire import check_keys, from_hex, to_hex

IDLE = "idle"
AUTHORISED = "authorised"
CHARGING = "charging"
SUSPENDED = "suspended"
ENDING = "ending"

RECEIPT_INTERVAL_S = const(300)
RECEIPT_INTERVAL_WH = const(250)
JOURNAL_INTERVAL_S = const(60)  # what a power cut may cost the host; flash outlives ten years of it
NONCE_LIFE_S = const(600)
IDLE_AFTER_LOAD_MS = const(600_000)
IDLE_BEFORE_LOAD_MS = const(1_800_000)
SETTLING_MS = const(1_000)  # contacts open, and the meter IC's last counts are in


NEW_JOURNAL = b'{"total_mwh": 0, "session": null}'


def read_journal(journal):
    """Return {"total_mwh", "session"} as `Session.save` left it, or None before the first. Raises JournalError."""
    payload = journal.load()
    return None if payload is None else json.loads(payload)


class Session:
    """The plug's one session, its energy register, its contactor and its receipts.

    `changed` is called after anything that the relay should hear about.
    """

    def __init__(self, signer, domain, clock, register, contactor, journal, outbox, rated_power_w, no_load_ma, changed):
        self._signer = signer
        self._domain = domain
        self._clock = clock
        self._register = register
        self._contactor = contactor
        self._journal = journal
        self._outbox = outbox
        self._rated_power_w = rated_power_w
        self._no_load_ma = no_load_ma
        self._changed = changed
        self._nonce = 0
        self._nonce_at = 0
        self._clear()

    def _clear(self):
        self.state = IDLE
        self.voucher = None
        self._receipt = None  # newest receipt's wire message
        self._receipt_at = 0
        self._receipt_wh = 0
        self._saved_at = 0
        self._started_at = 0
        self._register_wh = 0
        self._active_ms = 0
        self._idle_ms = 0
        self._as_of = 0
        self._sequence = 0
        self._flags = 0

    # -- journal ---------------------------------------------------------------------------------------------------------------------

    def resume(self, session):
        """Take up what `read_journal` found: a session that was cut off waits, contacts open, or is ended."""
        if session is None:
            return
        self.voucher = Voucher(self._domain, session["voucher"], session["signature"])
        self.state = session["state"]
        self._receipt = session["receipt"]
        self._started_at = session["started_at"]
        self._register_wh = session["register_wh"]
        self._active_ms = session["active_ms"]
        self._as_of = self._receipt_at = session["as_of"]
        self._sequence = session["sequence"]
        self._flags = session["flags"]
        self._receipt_wh = self._energy_wh()
        if self.state in (CHARGING, SUSPENDED):
            self.state = SUSPENDED
            self._flags |= FLAG_POWER_LOST
        elif self.state == ENDING:
            self._finish()

    def save(self):
        """Put register and session into the journal."""
        gc.collect()  # receipt and record need pieces of 2 KB: keep the heap from splintering
        session = None
        if self.voucher is not None:
            session = {
                "voucher": self.voucher.message["voucher"],
                "signature": self.voucher.message["signature"],
                "state": self.state,
                "receipt": self._receipt,
                "started_at": self._started_at,
                "register_wh": self._register_wh,
                "active_ms": self._active_ms,
                "as_of": self._as_of,
                "sequence": self._sequence,
                "flags": self._flags,
            }
        self._saved_at = self._as_of
        payload = json.dumps({"total_mwh": self._register.total_mwh, "session": session})
        self._journal.store(payload.encode())

    # -- what the relay asks ---------------------------------------------------------------------------------------------------------

    def offer(self):
        """Return the `offer` message with a nonce at most ten minutes old, or None while busy or without a clock."""
        if self.state != IDLE or not self._clock.is_set:
            return None
        now = self._clock.utc()
        if self._nonce == 0 or now - self._nonce_at >= NONCE_LIFE_S:
            self._nonce = int.from_bytes(os.urandom(8), "big") or 1
            self._nonce_at = now
        return {"type": "offer", "nonce": self._nonce, "issued_at": self._nonce_at}

    def take_voucher(self, message):
        """Accept a driver's voucher: state `authorised`. Raises the PlugError that says why not."""
        check_keys("voucher", message, ("type", "voucher", "signature"))
        if self.state != IDLE:
            raise Busy(f"a session is {self.state}: wait for the next offer")
        now = self._clock.utc()
        voucher = Voucher(self._domain, message["voucher"], message["signature"])
        voucher.check_terms(self._signer.address, self._rated_power_w, now)
        if self._nonce == 0 or voucher.values["nonce"] != self._nonce or now - self._nonce_at > NONCE_LIFE_S:
            raise StaleNonce("the nonce is not the offered one, or older than 10 minutes: take the newest offer")
        voucher.check_signature()
        self._outbox.make_room(now)
        self._nonce = 0
        self.voucher = voucher
        self.state = AUTHORISED
        self._as_of = self._started_at = voucher.values["issuedAt"]
        self._flags = FLAG_CHAIN_CLOCK
        self.save()
        self._changed()

    def take_lock(self, message):
        """Start or resume charging: the relay has seen the voucher's lock open on chain."""
        check_keys("lock", message, ("type", "session"))
        self._must_be(message)
        now = self._clock.utc()
        if self.state == CHARGING:
            return
        if self.state == AUTHORISED and now <= self.voucher.start_deadline:
            self._started_at = self._as_of = self._receipt_at = now
            self._register_wh = self._register.wh_ceil()
        elif self.state != SUSPENDED or now >= self.voucher.values["validUntil"]:
            raise BadState(f"a session that is {self.state} cannot start at {now}")
        self.state = CHARGING
        self._idle_ms = 0
        self.save()
        self._contactor.close()
        self._changed()

    def take_stop(self, message):
        """End the session at its driver's word."""
        check_keys("stop", message, ("type", "session", "signature"))
        self._must_be(message)
        check_stop(self._domain, self.voucher.session, message, self.voucher.values["driver"])
        if self.state != ENDING:
            self._end(FLAG_DRIVER_STOP)

    def _must_be(self, message):
        session = from_hex("session", message["session"], 32)
        if self.voucher is None or session != self.voucher.session:
            raise WrongSession("no session {} is running".format(message["session"]))

    # -- what time brings ------------------------------------------------------------------------------------------------------------

    def sample(self, current_ma, elapsed_ms):
        """Book `elapsed_ms` of a session after the register took the meter's counts; write receipts, see its ends."""
        if self.state == IDLE:
            return
        if self.state == ENDING:
            self._idle_ms += elapsed_ms
            if self._idle_ms >= SETTLING_MS:
                self._finish()
            return
        if not self._clock.is_set:
            return
        now = self._clock.utc()
        if self.state == CHARGING:
            self._charge(now, current_ma, elapsed_ms)
        elif now > (self.voucher.start_deadline if self.state == AUTHORISED else self.voucher.values["validUntil"]):
            self._end(FLAG_TIME_OUT)

    def _charge(self, now, current_ma, elapsed_ms):
        if current_ma >= self._no_load_ma:
            self._active_ms += elapsed_ms
            self._idle_ms = 0
        else:
            self._idle_ms += elapsed_ms
        values = self.voucher.values
        energy_wh = self._energy_wh()
        self._as_of = min(now, values["validUntil"])
        if now >= values["validUntil"] or self._idle_ms >= (IDLE_AFTER_LOAD_MS if self._active_ms else IDLE_BEFORE_LOAD_MS):
            self._end(FLAG_TIME_OUT)
        elif self.voucher.due(energy_wh, self._active_seconds()) >= values["cap"]:
            self._end(FLAG_CAP_REACHED)
        elif now - self._receipt_at >= RECEIPT_INTERVAL_S or energy_wh - self._receipt_wh >= RECEIPT_INTERVAL_WH:
            self._issue()
            self._changed()
        elif now - self._saved_at >= JOURNAL_INTERVAL_S:
            self.save()

    def end_by_fault(self, flag):
        """End a charging session for a trip or a meter fault."""
        if self.state == CHARGING:
            self._end(flag)

    def _end(self, flag):
        self._contactor.open()
        if self.state == AUTHORISED:  # never started: zeros
            self._register_wh = self._register.wh_ceil()
        self._flags |= flag
        self._idle_ms = 0
        self.state = ENDING
        self.save()
        self._changed()

    def _finish(self):
        if not self._flags & FLAG_FINAL:
            self._flags |= FLAG_FINAL
            self._issue()
        deadline = self.voucher.values["validUntil"] + GRACE_S
        entry = {"session": self.session_message(), "receipt": self._receipt}
        self._outbox.add(to_hex(self.voucher.session), deadline, json.dumps(entry).encode())
        self._clear()
        self.save()
        self._changed()

    # -- receipts --------------------------------------------------------------------------------------------------------------------

    def _energy_wh(self):
        return max(0, self._register.wh_floor() - self._register_wh)

    def _active_seconds(self):
        return min(self._active_ms // 1000, self._as_of - self._started_at)

    def _issue(self):
        """Sign a receipt for the totals so far and put it into the journal."""
        gc.collect()
        self._sequence += 1
        self._receipt_at = self._as_of
        self._receipt_wh = self._energy_wh()
        self._receipt = self._signer.message(
            {
                "session": self.voucher.session,
                "sequence": self._sequence,
                "startedAt": self._started_at,
                "asOf": self._as_of,
                "activeSeconds": self._active_seconds(),
                "registerWh": self._register_wh,
                "energyWh": self._receipt_wh,
                "flags": self._flags,
            }
        )
        self.save()

    def session_message(self):
        """Return the `session` message of the running session."""
        return {
            "type": "session",
            "session": to_hex(self.voucher.session),
            "voucher": self.voucher.message["voucher"],
            "signature": self.voucher.message["signature"],
        }

    def newest_messages(self):
        """Return (`session` message, newest `receipt` message or None) of the running session, or None when idle."""
        return None if self.voucher is None else (self.session_message(), self._receipt)
