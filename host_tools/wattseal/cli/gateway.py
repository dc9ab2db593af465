"""`wattseal gateway`: JSON-RPC on loopback whose answers are proven, in front of servers that need not be trusted."""

from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli import chain_options, serving
from wattseal.errors import GatewayError, RpcError

if TYPE_CHECKING:
    from rich.table import Table

    from wattseal.gateway.upstreams import Upstreams

RPC_VARIABLE = "WATTSEAL_GATEWAY_RPC"  # addresses often hold a key, which other users must not see in the process list

EXAMPLES = """
Examples:

  wattseal gateway --chain-id 1 --rpc https://one.example --beacon https://beacon.example --light-client-store mainnet.store --checkpoint 0x...

  (the next time without --checkpoint: the store knows)

  WATTSEAL_GATEWAY_RPC="https://one.example/KEY https://two.example" wattseal gateway --chain-id 1 --beacon ... --light-client-store mainnet.store

  wattseal gateway --chain-id 31337 --rpc http://127.0.0.1:8545 --simulated-beacon http://127.0.0.1:8548

  wattseal gateway --chain-id 100 --rpc http://127.0.0.1:8545 --trust-rpc

  curl -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}' http://127.0.0.1:8547

  curl http://127.0.0.1:8547/status

Exit codes: 0 stopped in order, 1 cannot start (one line on stderr says why), 2 wrong usage.
"""


def gateway(
    rpc: Annotated[list[str], typer.Option(envvar=RPC_VARIABLE, help=chain_options.RPC_HELP)],
    chain_id: chain_options.ChainId,
    beacon: chain_options.Beacon = None,
    light_client_store: chain_options.LightClientStore = None,
    checkpoint: chain_options.Checkpoint = None,
    simulated_beacon: chain_options.SimulatedBeacon = None,
    trust_rpc: chain_options.TrustRpc = False,
    listen: Annotated[str, typer.Option(help="Where to listen, HOST:PORT. Whoever reaches it may use it.")] = "127.0.0.1:8547",
    timeout: chain_options.Timeout = 10,
) -> None:
    """Serve Ethereum JSON-RPC whose answers are proven against block headers.

    A server whose answer does not agree with its proof is named in the log, and asked only where no other answers. What every answer rests
    on stands beside its result, in `restsOn`: one of --beacon, --simulated-beacon and --trust-rpc says what vouches for headers.

    A table on stderr shows the servers. When it listens, one line of JSON goes to stdout: {"ready": true, "listen": "127.0.0.1:8547"}.
    SIGTERM or SIGINT stop it in order.
    """
    address = serving.address(listen)
    settings = chain_options.settings(chain_id, rpc, beacon, light_client_store, checkpoint, simulated_beacon, trust_rpc, timeout)

    from rich.console import Console

    from wattseal.gateway.connect import connect
    from wattseal.gateway.server import make_app

    serving.log_to_stderr()
    chain = connect(settings)
    chain.headers.latest()
    Console(stderr=True).print(_look(chain.upstreams), chain.basis)
    listener = serving.listener(*address, "--listen")
    serving.serve(make_app(chain, loopback_only=serving.is_loopback(listener)), listener)


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
