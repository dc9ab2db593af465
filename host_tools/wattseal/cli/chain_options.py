"""The options of every command that reads the chain: which servers, and what vouches for their headers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.errors import ProofError

if TYPE_CHECKING:
    from wattseal.gateway.connect import ChainSettings

RPC_HELP = "JSON-RPC server to ask, http://...; several are asked in this order; one that is caught lying is asked only where no other answers."

ChainId = Annotated[int, typer.Option(min=1, help="Chain id; a server of another chain is not used.")]
Beacon = Annotated[list[str] | None, typer.Option(help="Beacon node, http://...: follow the sync committee, and take no server's word for headers.")]
LightClientStore = Annotated[Path | None, typer.Option(help="File that the light client keeps between runs, with --beacon or --simulated-beacon.")]
Checkpoint = Annotated[
    str | None, typer.Option(help="Root of a recent final block, 0x and 64 hex digits, from a source that you trust; once, for a new store.")
]
SimulatedBeacon = Annotated[str | None, typer.Option(help="`wattseal simulated-beacon` on this machine, for development: it proves nothing.")]
TrustRpc = Annotated[bool, typer.Option("--trust-rpc", help="Take headers on the servers' word, where no beacon node is to be had.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a server of the chain.")]


def settings(
    chain_id: int,
    rpc: list[str],
    beacon: list[str] | None,
    light_client_store: Path | None,
    checkpoint: str | None,
    simulated_beacon: str | None,
    trust_rpc: bool,
    timeout_s: float,
) -> "ChainSettings":
    """Return what these options say. Raises UsageError where exactly one kind of trust is not chosen, or an option goes with another one."""
    from wattseal.gateway.connect import ONE_OF_THREE, ChainSettings
    from wattseal.gateway.rpc import data

    if bool(beacon) + (simulated_beacon is not None) + trust_rpc != 1:
        raise typer.BadParameter(ONE_OF_THREE, param_hint="what vouches for headers")
    if checkpoint is not None and not beacon:
        raise typer.BadParameter("is of no use without --beacon", param_hint="--checkpoint")
    if light_client_store is not None and trust_rpc:
        raise typer.BadParameter("is of no use with --trust-rpc", param_hint="--light-client-store")
    if beacon and light_client_store is None:
        raise typer.BadParameter("is needed with --beacon: a file for the light client to keep", param_hint="--light-client-store")
    try:
        root = None if checkpoint is None else data(checkpoint, "checkpoint", 32)
    except ProofError:
        raise typer.BadParameter("is not 0x and 64 hex digits", param_hint="--checkpoint") from None
    return ChainSettings(
        chain_id=chain_id,
        rpc=tuple(rpc),
        beacon=tuple(beacon or ()),
        light_client_store=light_client_store,
        checkpoint=root,
        simulated_beacon=simulated_beacon,
        trust_rpc=trust_rpc,
        timeout_s=timeout_s,
    )
