"""Ended sessions with their final receipts, one file each, until they are paid or can no longer be claimed.

A paid one stays until its room is needed: the relay's word that it is paid cannot be checked here yet.
"""

import os

from micropython import const

from plug.errors import JournalError, OutboxFull
from plug.storage import record

CAPACITY = const(32)
_OPEN = ".open"
_PAID = ".paid"


class Outbox:
    """Entries are bytes, named by their session's hex id; the record's sequence is the claim deadline in UTC seconds."""

    def __init__(self, folder):
        self._folder = folder
        record.make_folder(folder)
        for name in os.listdir(folder):
            if name.endswith(".new"):
                os.remove(self._path(name))

    def _path(self, name):
        return self._folder + "/" + name

    def _names(self, suffix):
        return sorted(name for name in os.listdir(self._folder) if name.endswith(suffix))

    def add(self, session, deadline, payload):
        """Keep an entry until `deadline`, in place of one with the same session."""
        new = self._path(session + ".new")
        record.write(new, deadline, payload)
        os.rename(new, self._path(session + _OPEN))

    def unpaid(self):
        """Return the session ids that still wait for their payment."""
        return [name[: -len(_OPEN)] for name in self._names(_OPEN)]

    def payload(self, session):
        """Return the entry of an unpaid session; raise JournalError where flash lost it."""
        found = record.read(self._path(session + _OPEN))
        if found is None:
            raise JournalError(f"outbox entry {session} is damaged")
        return found[1]

    def mark_paid(self, session):
        """Note that a session is paid, and tell whether it was waiting for that."""
        if session not in self.unpaid():
            return False
        os.rename(self._path(session + _OPEN), self._path(session + _PAID))
        return True

    def make_room(self, now):
        """Make room for one more entry; raise OutboxFull where every entry is unpaid and not past its deadline."""
        for suffix in (_OPEN, _PAID):
            for name in self._names(suffix):
                found = record.read(self._path(name))
                if found is not None and found[0] < now:
                    os.remove(self._path(name))
        paid = self._names(_PAID)
        excess = len(self._names(_OPEN)) + len(paid) + 1 - CAPACITY
        if excess > len(paid):
            raise OutboxFull(f"{CAPACITY} sessions wait for their settlement: settle some first")
        for name in paid[: max(excess, 0)]:
            os.remove(self._path(name))
