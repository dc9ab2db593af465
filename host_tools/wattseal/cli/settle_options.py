"""The options of a command that has receipts paid: whose key pays for gas, what it may cost, and when what is settled."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal import keys
from wattseal.errors import ConfigError

if TYPE_CHECKING:
    from wattseal.gateway.mempool import Limits
    from wattseal.relay.settle_policy import SettlePolicy

KEY_VARIABLE = "WATTSEAL_RELAY_KEY"
PASSWORD_VARIABLE = "WATTSEAL_RELAY_KEY_PASSWORD"  # noqa: S105 - the name of a variable, no password

GWEI = 10**9


class WhenSettled(StrEnum):
    """`gateway.settlements.Finality`, without loading the gateway for `--help`."""

    FINAL = "final"
    OPTIMISTIC = "optimistic"


KeyFile = Annotated[Path | None, typer.Option(help=f"Encrypted key file (Web3 Secret Storage v3) that pays for gas, in place of {KEY_VARIABLE}.")]
KeyPasswordFile = Annotated[
    Path | None, typer.Option(help=f"File whose first line is the key file's password; else {PASSWORD_VARIABLE}, else it is asked for.")
]
Finality = Annotated[
    WhenSettled | None,
    typer.Option(
        help="A settlement counts once its block is final, or optimistic: at once. Default: final; with --trust-rpc, where nothing is, not."
    ),
]
MaxFee = Annotated[int, typer.Option(min=1, help="Most that a unit of gas may cost, in gwei. A stuck transaction is made dearer up to this.")]
StuckAfter = Annotated[int, typer.Option(min=12, help="Seconds in no block after which a transaction is made dearer.")]
SettleBatch = Annotated[int, typer.Option(min=1, max=100, help="So many receipts are worth a transaction; fewer wait --settle-wait seconds.")]
SettleWait = Annotated[int, typer.Option(min=0, help="Seconds that a receipt waits for others, at most.")]
InterimEvery = Annotated[int, typer.Option(min=60, help="Seconds after which a session that still runs is paid for so far.")]
InterimRisk = Annotated[
    int | None, typer.Option(min=1, help="Pay for a running session so far once so much is due and not paid, in base units of its token.")
]
MaxBaseFee = Annotated[int | None, typer.Option(min=1, help="Above this base fee, in gwei, settlements wait while their deadline is days away.")]


def secret(key_file: Path | None, password_file: Path | None) -> bytes:
    """Return the 32-byte secret that pays for gas. Raises ConfigError, UsageError."""
    if key_file is not None:
        return keys.load_key(key_file, keys.password_of(password_file, PASSWORD_VARIABLE, f"Password of {key_file}"))
    if password_file is not None:
        raise typer.BadParameter("is of no use without --key-file", param_hint="--key-password-file")
    found = keys.key_of_environment(KEY_VARIABLE)
    if found is None:
        raise ConfigError(f"no key pays for settlements: give --key-file, or put it into {KEY_VARIABLE}, 0x and 64 hex digits")
    return found


def when_settled(finality: WhenSettled | None, trust_rpc: bool) -> WhenSettled:
    """Return when a settlement counts. Raises UsageError where nothing could say that it is final."""
    if finality is WhenSettled.FINAL and trust_rpc:
        raise typer.BadParameter("nothing says what is final with --trust-rpc; choose optimistic, or --beacon", param_hint="--finality")
    return finality or (WhenSettled.OPTIMISTIC if trust_rpc else WhenSettled.FINAL)


def limits(max_fee_gwei: int, stuck_after_s: int) -> "Limits":
    """Return what a transaction may cost."""
    from wattseal.gateway.mempool import Limits

    return Limits(max_fee_wei=max_fee_gwei * GWEI, stuck_s=stuck_after_s)


def policy(batch: int, wait_s: int, interim_every_s: int, interim_risk: int | None, max_base_fee_gwei: int | None) -> "SettlePolicy":
    """Return when what is settled."""
    from wattseal.relay.settle_policy import SettlePolicy

    max_base_fee_wei = None if max_base_fee_gwei is None else max_base_fee_gwei * GWEI
    return SettlePolicy(batch=batch, wait_s=wait_s, interim_risk=interim_risk, interim_s=interim_every_s, max_base_fee_wei=max_base_fee_wei)
