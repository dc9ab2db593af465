"""The options that say which chain a command reads, through whom, and what it believes: the same for every command that has them."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wattseal.gateway.chain import Chain


@dataclass(frozen=True)
class ChainOptions:
    """What the options say; nothing is asked yet."""

    rpc: list[str]
    chain_id: int
    contract: bytes
    beacon: list[str]
    light_client_store: Path | None
    checkpoint: str | None
    trust_rpc: bool

    def connect(self) -> "Chain":
        """Return the chain. Raises ConfigError, StoreError."""
        from wattseal.gateway.connect import ChainSettings, connect

        checkpoint = None
        if self.checkpoint is not None:
            if not re.fullmatch(r"0x[0-9a-fA-F]{64}", self.checkpoint):
                raise typer.BadParameter("is not 0x and 64 hex digits", param_hint="--checkpoint")
            checkpoint = bytes.fromhex(self.checkpoint[2:])
        return connect(
            ChainSettings(
                chain_id=self.chain_id,
                rpc=tuple(self.rpc),
                beacon=tuple(self.beacon),
                light_client_store=self.light_client_store,
                checkpoint=checkpoint,
                trust_rpc=self.trust_rpc,
            )
        )


def address(text: str, option: str) -> bytes:
    """Read an address of an option. Raises BadParameter."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise typer.BadParameter(f"{text!r} is not 0x and 40 hex digits", param_hint=option)
    return bytes.fromhex(text[2:])


def _options(
    rpc: Annotated[list[str], typer.Option(envvar="WATTSEAL_DRIVER_RPC", help="JSON-RPC server, http://...; several are asked in this order.")],
    chain_id: Annotated[int, typer.Option(envvar="WATTSEAL_DRIVER_CHAIN_ID", min=1, help="Chain id.")],
    contract: Annotated[str, typer.Option(envvar="WATTSEAL_DRIVER_CONTRACT", help="Address of Wattseal.vy.")],
    beacon: Annotated[
        list[str] | None, typer.Option(envvar="WATTSEAL_DRIVER_BEACON", help="Beacon node, http://...: headers that the sync committee signed.")
    ] = None,
    light_client_store: Annotated[
        Path | None, typer.Option(envvar="WATTSEAL_DRIVER_LIGHT_CLIENT_STORE", help="File that the light client keeps; needed with --beacon.")
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Root of a recent final block that you trust; once, for a new file.")] = None,
    trust_rpc: Annotated[
        bool, typer.Option("--trust-rpc", envvar="WATTSEAL_DRIVER_TRUST_RPC", help="Take headers on the servers' word, for your own node.")
    ] = False,
) -> ChainOptions:
    return ChainOptions(rpc, chain_id, address(contract, "--contract"), beacon or [], light_client_store, checkpoint, trust_rpc)


def with_chain(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose parameter `chain` is a `ChainOptions`, the options themselves in its place."""
    options = inspect.signature(_options, eval_str=True).parameters
    own = [parameter for name, parameter in inspect.signature(command, eval_str=True).parameters.items() if name != "chain"]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        command(**{parameter.name: values[parameter.name] for parameter in own}, chain=_options(**{name: values[name] for name in options}))

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *options.values())]
    wrapped.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return wrapped
