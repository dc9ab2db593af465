"""What the plug must never forget, as records of the journal: the energy register, sessions with their newest receipts, calibration, trips.

Keys of the documents: `v` + tag a session's voucher and start, `r` + tag its newest receipt, `e` + tag the claim deadline once it has
ended, `g` the guard's state, `c` the calibration, `x` the last crash. A tag is the first 11 bytes of the session.
"""

import json
import struct

from micropython import const

from plug import text
from plug.errors import JournalError, JournalFull, OutboxFull

CAPACITY = const(32)  # ended sessions that wait for their settlement
TAG_BYTES = const(11)
_SESSION_BYTES = const(4096)  # what one more session may need in the journal
_SAMPLE = "<QQ11sBIIII"
_ENDED = "<QB"
_ACKNOWLEDGED, _PAID = 1, 2
_GUARD, _CALIBRATION, _CRASH = b"g", b"c", b"x"
NO_TAG = bytes(TAG_BYTES)


class Sample:
    """The energy register and the running session's totals at one moment; `state` is a session state's number."""

    def __init__(self, total_mwh=0, reverse_mwh=0, tag=NO_TAG, state=0, as_of=0, active_ms=0, sequence=0, flags=0):
        self.total_mwh = total_mwh
        self.reverse_mwh = reverse_mwh
        self.tag = tag
        self.state = state
        self.as_of = as_of
        self.active_ms = active_ms
        self.sequence = sequence
        self.flags = flags

    def to_bytes(self):
        """Return the journal's form."""
        return struct.pack(_SAMPLE, self.total_mwh, self.reverse_mwh, self.tag, self.state, self.as_of, self.active_ms, self.sequence, self.flags)


class Ledger:
    """Reads and writes the records over a storage.Journal. Every method that writes has written when it returns; all raise JournalError."""

    def __init__(self, journal):
        self._journal = journal
        self.damaged = 0  # documents that do not parse, each left as it is
        self._ended = {}  # tag -> [deadline, how far: 0, _ACKNOWLEDGED or _PAID]
        for key in journal.keys(b"e"):
            payload = journal.get(key)
            if len(payload) == struct.calcsize(_ENDED):
                self._ended[key[1:]] = list(struct.unpack(_ENDED, payload))
            else:
                self.damaged += 1

    # -- energy register and running session -----------------------------------------------------------------------------------------

    @property
    def is_new(self):
        """Tell whether nothing was ever written."""
        return self._journal.sample is None

    def sample(self):
        """Return the newest Sample; of a new journal one with zeros."""
        payload = self._journal.sample
        return Sample() if payload is None else Sample(*struct.unpack(_SAMPLE, payload))

    def put_sample(self, sample):
        """Keep a Sample in place of the one before."""
        self._journal.put_sample(sample.to_bytes())

    def put_session(self, tag, document):
        """Keep a session's voucher and start (a dict)."""
        self._put_json(b"v" + tag, document)

    def start_session(self, tag, started_at, register_wh, calibration):
        """Keep when and where a session began whose voucher is kept already."""
        document = self._get_json(b"v" + tag)
        if document is None:
            raise JournalError("the voucher of the running session is damaged: the contactor stays open; replace the module if it happens again")
        document.update({"started_at": started_at, "register_wh": register_wh, "calibration": calibration})
        self._put_json(b"v" + tag, document)

    def put_receipt(self, tag, message):
        """Keep a session's newest receipt (its wire message)."""
        self._put_json(b"r" + tag, message)

    def running(self):
        """Return (tag, document, newest receipt message or None) of the session that has not ended, or None."""
        for key in self._journal.keys(b"v"):
            document = None if key[1:] in self._ended else self._get_json(key)
            if document is not None:
                return key[1:], document, self._get_json(b"r" + key[1:])
        return None

    # -- ended sessions --------------------------------------------------------------------------------------------------------------

    def end(self, tag, deadline):
        """Note that a session has ended; its final receipt may be claimed until UTC second `deadline`."""
        self._put_ended(tag, [deadline, 0])

    def unpaid(self):
        """Return the tags of ended sessions that wait for their payment."""
        return sorted(tag for tag, ended in self._ended.items() if ended[1] != _PAID)

    def entry(self, tag):
        """Return (session document, final receipt message) of an ended session, or None where its documents do not parse."""
        document, receipt = self._get_json(b"v" + tag), self._get_json(b"r" + tag)
        return None if document is None or receipt is None else (document, receipt)

    def unacknowledged(self):
        """Return how many ended sessions there are whose final receipt nobody has acknowledged."""
        return len([ended for ended in self._ended.values() if not ended[1]])

    def mark_acknowledged(self, tag):
        """Note that the relay has a session's final receipt. One that is not waiting for it is ignored."""
        ended = self._ended.get(tag)
        if ended is not None and not ended[1]:
            self._put_ended(tag, [ended[0], _ACKNOWLEDGED])

    def mark_paid(self, tag):
        """Note that a session is paid: it gives way when its room is needed. One that is not waiting is ignored."""
        ended = self._ended.get(tag)
        if ended is not None and ended[1] != _PAID:
            self._put_ended(tag, [ended[0], _PAID])

    def make_room(self, now):
        """Make room for one more session by dropping what can no longer be claimed, then what is paid; raise OutboxFull where that is not enough."""
        for tag, (deadline, _) in list(self._ended.items()):
            if deadline < now:
                self._drop(tag)
        for tag in [tag for tag, ended in self._ended.items() if ended[1] == _PAID]:
            if self._has_room():
                break
            self._drop(tag)
        if len(self._ended) < CAPACITY and not self._has_room():
            raise JournalFull("the journal has no room for another session: settle some first")
        if not self._has_room():
            raise OutboxFull(f"{len(self._ended)} sessions wait for their settlement: settle some first")

    def _has_room(self):
        return len(self._ended) < CAPACITY and self._journal.has_room(_SESSION_BYTES)

    def _drop(self, tag):
        # The mark goes last: a session without it would be taken for the running one.
        self._journal.remove(b"v" + tag)
        self._journal.remove(b"r" + tag)
        self._journal.remove(b"e" + tag)
        del self._ended[tag]

    def _put_ended(self, tag, ended):
        self._journal.put(b"e" + tag, struct.pack(_ENDED, *ended))
        self._ended[tag] = ended

    # -- the rest --------------------------------------------------------------------------------------------------------------------

    def guard(self):
        """Return the guard's state (a dict) or None."""
        return self._get_json(_GUARD)

    def put_guard(self, state):
        """Keep the guard's state."""
        self._put_json(_GUARD, state)

    def calibration(self):
        """Return the calibration's bytes or None."""
        return self._journal.get(_CALIBRATION)

    def put_calibration(self, data):
        """Keep a calibration's bytes."""
        self._journal.put(_CALIBRATION, data)

    def crash(self):
        """Return what was written of the last crash (a dict), or None."""
        return self._get_json(_CRASH)

    def put_crash(self, crash):
        """Keep what is known of a crash."""
        self._put_json(_CRASH, crash)

    def _put_json(self, key, value):
        self._journal.put(key, text.buffer[: text.write(value)])

    def _get_json(self, key):
        payload = self._journal.get(key, text.buffer)
        if payload is None:
            return None
        try:
            value = json.loads(payload) if payload[-1:] == b"}" else None  # the parser would take the end for a missing bracket
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self.damaged += 1
            return None
        return value


def open_ledger(journal, has_key):
    """Return the Ledger of a journal; the first boot writes its first record, before the device key is made.

    Raises JournalError where only one of journal and device key is left: a new key would orphan unpaid receipts, a new register would count
    from 0 again.
    """
    ledger = Ledger(journal)
    if has_key and ledger.is_new:
        raise JournalError("the journal is gone, but not the device key: the register's total is unknown; the contactor stays open")
    if not has_key and (ledger.sample().total_mwh or journal.keys(b"v")):
        raise JournalError("the device key is gone, but not the journal: erase both only when every receipt is settled")
    if ledger.is_new:
        ledger.put_sample(Sample())
    return ledger
