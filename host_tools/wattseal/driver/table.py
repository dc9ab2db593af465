"""What a driver sees of sessions: a table of all from what is kept here, and one in full with what the chain proves."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wattseal.driver.contents import Session
from wattseal.driver.folder import DriverFolder
from wattseal.driver.money import Standing
from wattseal.driver.seed import path
from wattseal.gateway.contract import STATUS_CLOSED, STATUS_NONE, STATUS_OPEN
from wattseal.protocol import amounts
from wattseal.protocol.messages import Receipt, due, to_hex
from wattseal.protocol.typed_data import GRACE_S, START_WINDOW_S


@dataclass(frozen=True)
class Row:
    """A session and its newest receipt that is kept here, if any."""

    session: Session
    receipt: Receipt | None
    receipts: int
    is_locking: bool
    is_paid_out: bool

    @property
    def due(self) -> int:
        """What the newest receipt is worth, in wei."""
        return 0 if self.receipt is None else due(self.session.voucher, self.receipt)

    @property
    def next(self) -> str:
        """The command that is likely to come next, by what is kept here and this machine's clock."""
        voucher, now = self.session.voucher, time.time()
        if self.is_paid_out:
            return "nothing: paid out"
        if self.receipt is not None and self.receipt.final:
            return "withdraw, once settled"
        if now > voucher.validUntil + GRACE_S:
            return "refund"
        if not self.is_locking:
            return "open" if now < voucher.issuedAt + START_WINDOW_S else "nothing: not opened"
        return "receipts"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        session = self.session
        return {
            "session": to_hex(session.id),
            "address": to_hex(session.voucher.driver),
            "path": path(session.index),
            "chain_id": session.chain_id,
            "contract": to_hex(session.contract),
            "voucher": session.voucher.to_wire(),
            "newest": self.receipt and self.receipt.to_wire(),
            "receipts": self.receipts,
            "due_wei": self.due,
            "refund_from": session.voucher.validUntil + GRACE_S + 1,
        }


def row(folder: DriverFolder, session: Session) -> Row:
    """Return what is kept of a session. Raises WalletError."""
    kept = folder.receipts(session)
    return Row(session, kept[-1].receipt if kept else None, len(kept), folder.is_locking(session), folder.is_paid_out(session))


def rows(folder: DriverFolder) -> list[Row]:
    """Return what is kept of every session, oldest first. Raises WalletError."""
    return [row(folder, session) for session in folder.sessions]


def table(rows: list[Row], waiting: dict[int, bytes]) -> Table:
    """Return all sessions, and the addresses that wait for one."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("session", "signed", "cap", "receipt", "due", "next"):  # all of it in 80 columns
        shown.add_column(
            column, justify="right" if column in ("cap", "due") else "left", no_wrap=column != "next", min_width=14 if column == "next" else None
        )
    for one in rows:
        voucher = one.session.voucher
        shown.add_row(
            to_hex(one.session.id)[:10],
            "\n".join(dict.fromkeys(amounts.short(voucher.issuedAt))),
            amounts.coins(voucher.cap),
            "none yet" if one.receipt is None else f"{one.receipt.energyWh} Wh\n{'final' if one.receipt.final else f'of {one.receipts}'}",
            amounts.about(one.due),
            one.next,
        )
    shown.caption = "\n".join([f"{to_hex(address)} waits for its session" for address in waiting.values()]) or None
    shown.caption_justify = "left"
    return shown


def details(one: Row, found: Standing, basis: str) -> Table:
    """Return one session in full."""
    session, receipt, voucher = one.session, one.receipt, one.session.voucher
    shown = Table(show_header=False, box=SIMPLE_HEAD, padding=(0, 1))
    shown.add_column(no_wrap=True, style="dim")
    shown.add_column(overflow="fold")
    shown.add_row("session", to_hex(session.id))
    shown.add_row("paid by", f"{to_hex(voucher.driver)} ({path(session.index)})")
    shown.add_row("host, plug", f"{to_hex(voucher.host)}, {to_hex(voucher.plug)}")
    shown.add_row("prices", f"{amounts.both(voucher.pricePerKwh)} a kWh, {amounts.both(voucher.pricePerHour)} an hour")
    shown.add_row("cap", amounts.both(voucher.cap))
    shown.add_row("signed, ends", f"{amounts.local_and_utc(voucher.issuedAt)}, {amounts.local_and_utc(voucher.validUntil)}")
    shown.add_row("refund from", amounts.local_and_utc(voucher.validUntil + GRACE_S + 1))
    if receipt is None:
        shown.add_row("newest receipt", "none is kept here")
    else:
        final = ", final" if receipt.final else ""
        shown.add_row("newest receipt", f"number {receipt.sequence} of {amounts.local_and_utc(receipt.asOf)}{final} ({one.receipts} are kept)")
        shown.add_row("energy, due", f"{receipt.energyWh} Wh in {receipt.activeSeconds} s, {amounts.both(one.due)}")
    shown.add_section()
    shown.add_row("on chain", f"{_state(one, found)}, {amounts.both(found.paid)} paid to the host")
    shown.add_row("yours there", amounts.both(found.refundable))
    shown.add_row("at its address", amounts.both(found.coins))
    shown.add_row("proven at", f"{amounts.local_and_utc(found.head_timestamp)}; rests on: {basis}")
    shown.add_row("next", next_step(one, found))
    return shown


def details_json(one: Row, found: Standing) -> dict[str, Any]:
    """Return one session in full as a JSON object."""
    return one.to_json() | {"on_chain": asdict(found) | {"status": _state(one, found)}, "next": next_step(one, found)}


def next_step(one: Row, found: Standing) -> str:
    """Return what to do, by what is proven."""
    voucher = one.session.voucher
    if found.status == STATUS_OPEN:
        if found.head_timestamp > voucher.validUntil + GRACE_S:
            return "wattseal driver refund"
        if one.receipt is not None and one.receipt.final:
            return "wattseal driver settle, if the host does not"
        return "wattseal driver receipts"
    if found.refundable:
        return "wattseal driver withdraw --to ADDRESS"
    if found.status == STATUS_CLOSED or found.head_timestamp > voucher.issuedAt + START_WINDOW_S:
        return "wattseal driver withdraw --to ADDRESS, for the coins at its address" if found.coins and not one.is_paid_out else "nothing"
    return "wattseal driver open"


def _state(one: Row, found: Standing) -> str:
    if found.status == STATUS_NONE:  # the contract forgets a closed lock once its voucher is too old to open
        return "not open yet" if found.head_timestamp <= one.session.voucher.issuedAt + START_WINDOW_S else "closed, or never opened"
    return "open" if found.status == STATUS_OPEN else "closed"
