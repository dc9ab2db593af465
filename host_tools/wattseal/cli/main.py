"""The command `wattseal`: options, exit codes, one line for every error."""

from typing import Any

import typer
from typer.core import TyperGroup

from wattseal.cli import config, demo, driver, export, gateway, new_key, plug, receipts, relay, simulated_beacon
from wattseal.errors import WattsealError

EXAMPLES = """
Examples:

  wattseal demo

  wattseal simulated-beacon --rpc http://127.0.0.1:8545 --chain-id 31337

  wattseal new-key relay.key

  WATTSEAL_RELAY_KEY=0x... wattseal relay --store relay.sqlite --contract 0x... --chain-id 31337 --rpc http://127.0.0.1:8545 --simulated-beacon http://127.0.0.1:8548

  wattseal gateway --chain-id 1 --rpc https://... --beacon https://... --light-client-store mainnet.store --checkpoint 0x...

  wattseal export --store relay.sqlite --format csv --since 2026-01-01 --until 2027-01-01

  curl http://127.0.0.1:7141/plugs

  wattseal plug enrol 0x...

  wattseal driver --help

  wattseal receipts show

  wattseal config check /etc/wattseal/relay.toml

Exit codes: 0 done or stopped in order, 1 refused or failed (one line on stderr says why), 2 wrong usage.
"""


class _Commands(TyperGroup):
    """Turns an expected error of any command into one line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except WattsealError as error:
            typer.echo(f"wattseal: {error} [{error.code}]", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="wattseal",
    help="A charger plug that meters, signs and gets paid for exactly what it delivered.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# One line a command; a command imports what is heavy when it runs.
app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=gateway.EXAMPLES)(gateway.gateway)
app.command(epilog=relay.EXAMPLES)(relay.relay)
app.command(epilog=new_key.EXAMPLES)(new_key.new_key)
app.command(epilog=simulated_beacon.EXAMPLES)(simulated_beacon.simulated_beacon)
app.command(epilog=export.EXAMPLES)(export.export)
app.add_typer(plug.app, name="plug")
app.add_typer(driver.app, name="driver")
app.add_typer(receipts.app, name="receipts")
app.add_typer(config.app, name="config")


@app.callback()
def _wattseal() -> None:
    """A group of commands, however few there are."""
