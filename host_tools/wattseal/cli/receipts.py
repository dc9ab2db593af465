"""`wattseal receipts`: the receipts that a driver keeps, and any receipt that somebody shows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from wattseal.cli.driver.common import HOME, AsJson, SessionId, Wallet, console, opened, text_of
from wattseal.errors import WattsealError

EXAMPLES = """
Examples:

  wattseal receipts list

  wattseal receipts show 0x12ab --qr

  wattseal receipts export 0x12ab > receipt.json

  wattseal receipts verify receipt.json

  zbarimg -q --raw photo.png | wattseal receipts verify -

Exit codes: 0 done (of verify: everything about the receipt is right), 1 refused or wrong (one line on stderr says why), 2 wrong usage.
"""

app = typer.Typer(help="Look at receipts, check them, pass them on.", epilog=EXAMPLES, no_args_is_help=True, rich_markup_mode=None)

Sequence = Annotated[int | None, typer.Option(min=0, help="Which receipt; the newest if left out.")]


@app.command("list")
def list_(wallet: Wallet = HOME, as_json: AsJson = False) -> None:
    """Show of which sessions receipts are kept."""
    from wattseal.driver import table

    with opened(wallet) as folder:
        rows = [row for row in table.rows(folder) if row.receipts]
    if as_json:
        typer.echo(json.dumps([row.to_json() for row in rows]))
    elif not rows:
        typer.echo("no receipt is kept here. Next: `wattseal driver receipts`", err=True)
    else:
        console(stderr=False).print(table.table(rows, {}))


@app.command()
def show(
    session: SessionId = None,
    qr: Annotated[bool, typer.Option("--qr", help="Draw the newest receipt as a QR code too.")] = False,
    wallet: Wallet = HOME,
) -> None:
    """Show a session's receipts in order."""
    from wattseal.driver import bills

    with opened(wallet) as folder:
        chosen = folder.session(session)
        kept = folder.receipts(chosen)
    console(stderr=False).print(bills.table(chosen, kept))
    if qr and kept:
        bills.draw(chosen.bill(kept[-1]).to_text())


@app.command()
def export(
    session: SessionId = None,
    sequence: Sequence = None,
    as_text: Annotated[bool, typer.Option("--text", help="Print a QR code's text in place of JSON.")] = False,
    wallet: Wallet = HOME,
) -> None:
    """Print one receipt with all that is needed to verify and settle it, as JSON: chain, contract, voucher, receipt, signature, payload."""
    from wattseal.driver import bills

    with opened(wallet) as folder:
        bill = bills.find(folder, session, sequence)
    typer.echo(bill.to_text() if as_text else bill.to_json(), nl=as_text)


@app.command()
def verify(
    receipt: Annotated[str, typer.Argument(help="File with a receipt (JSON or a QR code's text), - for stdin, or the text itself.")],
    as_json: AsJson = False,
) -> None:
    """Check a receipt: form, voucher, the plug's signature, times, and the meter's payload. Says what is wrong, if anything is.

    What it cannot know: whether the lock is open, and whether the plug is whose you think it is. Compare its address with the plug's label.
    """
    from wattseal.driver import bills
    from wattseal.protocol.bill import PREFIX, Bill

    bill = Bill.read(receipt if receipt.upper().startswith(PREFIX) else text_of(Path(receipt)))
    try:
        bills.check(bill)
    except WattsealError as error:
        raise type(error)(f"this receipt is NOT right: {error}") from error
    if as_json:
        typer.echo(json.dumps(bill.to_wire() | {"due_wei": bill.due}))
        return
    console(stderr=False).print(bills.details(bill))
