"""Getting a session paid and its rest back, with an RPC and what is kept here alone."""

from pathlib import Path
from typing import Annotated

import typer

from wattseal.cli.driver.chain import ChainOptions, address, with_chain
from wattseal.cli.driver.common import (
    HOME,
    PasswordFile,
    Payer,
    PayerPasswordFile,
    SessionId,
    Wallet,
    console,
    opened,
    payer_key,
    paying_key,
    session_of,
    text_of,
    unlock,
)
from wattseal.errors import WalletError

app = typer.Typer()

ADDRESS_CHARACTERS = 42


@app.command()
@with_chain
def settle(
    chain: ChainOptions,
    session: SessionId = None,
    receipt: Annotated[
        Path | None, typer.Option(help="File with a receipt (JSON or a QR code's text) to settle in place of the newest kept one.")
    ] = None,
    payer: Payer = None,
    payer_password_file: PayerPasswordFile = None,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
) -> None:
    """Have the contract pay the newest receipt.

    After the final one the rest of the cap is the driver's. Needs no relay and no host, only an RPC and the receipt that is kept here. With
    --receipt and --payer anybody can settle, without a wallet.
    """
    from wattseal.driver import bills, visits
    from wattseal.gateway.client import Gateway
    from wattseal.protocol.amounts import both
    from wattseal.protocol.bill import Bill
    from wattseal.protocol.messages import to_hex

    shown = None if receipt is None else Bill.read(text_of(receipt))
    if shown is not None and (shown.chain_id, shown.contract) != (chain.chain_id, chain.contract):
        raise WalletError(f"the receipt is of {to_hex(shown.contract)} on chain {shown.chain_id}: name these with --contract, --chain-id")
    if shown is not None and payer is not None:
        bills.check(shown)
        bill, key = shown, payer_key(payer, payer_password_file)
    else:
        with opened(wallet) as folder:
            chosen = session_of(folder, session if shown is None else to_hex(shown.receipt.session), chain)
            if shown is not None:
                folder.add_receipts(chosen, [shown.message])
            bill = visits.newest(folder, chosen)
            key = paying_key(folder, chosen, password_file, payer, payer_password_file)
    with console().status("settling on chain"):
        done = Gateway(chain.connect(), chain.contract, key).settle(bill.voucher, bill.receipt, bill.signature)
    final = "" if done.final else ", which is not final yet"
    typer.echo(
        f"session {to_hex(bill.receipt.session)}: the host was paid {both(done.total_paid)} in total, proven in block {done.block_number}{final}."
    )
    if bill.receipt.final:
        typer.echo(f"{both(bill.voucher.cap - done.total_paid)} are the driver's again. Next: `wattseal driver withdraw --to ADDRESS`")
    else:
        typer.echo(
            "The receipt is not final, so the lock stays open. Next: `wattseal driver receipts`, or `wattseal driver refund` after the deadline"
        )


@app.command()
@with_chain
def refund(
    chain: ChainOptions,
    session: SessionId = None,
    payer: Payer = None,
    payer_password_file: PayerPasswordFile = None,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
) -> None:
    """Get back what the host has not claimed.

    Possible from 14 days after the voucher's end on. Needs no relay and no host.
    """
    from wattseal.driver import money
    from wattseal.protocol.messages import to_hex

    with opened(wallet) as folder:
        chosen = session_of(folder, session, chain)
        key = paying_key(folder, chosen, password_file, payer, payer_password_file)
        with console().status("asking the contract for the rest"):
            money.refund(chain.connect(), chosen, key)
    typer.echo(f"session {to_hex(chosen.id)} is closed and its rest is yours. Next: `wattseal driver withdraw --to ADDRESS`")


@app.command()
@with_chain
def withdraw(
    chain: ChainOptions,
    to: Annotated[str, typer.Option(help="Address that gets the money, a fresh one for every session.")],
    session: Annotated[
        str | None,
        typer.Argument(metavar="SESSION", help="Start of the session's id, or an address that waits for one; the newest session if left out."),
    ] = None,
    payer: Payer = None,
    payer_password_file: PayerPasswordFile = None,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
    link: Annotated[
        bool, typer.Option("--link", help="Pay to an address of another session all the same: everybody sees that both are yours.")
    ] = False,
) -> None:
    """Pay out all of a session's money.

    That is its balance in the contract and the coins at its address.
    """
    from wattseal.driver import money

    receiver = address(to, "--to")
    if receiver in (bytes(20), chain.contract):
        raise typer.BadParameter("nobody can take money out of that address again", param_hint="--to")
    with opened(wallet) as folder:
        chosen = None if session is not None and len(session) == ADDRESS_CHARACTERS else session_of(folder, session, chain)
        index, owner = folder.waiting_key(address(str(session), "SESSION")) if chosen is None else (chosen.index, chosen.voucher.driver)
        if not link:
            folder.check_receiver(owner, receiver)
        unlock(folder, password_file)
        folder.add_receiver(owner, receiver)
        paid_by = None if payer is None else payer_key(payer, payer_password_file)
        with console().status("paying out") as status:
            connected = chain.connect()
            is_over = chosen is None or money.is_over(connected, chosen)  # looked up first: what is credited later is not paid out now
            money.withdraw(connected, chain.contract, folder.key(index), receiver, paid_by, lambda step: status.update(f"paying out: {step}"))
        if chosen is not None and is_over:
            folder.mark_paid_out(chosen)
    typer.echo(f"paid out to {to}")
    if not is_over:
        typer.echo("The session's lock is open, or can be opened still: withdraw again once it is closed. See `wattseal driver show`", err=True)
