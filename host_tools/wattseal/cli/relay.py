"""`wattseal relay`: builds store, gateway, link and API, joins them, and runs until it is told to stop."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli import chain_options, serving
from wattseal.errors import ConfigError
from wattseal.protocol import signatures

if TYPE_CHECKING:
    from wattseal.relay.chain import Gateway
    from wattseal.relay.links import Timings
    from wattseal.relay.service import Relay

KEY_VARIABLE = "WATTSEAL_RELAY_KEY"
RPC_VARIABLE = "WATTSEAL_RELAY_RPC"  # addresses often hold a key, which other users must not see in the process list

EXAMPLES = """
Examples:

  export WATTSEAL_RELAY_KEY=0x... WATTSEAL_RELAY_RPC="https://one.example/KEY https://two.example"

  wattseal relay --store relay.sqlite --contract 0x... --chain-id 1 --beacon https://beacon.example --light-client-store mainnet.store
  --checkpoint 0x... (the first time)

  wattseal relay --store relay.sqlite --contract 0x... --chain-id 31337 --rpc http://127.0.0.1:8545 --simulated-beacon http://127.0.0.1:8548

  wattseal relay --store relay.sqlite --contract 0x... --chain-id 100 --rpc http://127.0.0.1:8545 --trust-rpc

Exit codes: 0 stopped in order, 1 cannot start (one line on stderr says why), 2 wrong usage.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RelaySettings:
    """Where to listen (host and port, 0 for any free one), what to serve and where to keep it."""

    listen: tuple[str, int]
    api: tuple[str, int]
    store: Path
    chain_id: int
    contract: bytes
    timings: "Timings"


def _contract(text: str) -> bytes:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise typer.BadParameter(f"{text!r} is not 0x and 40 hex digits")
    return bytes.fromhex(text[2:])


def _secret() -> bytes:
    text = os.environ.get(KEY_VARIABLE)
    if not text:
        raise ConfigError(f"{KEY_VARIABLE} is not set: put the key that pays for settlements there, 0x and 64 hex digits")
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        raise ConfigError(f"{KEY_VARIABLE} is not 0x and 64 hex digits (it has {len(text)} characters)")
    secret = bytes.fromhex(text[2:])
    try:
        signatures.address(secret)
    except ValueError as error:
        raise ConfigError(f"{KEY_VARIABLE} is no secp256k1 key: it must be above 0 and below the group order") from error
    return secret


def relay(
    store: Annotated[Path, typer.Option(help="SQLite file for vouchers, receipts and settlements; made if missing.")],
    rpc: Annotated[list[str], typer.Option(envvar=RPC_VARIABLE, help=chain_options.RPC_HELP)],
    contract: Annotated[str, typer.Option(help="Address of Wattseal.vy.")],
    chain_id: chain_options.ChainId,
    beacon: chain_options.Beacon = None,
    light_client_store: chain_options.LightClientStore = None,
    checkpoint: chain_options.Checkpoint = None,
    simulated_beacon: chain_options.SimulatedBeacon = None,
    trust_rpc: chain_options.TrustRpc = False,
    timeout: chain_options.Timeout = 10,
    listen: Annotated[str, typer.Option(help="Where plugs connect, HOST:PORT. Plugs on the LAN need 0.0.0.0:7140.")] = "127.0.0.1:7140",
    api: Annotated[str, typer.Option(help="Where the HTTP API listens, HOST:PORT.")] = "127.0.0.1:7141",
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks at the chain.")] = 1,
    ping: Annotated[float, typer.Option(min=0.01, help="Seconds between two pings to a plug.")] = 60,
    time_every: Annotated[float, typer.Option(min=0.01, help="Seconds between two time messages to a plug.")] = 600,
) -> None:
    """Take receipts from plugs, verify, store and acknowledge them, and have them paid.

    What the chain's servers say is believed only with its proof; one of --beacon, --simulated-beacon and --trust-rpc says what vouches
    for headers. A server that is caught lying is named in the log and not asked again.

    The key that pays for gas comes from the environment variable WATTSEAL_RELAY_KEY. When everything listens, one line of JSON goes to
    stdout: {"ready": true, "listen": "127.0.0.1:7140", "api": "127.0.0.1:7141"}. The log goes to stderr, one JSON object a line.
    SIGTERM or SIGINT stop the relay in order.
    """
    addresses = serving.address(listen), serving.address(api)
    contract_address = _contract(contract)
    chain_settings = chain_options.settings(chain_id, rpc, beacon, light_client_store, checkpoint, simulated_beacon, trust_rpc, timeout)
    secret = _secret()

    from wattseal.gateway.client import Gateway
    from wattseal.gateway.connect import connect
    from wattseal.relay.links import Timings

    serving.log_to_stderr()
    chain = connect(chain_settings)
    _log.info("the chain is read", extra={"basis": chain.basis, "upstreams": [upstream.name for upstream in chain.upstreams.all]})
    timings = Timings(poll_s=poll, ping_s=ping, time_s=time_every)
    settings = RelaySettings(*addresses, store, chain_id, contract_address, timings)
    asyncio.run(run(settings, Gateway(chain, contract_address, secret)))
    sys.stdout.flush()
    # A gateway call may still wait minutes for the chain and would hold up the exit. It is safe to cut off and to repeat.
    os._exit(0)


async def run(settings: RelaySettings, gateway: "Gateway") -> None:
    """Run a relay until SIGTERM or SIGINT. Raises StoreError, ConfigError or LinkError where it cannot start."""
    from wattseal.relay.links.tcp import PlugServer
    from wattseal.relay.service import Relay
    from wattseal.store import Store

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with contextlib.closing(Store(settings.store)) as store:
        store.bind(settings.chain_id, settings.contract)
        service = Relay(settings.chain_id, settings.contract, store, gateway, settings.timings)
        server = PlugServer(settings.chain_id, settings.contract, service, settings.timings)
        try:
            listen = await server.start(*settings.listen)
            await _serve(service, settings.api, stopped, lambda api: _say_ready(listen, api))
        finally:
            await server.close()
            service.close()


async def _serve(service: "Relay", api: tuple[str, int], stopped: asyncio.Event, ready: Callable[[tuple[str, int]], None]) -> None:
    """Serve the API and settle until `stopped`, or until one of the two fails, whose error is raised."""
    import uvicorn

    from wattseal.relay.api import make_app

    class ApiServer(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave the signals to the relay."""
            yield

    listener = serving.listener(*api, "--api")
    address = listener.getsockname()[:2]
    app = make_app(service, loopback_only=ipaddress.ip_address(address[0]).is_loopback)
    http = ApiServer(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5))
    answering = asyncio.create_task(http.serve(sockets=[listener]))
    settling = asyncio.create_task(service.settler.run())
    waiting = asyncio.create_task(stopped.wait())
    try:
        ready(address)
        ended, _ = await asyncio.wait({answering, settling, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        settling.cancel()
        waiting.cancel()
        http.should_exit = True
        await answering


def _say_ready(listen: tuple[str, int], api: tuple[str, int]) -> None:
    sys.stdout.write(json.dumps({"ready": True, "listen": serving.written(listen), "api": serving.written(api)}) + "\n")
    sys.stdout.flush()
