"""What the commands of `wattseal driver` have in common: options, the wallet's folder, keys, and what a terminal shows while one waits."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.errors import LinkError, WalletError

if TYPE_CHECKING:
    from rich.console import Console

    from wattseal.cli.driver.chain import ChainOptions
    from wattseal.driver.contents import Session
    from wattseal.driver.folder import DriverFolder
    from wattseal.driver.relay_client import RelayClient

PASSWORD_VARIABLE = "WATTSEAL_DRIVER_PASSWORD"  # noqa: S105 - a name
PAYER_VARIABLE = "WATTSEAL_DRIVER_PAYER_PASSWORD"
HOME = Path("~/.local/share/wattseal/driver")
MAX_INPUT_CHARACTERS = 16 << 10

Wallet = Annotated[Path, typer.Option(envvar="WATTSEAL_DRIVER_WALLET", help="The wallet's folder.")]
PasswordFile = Annotated[Path | None, typer.Option(help=f"File with the wallet's password; else {PASSWORD_VARIABLE}, else it is asked for.")]
SessionId = Annotated[str | None, typer.Argument(metavar="SESSION", help="Start of the session's id; the newest if left out.")]
Payer = Annotated[Path | None, typer.Option(help="Keystore file of another key that pays for this; who pays for two sessions links them.")]
PayerPasswordFile = Annotated[Path | None, typer.Option(help=f"File with its password; else {PAYER_VARIABLE}, else it is asked for.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Api = Annotated[str | None, typer.Option(help="The relay's API, if it has moved.")]


def opened(wallet: Path) -> "DriverFolder":
    """Open the wallet's folder, locked. Raises WalletError."""
    from wattseal.driver.folder import DriverFolder

    return DriverFolder(wallet.expanduser())


def unlock(folder: "DriverFolder", password_file: Path | None) -> None:
    """Decrypt the seed with the password. Raises ConfigError."""
    from wattseal import keys

    folder.unlock(keys.password_of(password_file, PASSWORD_VARIABLE, "password of the wallet"))


def session_of(folder: "DriverFolder", text: str | None, chain: "ChainOptions") -> "Session":
    """Return the session that is meant, which must be of the chain and contract that the options name. Raises WalletError."""
    chosen = folder.session(text)
    if (chosen.chain_id, chosen.contract) != (chain.chain_id, chain.contract):
        raise WalletError(
            f"session 0x{chosen.id.hex()} is on chain {chosen.chain_id} at 0x{chosen.contract.hex()}: name these with --chain-id, --contract"
        )
    return chosen


def payer_key(payer: Path, password_file: Path | None) -> bytes:
    """Return the key of another keystore file. Raises ConfigError."""
    from wattseal import keys

    return keys.load_key(payer, keys.password_of(password_file, PAYER_VARIABLE, f"password of {payer}"))


def paying_key(folder: "DriverFolder", session: "Session", password_file: Path | None, payer: Path | None, payer_password_file: Path | None) -> bytes:
    """Return the key that pays: the payer's where there is one, else the session's own. Raises ConfigError."""
    if payer is not None:
        return payer_key(payer, payer_password_file)
    unlock(folder, password_file)
    return folder.key(session.index)


def relay_of(session: "Session", api: str | None) -> "RelayClient":
    """Return the session's relay. Raises LinkError where none is known."""
    from wattseal.driver.relay_client import RelayClient

    address = api or session.api
    if address is None:
        raise LinkError("it is not known which relay serves this session: give its address with --api")
    return RelayClient(address)


def new_password(password_file: Path | None) -> str:
    """Return the password for a new wallet, asked for twice on a terminal. Raises ConfigError, WalletError."""
    from wattseal import keys

    password = keys.password_of(password_file, PASSWORD_VARIABLE, "new password for the wallet")
    asked = password_file is None and sys.stdin.isatty() and not os.environ.get(PASSWORD_VARIABLE)
    if asked and password != getpass.getpass("the same again: "):
        raise WalletError("the two passwords differ: nothing was made")
    return password


def ask_secret(what: str) -> str:
    """Return a line that is typed unseen, or the first of stdin where that is no terminal."""
    return getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline(MAX_INPUT_CHARACTERS)


def text_of(path: Path) -> str:
    """Return a small file's text, `-` being stdin. Raises WalletError."""
    if str(path) == "-":
        return sys.stdin.read(MAX_INPUT_CHARACTERS)
    try:
        with path.open("rb") as file:
            return file.read(MAX_INPUT_CHARACTERS).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise WalletError(f"cannot read {path}: {why}") from error


def console(stderr: bool = True) -> "Console":
    """Return where tables (stdout) and progress (stderr) go; wide enough for a table where it is no terminal."""
    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if is_terminal else 160, highlight=False)


@contextmanager
def progress(what: str) -> "Iterator[Callable[[int, int], None]]":
    """Show a bar on stderr while something is counted; yields what to call with (done, total)."""
    from rich.progress import Progress

    with Progress(console=console(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
