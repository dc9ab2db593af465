"""`wattseal new-key`: a key that pays for gas, in an encrypted file."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from wattseal import keys
from wattseal.protocol import signatures
from wattseal.protocol.messages import to_hex
from wattseal.relay.settings import PASSWORD_VARIABLE

EXAMPLES = """
Examples:

  wattseal new-key relay.key

  wattseal new-key relay.key --password-file password

Exit codes: 0 the file is written, 1 it is not (one line on stderr says why), 2 wrong usage.
"""


def new_key(
    file: Annotated[Path, typer.Argument(help="File to write; one that exists is never overwritten.")],
    password_file: Annotated[
        Path | None, typer.Option(help=f"File whose first line is the password; else {PASSWORD_VARIABLE}, else it is asked for.")
    ] = None,
) -> None:
    """Make a key for `wattseal relay --key-file` and print its address, which needs some coins for gas.

    The file is of Web3 Secret Storage, version 3: wallets and geth read it, too.
    """
    password = keys.password_of(password_file, PASSWORD_VARIABLE, f"New password of {file}", again=True)
    secret = secrets.token_bytes(32)  # no secp256k1 key with a chance of 2^-128, which save_key says
    keys.save_key(file, secret, password)
    typer.echo(to_hex(signatures.address(secret)))
