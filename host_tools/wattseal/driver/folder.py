"""What a driver keeps: the seed (encrypted), which keys are taken, the vouchers, and every receipt. One folder, for this user only.

seed.json            Web3 Secret Storage v3
sessions.jsonl       keys taken, vouchers signed, addresses paid to
receipts/<id>.jsonl  receipts of a session, verified before they are kept
"""

import fcntl
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from wattseal.driver.contents import Contents, Session
from wattseal.driver.journal import Journal, flush_folder
from wattseal.driver.seed import Seed, last_after_restoring, next_index
from wattseal.errors import ConfigError, Conflict, WalletError, WattsealError
from wattseal.keys import load_key, save_key
from wattseal.protocol.messages import ReceiptMessage, to_hex
from wattseal.relay.verify import check_belongs, check_neighbours, check_receipt, check_session

PATIENCE_S = 5  # for another command that has the folder
Clock = Callable[[], float]


class DriverFolder:
    """A driver's folder, held by one process at a time. Every change is on the disk when its method returns."""

    def __init__(self, path: Path, clock: Clock = time.time) -> None:
        """Open an existing folder. Raises WalletError where there is none or another process holds it."""
        self.path = path
        self._clock = clock
        self._seed: Seed | None = None
        if not (path / "seed.json").exists():
            raise WalletError(f"there is no wallet in {path}: make one with `wattseal driver create`, or name its folder with --wallet")
        self._lock = _locked(path)
        self._journal = Journal(path / "sessions.jsonl")
        self._contents = Contents(str(self._journal.path))
        for entry in self._journal.read():
            self._contents.apply(entry)

    @classmethod
    def create(cls, path: Path, seed: Seed, password: str, clock: Clock = time.time, *, restored: bool = False, found: int = -1) -> Self:
        """Make a folder around a seed. `found` is the highest index that the chain shows of a restored one. Raises WalletError, ConfigError."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WalletError(f"cannot make the folder {path}: {error.strerror}") from error
        if (path / "seed.json").exists() or (path / "sessions.jsonl").exists():
            raise ConfigError(f"{path} holds a wallet already, which is not overwritten; name another folder with --wallet")
        if restored:  # first: a seed without this line could take a key twice
            Journal(path / "sessions.jsonl").add({"type": "restored", "last_index": last_after_restoring(found, clock())})
        save_key(path / "seed.json", seed.entropy, password)
        folder = cls(path, clock)
        folder._seed = seed
        return folder

    def close(self) -> None:
        """Let other processes in."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- keys -------------------------------------------------------------------------------------------------------------------------

    def unlock(self, password: str) -> None:
        """Decrypt the seed. Raises ConfigError for a wrong password."""
        self._seed = Seed(load_key(self.path / "seed.json", password))

    def key(self, index: int) -> bytes:
        """Return the 32-byte secret of a session. Raises WalletError before `unlock`."""
        if self._seed is None:
            raise WalletError("the wallet is locked: its password is needed for this")
        return self._seed.key(index)

    def reserve(self) -> tuple[int, bytes]:
        """Take the next key for good; return its index and address. Raises WalletError where too many were taken in too short a time."""
        if self._seed is None:
            raise WalletError("the wallet is locked: its password is needed for this")
        index = next_index(self._contents.last_index, self._clock())
        address = self._seed.address(index)
        self._add({"type": "reserved", "index": index, "address": to_hex(address)})
        return index, address

    def add_reserved(self, index: int, address: bytes) -> None:
        """Keep a key that was handed out before the wallet was restored."""
        self._add({"type": "reserved", "index": index, "address": to_hex(address)})

    # -- sessions ---------------------------------------------------------------------------------------------------------------------

    def add_session(self, session: Session) -> None:
        """Keep a voucher, before anybody is shown it. Raises WalletError where a lock was sent for another one of its key."""
        check_session(session.domain, session.voucher.plug, session.message)
        if session.id in self._contents.sessions:
            return
        used = [to_hex(one.id) for one in self.sessions if one.voucher.driver == session.voucher.driver and self.is_locking(one)]
        if used:
            raise WalletError(f"the key {to_hex(session.voucher.driver)} belongs to session {used[0]} and signs no other")
        self._add(
            {
                "type": "session",
                "index": session.index,
                "chain_id": session.chain_id,
                "contract": to_hex(session.contract),
                "voucher": session.voucher.to_wire(),
                "signature": to_hex(session.signature),
                "api": session.api,
            }
        )

    def unlocked_keys(self, plug: bytes | None) -> dict[int, bytes]:
        """Return index and address of the keys that no lock was sent for: handed out, or shown to this plug alone (None: to any), oldest first."""
        shown: dict[int, bytes] = {}
        for one in self.sessions:
            others = [other for other in self.sessions if other.index == one.index]
            if not any(map(self.is_locking, others)) and (plug is None or {other.voucher.plug for other in others} == {plug}):
                shown[one.index] = one.voucher.driver
        return dict(sorted((shown | self._contents.reserved).items()))

    def mark_accepted(self, session: Session) -> None:
        """Keep that the plug has accepted a voucher."""
        if session.id not in self._contents.accepted:
            self._add({"type": "accepted", "session": to_hex(session.id)})

    def mark_locking(self, session: Session) -> None:
        """Keep, before it is done, that a lock is sent: the key then belongs to this session for good."""
        if session.id not in self._contents.locking:
            self._add({"type": "locking", "session": to_hex(session.id)})

    def is_accepted(self, session: Session) -> bool:
        """Return whether the plug has accepted the voucher."""
        return session.id in self._contents.accepted

    def is_locking(self, session: Session) -> bool:
        """Return whether a lock was sent for the session, or may have been."""
        return session.id in self._contents.locking

    @property
    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        return list(self._contents.sessions.values())

    def session(self, text: str | None) -> Session:
        """Return the session whose id starts with `text` (0x and hex digits), None for the newest. Raises WalletError where it is not one."""
        if text is None:
            if not self._contents.sessions:
                raise WalletError("there is no session yet: sign a voucher with `wattseal driver voucher PLUG`")
            return self.sessions[-1]
        found = [one for one in self.sessions if to_hex(one.id).startswith(text.lower())] if len(text) >= 6 else []
        if len(found) != 1:
            raise WalletError(f"{text!r:.80} is the start of {len(found)} sessions here; see `wattseal driver status` for their ids")
        return found[0]

    # -- receipts ---------------------------------------------------------------------------------------------------------------------

    def add_receipts(self, session: Session, messages: Iterable[ReceiptMessage]) -> int:
        """Keep receipts, each once everything about it was checked; return how many were not here yet.

        Those before one that is refused are kept. Raises ProtocolError, WalletError.
        """
        kept = self.receipts(session)
        new: list[ReceiptMessage] = []
        try:
            for message in messages:
                place = bisect_left(kept, message.receipt.sequence, key=_sequence)
                if kept[place : place + 1] == [message]:
                    continue
                check_belongs(session.domain, message.session, session.voucher)
                check_receipt(session.domain, session.voucher.plug, session.voucher, message)
                lower = kept[place - 1].receipt if place > 0 else None
                higher = kept[place].receipt if place < len(kept) else None
                if higher is not None and higher.sequence == message.receipt.sequence:
                    raise Conflict(f"the plug signed sequence {message.receipt.sequence} twice, differently: show both to the host")
                check_neighbours(session.voucher, message.receipt, lower, higher)
                kept.insert(place, message)
                new.append(message)
        finally:
            if new:
                self._keep(session, new)
        return len(new)

    def _keep(self, session: Session, messages: list[ReceiptMessage]) -> None:
        journal = self._receipts_of(session)
        if not journal.path.parent.exists():
            journal.path.parent.mkdir(mode=0o700)
            flush_folder(self.path)
        journal.add(*(message.to_wire() for message in messages))

    def receipts(self, session: Session) -> list[ReceiptMessage]:
        """Return the receipts of a session that are here, by their sequence. Raises WalletError."""
        try:
            kept = [ReceiptMessage.from_wire(entry) for entry in self._receipts_of(session).read()]
        except WattsealError as error:
            raise WalletError(f"{self._receipts_of(session).path}: {error}") from error
        return sorted(kept, key=_sequence)

    def _receipts_of(self, session: Session) -> Journal:
        return Journal(self.path / "receipts" / f"{session.id.hex()}.jsonl")

    # -- addresses that money went to -------------------------------------------------------------------------------------------------

    def check_receiver(self, owner: bytes, receiver: bytes) -> None:
        """Raise WalletError where paying out a session, by its address, to another would show that it and a further one have the same driver."""
        other = self._contents.receivers.get(receiver, owner)
        if other != owner:
            raise WalletError(f"the session of {to_hex(other)} was paid out to {to_hex(receiver)}: once more would show that both are yours")
        mine = {one.voucher.driver for one in self.sessions} | set(self._contents.reserved.values())
        if receiver in mine - {owner}:
            raise WalletError(f"{to_hex(receiver)} is the address of another session: money that goes there links the two")

    def add_receiver(self, owner: bytes, receiver: bytes) -> None:
        """Keep where the money of a session, by its address, is about to go."""
        if self._contents.receivers.get(receiver) != owner:
            self._add({"type": "receiver", "owner": to_hex(owner), "receiver": to_hex(receiver)})

    def mark_paid_out(self, session: Session) -> None:
        """Keep that all of a session's money was sent to a receiver."""
        if session.id not in self._contents.paid_out:
            self._add({"type": "paid_out", "session": to_hex(session.id)})

    def is_paid_out(self, session: Session) -> bool:
        """Return whether all of a session's money was sent to a receiver once."""
        return session.id in self._contents.paid_out

    def waiting_key(self, address: bytes) -> tuple[int, bytes]:
        """Return index and address of a key that no lock was sent for. Raises WalletError where it is none."""
        for index, candidate in self.unlocked_keys(None).items():
            if candidate == address:
                return index, candidate
        raise WalletError(f"{to_hex(address)} waits for no session here; see `wattseal driver status`")

    # -- the lines --------------------------------------------------------------------------------------------------------------------

    def _add(self, entry: dict[str, Any]) -> None:
        self._journal.add(entry)
        self._contents.apply(entry)


def _sequence(message: ReceiptMessage) -> int:
    return message.receipt.sequence


def _locked(path: Path) -> int:
    """Return a descriptor that holds the folder until it is closed."""
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise WalletError(f"cannot open {path}: {error.strerror}") from error
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise WalletError(f"another command is using {path}; wait for it to end") from None
            time.sleep(0.05)
        else:
            return descriptor
