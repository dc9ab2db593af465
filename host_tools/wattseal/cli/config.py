"""`wattseal config`: looks at a file of the relay's settings without starting anything."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
Examples:

  wattseal config check /etc/wattseal/relay.toml

Exit codes: 0 the relay would take it, 1 it would not (a line on stderr for each mistake), 2 wrong usage.
"""

app = typer.Typer(help="Check a file of settings.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def check(file: Annotated[Path, typer.Argument(help="TOML file, as for `wattseal relay --config`.")]) -> None:
    """Say every mistake in a file of the relay's settings, or print the settings that it comes to, without secrets.

    The environment counts as it would for the relay: variables WATTSEAL_RELAY_... go before the file.
    """
    from wattseal.errors import ConfigError
    from wattseal.relay.settings import KEY_VARIABLE, can_open_key, read_key
    from wattseal.relay.settings_reading import WrongSettings, load

    try:
        settings = load({}, file)
    except WrongSettings as error:
        for line in error.mistakes:
            typer.echo(line, err=True)
        raise typer.Exit(1) from error
    typer.echo(settings.effective())
    if settings.key_file is None:
        typer.echo(f"note: there is no key_file, so the relay needs {KEY_VARIABLE} in its environment", err=True)
        return
    if not can_open_key(settings):
        typer.echo("note: the key file was not opened, since its password is to be asked for", err=True)
        return
    try:
        read_key(settings)
    except ConfigError as error:
        typer.echo(f"key_file: {error}", err=True)
        raise typer.Exit(1) from error
