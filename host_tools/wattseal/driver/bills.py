"""Receipts as a person looks at them: checked, in a table, in full, as a QR code."""

import sys

import segno
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wattseal.driver.contents import Session
from wattseal.driver.folder import DriverFolder
from wattseal.errors import WalletError
from wattseal.protocol import amounts, typed_data
from wattseal.protocol.bill import Bill
from wattseal.protocol.messages import ReceiptMessage, due, to_hex
from wattseal.relay.verify import check_belongs, check_receipt, check_terms

_FLAGS = {getattr(typed_data, name): name.removeprefix("FLAG_").lower().replace("_", " ") for name in dir(typed_data) if name.startswith("FLAG_")}


def check(bill: Bill) -> None:
    """Raise ProtocolError, saying why, unless everything about a receipt is right that can be checked without the chain."""
    check_terms(bill.voucher)
    check_belongs(bill.domain, bill.receipt.session, bill.voucher)
    check_receipt(bill.domain, bill.voucher.plug, bill.voucher, bill.message)


def find(folder: DriverFolder, session: str | None, sequence: int | None) -> Bill:
    """Return a kept receipt: of a session (None: the newest), with a sequence (None: the newest). Raises WalletError."""
    chosen = folder.session(session)
    kept = folder.receipts(chosen)
    found = kept[-1:] if sequence is None else [one for one in kept if one.receipt.sequence == sequence]
    if not found:
        what = "no receipt" if sequence is None else f"no receipt number {sequence}"
        raise WalletError(
            f"{what} of session {to_hex(chosen.id)} is kept here; see `wattseal receipts show`, or fetch with `wattseal driver receipts`"
        )
    return chosen.bill(found[0])


def flags_in_words(flags: int) -> str:
    """Return a receipt's flags in words."""
    return ", ".join(name for flag, name in _FLAGS.items() if flags & flag) or "none"


def table(session: Session, kept: list[ReceiptMessage]) -> Table:
    """Return a session's receipts."""
    shown = Table(title=f"session {to_hex(session.id)}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("no.", "time", "Wh", "seconds", "due", "flags"):
        shown.add_column(column, justify="left" if column in ("time", "flags") else "right", no_wrap=column != "flags")
    for message in kept:
        receipt = message.receipt
        cells = (receipt.sequence, "\n".join(dict.fromkeys(amounts.short(receipt.asOf))), receipt.energyWh, receipt.activeSeconds)
        worth = due(session.voucher, receipt)
        shown.add_row(*map(str, cells), f"{amounts.about(worth)}\n{worth} wei", flags_in_words(receipt.flags))
    return shown


def details(bill: Bill) -> Table:
    """Return a checked receipt in full."""
    receipt, voucher = bill.receipt, bill.voucher
    shown = Table(title="everything about this receipt is right", title_justify="left", show_header=False, box=SIMPLE_HEAD, padding=(0, 1))
    shown.add_column(no_wrap=True, style="dim")
    shown.add_column(overflow="fold")
    shown.add_row("session", to_hex(receipt.session))
    shown.add_row("plug, which signed", to_hex(voucher.plug))
    shown.add_row("host, which is paid", to_hex(voucher.host))
    shown.add_row("driver, who pays", to_hex(voucher.driver))
    shown.add_row("contract", f"{to_hex(bill.contract)} on chain {bill.chain_id}")
    shown.add_row("receipt", f"number {receipt.sequence}, {flags_in_words(receipt.flags)}")
    shown.add_row("from, to", f"{amounts.local_and_utc(receipt.startedAt)}, {amounts.local_and_utc(receipt.asOf)}")
    shown.add_row("register", f"{receipt.registerWh} Wh to {receipt.registerWh + receipt.energyWh} Wh")
    shown.add_row("energy", f"{receipt.energyWh} Wh in {receipt.activeSeconds} s")
    shown.add_row("prices", f"{amounts.both(voucher.pricePerKwh)} a kWh, {amounts.both(voucher.pricePerHour)} an hour")
    shown.add_row("due, of at most", f"{amounts.both(bill.due)}, {amounts.both(voucher.cap)}")
    return shown


def draw(text: str) -> None:
    """Draw a text as a QR code on the terminal."""
    segno.make(text, error="l", micro=False).terminal(sys.stdout, compact=True)
