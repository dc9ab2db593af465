"""Making a wallet, restoring it from paper, and addresses for its sessions."""

import json
import time
from typing import Annotated

import typer

from wattseal.cli.driver.chain import ChainOptions, address, with_chain
from wattseal.cli.driver.common import HOME, AsJson, PasswordFile, Wallet, ask_secret, console, new_password, opened, progress, unlock
from wattseal.errors import WalletError

app = typer.Typer()


@app.command()
def create(wallet: Wallet = HOME, password_file: PasswordFile = None) -> None:
    """Make a wallet and show its 24 words, once.

    The words are the only backup: write them on paper.
    """
    from wattseal.driver.folder import DriverFolder
    from wattseal.driver.seed import Seed

    folder, seed = wallet.expanduser(), Seed.new()
    if (folder / "seed.json").exists():
        raise WalletError(f"{folder} holds a wallet already, which is not overwritten; name another folder with --wallet")
    DriverFolder.create(folder, seed, new_password(password_file)).close()
    typer.echo(f"The wallet is in {folder}. Write these words down, in this order; whoever has them has the money:\n")
    words = seed.words.split()
    for row in range(6):
        typer.echo("   ".join(f"{number + 1:2} {words[number]:9}" for number in range(row, 24, 6)).rstrip())
    typer.echo("\nThey are not shown again. Next: `wattseal driver address --cap 0.02`", err=True)


@app.command()
@with_chain
def restore(
    chain: ChainOptions,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
    since: Annotated[str, typer.Option(help="UTC date since which the wallet was in use, as in 2026-03-01.")] = "2026-01-01",
    unused: Annotated[list[str] | None, typer.Option("--unused", help="Address that was paid to and has no session yet; may be repeated.")] = None,
) -> None:
    """Make a wallet again from its 24 words.

    They are asked for, or read from stdin in one line. Looks through all sessions that were opened on the contract for those of the wallet.
    Receipts are not on the chain: ask the relay again with `wattseal driver receipts --api URL`. The next key can be used within ten
    minutes, so that none is used twice.
    """
    from datetime import UTC, datetime

    from wattseal.driver import restoring
    from wattseal.driver.folder import DriverFolder
    from wattseal.driver.seed import Seed
    from wattseal.protocol.messages import to_hex

    try:
        first = int(datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise typer.BadParameter("is no date, as in 2026-03-01", param_hint="--since") from None
    funded = [address(text, "--unused") for text in unused or []]
    seed = Seed.from_words(ask_secret("the 24 words"))
    password = new_password(password_file)
    now = time.time()
    with progress("deriving the wallet's addresses") as advance:
        own = restoring.own_addresses(seed, first, now, advance)
    missing = [one for one in funded if one not in own]
    if missing:
        raise WalletError(f"{to_hex(missing[0])} is no address of these words since {since}")
    with console().status("looking through the contract's sessions"):
        found = list(restoring.sessions(chain.connect(), chain.contract, seed, own, first))
    last = max([index for index, _ in found], default=-1)
    with DriverFolder.create(wallet.expanduser(), seed, password, restored=True, found=last) as folder:
        for index, session in sorted(found, key=lambda one: one[0]):
            if session is not None:
                folder.add_session(session)
                folder.mark_locking(session)
            else:
                console().print(f"index {index} has a session whose voucher is not in the transaction that opened it")
        for one in funded:
            folder.add_reserved(own[one], one)
    typer.echo(f"{len(found)} sessions found; the wallet is in {wallet.expanduser()}. Next: `wattseal driver status`")


@app.command("address")
@with_chain
def show_address(
    chain: ChainOptions,
    cap: Annotated[str | None, typer.Option(help="Most that the session may cost, in coins: 1, 2 or 5 times a power of ten.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Take a further address, though one waits for its session.")] = False,
    wallet: Wallet = HOME,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the next session's address, and what to send.

    Each session has an address of its own. Pay it from where many others are paid from, well before the session, and never from an address
    of an earlier session: the payment is what an observer of the chain can tie to you.
    """
    from wattseal.driver import money
    from wattseal.driver.terms import check_cap
    from wattseal.protocol import amounts
    from wattseal.protocol.messages import to_hex

    wei = None if cap is None else amounts.wei(cap)
    if wei is not None:
        check_cap(wei)
    with opened(wallet) as folder:
        waiting = folder.unlocked_keys(None)
        if new or not waiting:
            unlock(folder, password_file)
            _, shown = folder.reserve()
        else:
            shown = next(iter(waiting.values()))
    connected = chain.connect()
    have = money.coins_at(connected, shown)
    need = None if wei is None else money.to_send(connected, wei)
    if as_json:
        typer.echo(json.dumps({"address": to_hex(shown), "coins_wei": have, "needed_wei": need}))
        return
    typer.echo(f"address  {to_hex(shown)}\nholds    {amounts.both(have)}")
    if need is not None and need > have:
        typer.echo(f"send     {amounts.both(need - have)}: the cap, and gas that is paid out again if it is not used")
    elif need is not None:
        typer.echo("enough for this cap. Next: `wattseal driver voucher PLUG --api URL --cap " + str(cap) + "`")
