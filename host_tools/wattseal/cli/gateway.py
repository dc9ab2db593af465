"""`wattseal gateway`: JSON-RPC on loopback whose answers are proven, in front of servers that need not be trusted."""

import contextlib
import ipaddress
import json
import logging
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli import serving
from wattseal.errors import GatewayError, RpcError

if TYPE_CHECKING:
    from rich.table import Table

    from wattseal.gateway.upstreams import Upstream, Upstreams

RPC_VARIABLE = "WATTSEAL_GATEWAY_RPC"  # addresses often hold a key, which other users must not see in the process list

EXAMPLES = """
Examples:

  wattseal gateway --chain-id 31337 --rpc http://127.0.0.1:8545

  WATTSEAL_GATEWAY_RPC="https://one.example/KEY https://two.example" wattseal gateway --chain-id 1

  curl -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}' http://127.0.0.1:8547

  curl http://127.0.0.1:8547/status

Exit codes: 0 stopped in order, 1 cannot start (one line on stderr says why), 2 wrong usage.
"""

_log = logging.getLogger(__name__)


def gateway(
    rpc: Annotated[list[str], typer.Option(envvar=RPC_VARIABLE, help="JSON-RPC server to ask, http://...; several are asked in this order.")],
    chain_id: Annotated[int, typer.Option(min=1, help="Chain id; a server of another chain is not used.")],
    listen: Annotated[str, typer.Option(help="Where to listen, HOST:PORT. Whoever reaches it may use it.")] = "127.0.0.1:8547",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a server.")] = 10,
) -> None:
    """Serve Ethereum JSON-RPC whose answers are proven against block headers.

    A server whose answer does not agree with its proof is named in the log and not asked again. What every answer rests on stands
    beside its result, in `restsOn`. Without a consensus light client, that a header is of the chain is the servers' word.

    A table on stderr shows the servers. When it listens, one line of JSON goes to stdout: {"ready": true, "listen": "127.0.0.1:8547"}.
    SIGTERM or SIGINT stop it in order.
    """
    address = serving.address(listen)

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
