"""`wattseal driver`: a driver's own wallet. A key for every session, every receipt kept, and money that needs nobody's goodwill."""

import typer

from wattseal.cli.driver import money, sessions, wallet

EXAMPLES = """
Examples, with WATTSEAL_DRIVER_RPC, WATTSEAL_DRIVER_CHAIN_ID, WATTSEAL_DRIVER_CONTRACT and WATTSEAL_DRIVER_BEACON (or ..._TRUST_RPC=1) set:

  wattseal driver create

  wattseal driver address --cap 0.02

  wattseal driver voucher 0xPLUG --api http://192.0.2.10:7142 --cap 0.02

  wattseal driver open

  wattseal driver receipts --follow

  wattseal driver stop

  wattseal driver settle

  wattseal driver withdraw --to 0xFRESH

SESSION is the start of a session's id (0x and at least 4 digits), the newest if left out.

Exit codes: 0 done, 1 refused or failed (one line on stderr says why and what to do), 2 wrong usage.
"""

app = typer.Typer(help="Charge, pay and get the rest back with a wallet of your own.", epilog=EXAMPLES, no_args_is_help=True, rich_markup_mode=None)
for part in (wallet, sessions, money):
    app.add_typer(part.app)
