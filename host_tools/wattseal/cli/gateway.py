"""`wattseal gateway`: JSON-RPC on loopback whose answers are proven, in front of servers that need not be trusted."""

import contextlib
import ipaddress
import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli import serving
from wattseal.errors import ConfigError, GatewayError, ProofError, RpcError

if TYPE_CHECKING:
    from rich.table import Table

    from wattseal.gateway.signed_headers import SyncCommitteeHeaders
    from wattseal.gateway.upstreams import Upstream, Upstreams

RPC_VARIABLE = "WATTSEAL_GATEWAY_RPC"  # addresses often hold a key, which other users must not see in the process list

EXAMPLES = """
Examples:

  wattseal gateway --chain-id 31337 --rpc http://127.0.0.1:8545

  WATTSEAL_GATEWAY_RPC="https://one.example/KEY https://two.example" wattseal gateway --chain-id 1

  wattseal gateway --chain-id 1 --rpc https://two.example --beacon https://beacon.example --store mainnet.store --checkpoint 0x... (the first time)

  curl -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}' http://127.0.0.1:8547

  curl http://127.0.0.1:8547/status

Exit codes: 0 stopped in order, 1 cannot start (one line on stderr says why), 2 wrong usage.
"""

_log = logging.getLogger(__name__)


def gateway(
    rpc: Annotated[list[str], typer.Option(envvar=RPC_VARIABLE, help="JSON-RPC server to ask, http://...; several are asked in this order.")],
    chain_id: Annotated[int, typer.Option(min=1, help="Chain id; a server of another chain is not used.")],
    beacon: Annotated[list[str] | None, typer.Option(help="Beacon node, http://...: follow the sync committee instead of the servers' word.")] = None,
    store: Annotated[Path | None, typer.Option(help="File that the light client keeps between runs.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Root of a recent final block, 0x and 64 hex digits, from a source that you trust; once, for a new store.")
    ] = None,
    listen: Annotated[str, typer.Option(help="Where to listen, HOST:PORT. Whoever reaches it may use it.")] = "127.0.0.1:8547",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a server.")] = 10,
) -> None:
    """Serve Ethereum JSON-RPC whose answers are proven against block headers.

    A server whose answer does not agree with its proof is named in the log and not asked again. What every answer rests on stands
    beside its result, in `restsOn`: with --beacon, headers that the sync committee signed; without, the servers' word for headers.

    A table on stderr shows the servers. When it listens, one line of JSON goes to stdout: {"ready": true, "listen": "127.0.0.1:8547"}.
    SIGTERM or SIGINT stop it in order.
    """
    address = serving.address(listen)
    if not beacon and (store or checkpoint):
        raise typer.BadParameter("is of no use without --beacon", param_hint="--store" if store else "--checkpoint")
    if beacon and store is None:
        raise typer.BadParameter("is needed with --beacon: a file for the light client to keep", param_hint="--store")

    import uvicorn
    from rich.console import Console

    from wattseal.gateway.chain import Chain
    from wattseal.gateway.server import make_app
    from wattseal.gateway.upstreams import UpstreamHeaders, Upstreams

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Stop in order, and do not die of the signal afterwards."""
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.handle_exit)
            yield

    serving.log_to_stderr()
    upstreams = Upstreams(rpc, chain_id, timeout, on_lie=_log_lie)
    if beacon:
        signed = _follow(beacon, store, checkpoint, upstreams)
        chain = Chain(upstreams, signed, signed.finalized)
    else:
        chain = Chain(upstreams, UpstreamHeaders(upstreams))
    Console(stderr=True).print(_look(upstreams), chain.headers.basis)
    listener = serving.listener(*address, "--listen")
    bound = listener.getsockname()[:2]
    app = make_app(chain, loopback_only=ipaddress.ip_address(bound[0]).is_loopback)
    sys.stdout.write(json.dumps({"ready": True, "listen": serving.written(bound)}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False, limit_concurrency=64, timeout_graceful_shutdown=5
    )
    Server(config).run(sockets=[listener])


def _follow(beacons: list[str], store: Path | None, checkpoint: str | None, upstreams: "Upstreams") -> "SyncCommitteeHeaders":
    """Return headers that the sync committee signed, once there is one. Raises ConfigError, StoreError, BeaconError."""
    from wattseal.gateway.consensus.beacon_client import BeaconClient
    from wattseal.gateway.consensus.light_client import LightClient
    from wattseal.gateway.consensus.networks import NETWORKS
    from wattseal.gateway.consensus.store_file import StoreFile
    from wattseal.gateway.rpc import data
    from wattseal.gateway.signed_headers import SyncCommitteeHeaders

    network = next((known for known in NETWORKS.values() if known.chain_id == upstreams.chain_id), None)
    if network is None or store is None:
        known = ", ".join(f"{known.name} {known.chain_id}" for known in NETWORKS.values())
        raise ConfigError(f"no sync committee is known for chain {upstreams.chain_id}; there are {known}")
    try:
        root = None if checkpoint is None else data(checkpoint, "checkpoint", 32)
    except ProofError:
        raise typer.BadParameter("is not 0x and 64 hex digits", param_hint="--checkpoint") from None
    nodes = [BeaconClient(url, network) for url in beacons]
    signed = SyncCommitteeHeaders(LightClient(network, nodes, StoreFile(store, network), root), upstreams)
    signed.latest()
    return signed


def _look(upstreams: "Upstreams") -> "Table":
    """Ask every server for its newest block. Raises RpcError when none can be used."""
    from rich.table import Table

    table = Table("server", "newest block", "state", title=f"chain {upstreams.chain_id}")
    usable = 0
    for upstream in upstreams.all:
        try:
            head = upstream.headers.latest()
        except GatewayError as error:
            table.add_row(upstream.name, "-", str(error))
            reason = str(error)
        else:
            usable += 1
            table.add_row(upstream.name, str(head.number), "in use")
    if not usable:
        raise RpcError(f"no server can be used: {reason}")
    return table


def _log_lie(upstream: "Upstream") -> None:
    _log.error("an upstream was caught lying and is not asked again", extra={"upstream": upstream.name, "lie": upstream.lie})
