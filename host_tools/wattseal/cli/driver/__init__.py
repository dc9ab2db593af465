"""`wattseal driver`: a driver's own wallet. A key for every session, every receipt kept, and money that needs nobody's goodwill."""

import typer

from wattseal.cli.driver import money, sessions, wallet

EXAMPLES = """
Examples, with WATTSEAL_DRIVER_RPC, _CHAIN_ID, _CONTRACT and _BEACON (or _TRUST_RPC=1) set:

  wattseal driver create                            once; write the 24 words down

  wattseal driver address --cap 0.02                where to send money for the next session, and how much

  wattseal driver voucher 0xPLUG --api http://192.0.2.10:7141 --cap 0.02

  wattseal driver open                              lock the cap: the plug closes its contactor

  wattseal driver receipts --follow                 fetch, verify and keep every receipt

  wattseal driver stop

  wattseal driver settle                            if the host does not: pay what is due, get the rest back

  wattseal driver refund                            14 days after the voucher's end, if there is no final receipt

  wattseal driver withdraw --to 0xFRESH             pay the rest out

SESSION is the start of a session's id (0x and at least 4 digits), the newest if left out.
Exit codes: 0 done, 1 refused or failed (one line on stderr says why and what to do), 2 wrong usage.
"""

app = typer.Typer(help="Charge, pay and get the rest back with a wallet of your own.", epilog=EXAMPLES, no_args_is_help=True, rich_markup_mode=None)
for part in (wallet, sessions, money):
    app.add_typer(part.app)
