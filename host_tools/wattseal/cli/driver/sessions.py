"""A session with its plug: voucher, lock, receipts, stop, and what is known of it."""

import json
import time
from typing import Annotated

import typer

from wattseal.cli.driver.chain import ChainId, ChainOptions, Contract, address, with_chain
from wattseal.cli.driver.common import (
    HOME,
    Api,
    AsJson,
    PasswordFile,
    Payer,
    PayerPasswordFile,
    SessionId,
    Wallet,
    console,
    opened,
    paying_key,
    relay_of,
    session_of,
    unlock,
)

app = typer.Typer()


@app.command()
def voucher(
    plug: Annotated[str, typer.Argument(help="The plug's address, 0x and 40 hex digits: it stands on the plug.")],
    api: Annotated[str, typer.Option(help="The relay's API, http://...")],
    cap: Annotated[str, typer.Option(help="Most that the session may cost, in coins: 1, 2 or 5 times a power of ten.")],
    chain_id: ChainId,
    contract: Contract,
    hours: Annotated[int, typer.Option(help="How long the session may take: 1, 2, 4, 8, 12, 24, 48, 96 or 192.")] = 24,
    host: Annotated[str | None, typer.Option(help="Whom to pay; unless given, the one that the plug has signed for.")] = None,
    most_per_kwh: Annotated[str | None, typer.Option(help="Sign nothing if a kWh costs more coins than this.")] = None,
    most_per_hour: Annotated[str | None, typer.Option(help="Sign nothing if an hour costs more coins than this.")] = None,
    use: Annotated[str | None, typer.Option("--from", help="Which of the addresses that were paid to; the oldest if left out.")] = None,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign a voucher and hand it to the plug.

    It is kept here before anybody sees it. Costs nothing yet: the plug then waits an hour for the lock. The prices are those of the offer.
    With --json voucher and signature are printed: with them anybody can open the lock, and pay for it.
    """
    from wattseal.driver import visits
    from wattseal.driver.contents import Session
    from wattseal.driver.relay_client import RelayClient
    from wattseal.protocol import amounts
    from wattseal.protocol.messages import to_hex

    plug_id, contract_address = address(plug, "PLUG"), address(contract, "--contract")
    wanted = visits.Wanted(
        cap=amounts.wei(cap),
        hours=hours,
        most_per_kwh=None if most_per_kwh is None else amounts.wei(most_per_kwh),
        most_per_hour=None if most_per_hour is None else amounts.wei(most_per_hour),
        host=None if host is None else address(host, "--host"),
    )
    with opened(wallet) as folder:
        unlock(folder, password_file)
        chosen = None if use is None else address(use, "--from")
        with console().status("asking the plug"):
            session: Session = visits.arrive(folder, RelayClient(api), plug_id, wanted, chain_id, contract_address, chosen)
    if as_json:
        typer.echo(
            json.dumps({"session": to_hex(session.id), "chain_id": chain_id, "contract": to_hex(contract_address), **session.message.to_wire()})
        )
        return
    signed = session.voucher
    typer.echo(f"session  {to_hex(session.id)}")
    typer.echo(f"paid by  {to_hex(signed.driver)}\npays     {to_hex(signed.host)}")
    typer.echo(f"prices   {amounts.both(signed.pricePerKwh)} a kWh, {amounts.both(signed.pricePerHour)} an hour\ncap      {amounts.both(signed.cap)}")
    typer.echo(f"until    {amounts.local_and_utc(signed.validUntil)}")
    typer.echo("The plug has accepted. Next, within an hour: `wattseal driver open`", err=True)


@app.command("open")
@with_chain
def open_lock(
    chain: ChainOptions,
    session: SessionId = None,
    payer: Payer = None,
    payer_password_file: PayerPasswordFile = None,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
) -> None:
    """Lock a session's cap on chain: the plug then starts.

    Paid from the session's own address, or with --payer from another. Safe to repeat.
    """
    from wattseal.driver import money
    from wattseal.protocol.amounts import both
    from wattseal.protocol.messages import to_hex

    with opened(wallet) as folder:
        chosen = session_of(folder, session, chain)
        key = paying_key(folder, chosen, password_file, payer, payer_password_file)
        with console().status("locking the cap on chain"):
            money.lock(folder, chain.connect(), chosen, key)
    typer.echo(f"{both(chosen.voucher.cap)} are locked for session {to_hex(chosen.id)}: proven. Next: `wattseal driver receipts --follow`")


@app.command()
def receipts(
    session: SessionId = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the final receipt is here.")] = False,
    api: Api = None,
    wallet: Wallet = HOME,
) -> None:
    """Fetch a session's receipts, verify and keep them.

    They come from the relay; `wattseal receipts` shows what is kept.
    """
    from wattseal.driver import visits
    from wattseal.protocol import amounts
    from wattseal.protocol.messages import due, to_hex

    with opened(wallet) as folder:
        chosen = folder.session(session)
    shown = -1
    while True:
        with opened(wallet) as folder:
            kept = visits.fetch(folder, chosen, relay_of(chosen, api))
        for message in [one for one in kept if one.receipt.sequence > shown][-1 if shown < 0 else 0 :]:
            receipt = message.receipt
            last = "  final" if receipt.final else ""
            typer.echo(f"{amounts.local_and_utc(receipt.asOf)}  {receipt.energyWh} Wh  {amounts.both(due(chosen.voucher, receipt))}{last}")
            shown = receipt.sequence
        if not follow or (kept and kept[-1].receipt.final):
            break
        time.sleep(visits.FOLLOW_S)
    if not kept:
        typer.echo(f"no receipt of session {to_hex(chosen.id)} yet: the first comes when charging starts")
    else:
        typer.echo(f"{len(kept)} receipts of session {to_hex(chosen.id)} are kept and verified. See `wattseal receipts show`", err=True)


@app.command()
def stop(session: SessionId = None, api: Api = None, wallet: Wallet = HOME, password_file: PasswordFile = None) -> None:
    """Have the plug end a session.

    Safe to repeat. It goes through the relay; without one, pull the plug out, which ends the session too.
    """
    from wattseal.driver import visits
    from wattseal.protocol.messages import to_hex

    with opened(wallet) as folder:
        chosen = folder.session(session)
        unlock(folder, password_file)
        with console().status("asking the plug"):
            visits.stop(folder, chosen, relay_of(chosen, api))
    typer.echo(f"session {to_hex(chosen.id)} is ending. Next: `wattseal driver receipts`")


@app.command()
def status(wallet: Wallet = HOME, as_json: AsJson = False) -> None:
    """Show what is known here of every session.

    Nobody is asked: to ask for all at once would show that they belong together. `wattseal driver show SESSION` asks the chain for one.
    """
    from wattseal.driver import table

    with opened(wallet) as folder:
        rows = table.rows(folder)
        waiting = folder.unlocked_keys(None)
    if as_json:
        typer.echo(json.dumps([row.to_json() for row in rows]))
        return
    console(stderr=False).print(table.table(rows, waiting))


@app.command()
@with_chain
def show(chain: ChainOptions, session: SessionId = None, wallet: Wallet = HOME, as_json: AsJson = False) -> None:
    """Show one session, and what the chain proves of it.

    Its terms, its newest receipt, its money on chain, and what to do next.
    """
    from wattseal.driver import money, table

    with opened(wallet) as folder:
        chosen = session_of(folder, session, chain)
        row = table.row(folder, chosen)
    with console().status("asking the chain"):
        connected = chain.connect()
        found = money.standing(connected, chosen)
    if as_json:
        typer.echo(json.dumps(table.details_json(row, found)))
        return
    console(stderr=False).print(table.details(row, found, connected.basis))
