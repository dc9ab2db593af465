"""The options of every driver's command that reads the chain: those of `cli.chain_options`, each with an environment variable of its own."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wattseal.cli import chain_options

if TYPE_CHECKING:
    from wattseal.gateway.chain import Chain
    from wattseal.gateway.connect import ChainSettings


@dataclass(frozen=True)
class ChainOptions:
    """Which contract (20 bytes) on which chain, and whom to ask; nothing is asked yet."""

    settings: "ChainSettings"
    contract: bytes

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self.settings.chain_id

    def connect(self) -> "Chain":
        """Return the chain. Raises ConfigError, StoreError, BeaconError."""
        from wattseal.gateway.connect import connect

        return connect(self.settings)


def address(text: str, option: str) -> bytes:
    """Read an address of an option; one in capitals and small letters must have its EIP-55 checksum. Raises BadParameter."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise typer.BadParameter(f"{text!r} is not 0x and 40 hex digits", param_hint=option)
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and digits != _with_capitals(digits.lower()):
        raise typer.BadParameter(f"{text} is mistyped: its capitals are not those of EIP-55", param_hint=option)
    return bytes.fromhex(text[2:])


def _with_capitals(digits: str) -> str:
    from eth_hash.auto import keccak

    return "".join(digit.upper() if place >= "8" else digit for digit, place in zip(digits, keccak(digits.encode()).hex(), strict=False))


ChainId = Annotated[int, typer.Option(envvar="WATTSEAL_DRIVER_CHAIN_ID", min=1, help="Chain id; a server of another chain is not used.")]
Contract = Annotated[str, typer.Option(envvar="WATTSEAL_DRIVER_CONTRACT", help="Address of Wattseal.vy.")]


def _options(
    rpc: Annotated[list[str], typer.Option(envvar="WATTSEAL_DRIVER_RPC", help=chain_options.RPC_HELP)],
    chain_id: ChainId,
    contract: Contract,
    beacon: Annotated[
        list[str] | None, typer.Option(envvar="WATTSEAL_DRIVER_BEACON", help="Beacon node, http://...: follow the sync committee.")
    ] = None,
    light_client_store: Annotated[
        Path | None, typer.Option(envvar="WATTSEAL_DRIVER_LIGHT_CLIENT_STORE", help="File that the light client keeps between runs, with --beacon.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Root of a recent final block that you trust, 0x and 64 hex digits; once, for a new store.")
    ] = None,
    simulated_beacon: Annotated[
        str | None, typer.Option(envvar="WATTSEAL_DRIVER_SIMULATED_BEACON", help="`wattseal simulated-beacon` on this machine, for development.")
    ] = None,
    trust_rpc: Annotated[
        bool, typer.Option("--trust-rpc", envvar="WATTSEAL_DRIVER_TRUST_RPC", help="Take headers on the servers' word, as of a node of your own.")
    ] = False,
    timeout: chain_options.Timeout = 10,
) -> ChainOptions:
    at = address(contract, "--contract")
    return ChainOptions(chain_options.settings(chain_id, rpc, beacon, light_client_store, checkpoint, simulated_beacon, trust_rpc, timeout), at)


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
