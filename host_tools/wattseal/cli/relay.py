"""`wattseal relay`: builds store, gateway, link and API, joins them, and runs until it is told to stop."""

import asyncio
import contextlib
import inspect
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from wattseal.cli import serving
from wattseal.relay.settings import PREFIX, RelaySettings, read_key, shown
from wattseal.relay.settings_reading import WrongSettings, load, option_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from wattseal.gateway.transaction_log import TransactionLog
    from wattseal.relay.chain import Gateway
    from wattseal.relay.health import Health
    from wattseal.relay.service import Relay

EXAMPLES = """
Examples:

  export WATTSEAL_RELAY_KEY=0x... WATTSEAL_RELAY_RPC="https://one.example/KEY https://two.example"

  wattseal relay --store relay.sqlite --contract 0x... --chain-id 1 --beacon https://... --light-client-store mainnet.store --checkpoint 0x...

  (the next time without --checkpoint: the store knows)

  wattseal relay --config /etc/wattseal/relay.toml --key-file relay.key --key-password-file password (in place of WATTSEAL_RELAY_KEY)

  wattseal relay --settle-batch 100 --settle-wait 600 --max-base-fee 5 ... (a fleet's way to settle)

  wattseal plug mqtt-user 0x... --users users && wattseal relay ... --mqtt-listen 0.0.0.0:1883 --mqtt-users users (plugs by MQTT)

  WATTSEAL_RELAY_MQTT_PASSWORD=... wattseal relay ... --broker mqtts://broker.example --mqtt-user relay --mqtt-ca ca.pem

  wattseal relay ... --broker mqtts://broker.example --mqtt-cert relay.pem --mqtt-key relay.key --shards 00-7f

  wattseal relay ... --serial /dev/ttyUSB0 (a plug on a cable)

  wattseal relay --store relay.sqlite --contract 0x... --chain-id 31337 --rpc http://127.0.0.1:8545 --simulated-beacon http://127.0.0.1:8548

  wattseal relay --store relay.sqlite --contract 0x... --chain-id 100 --rpc http://127.0.0.1:8545 --trust-rpc

Exit codes: 0 stopped in order, 1 cannot start (one line on stderr says why), 2 wrong usage.
"""

_log = logging.getLogger(__name__)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for --config and for each setting that is not a table; all are texts, which the settings check."""
    parameters = {"config": Annotated[Path | None, typer.Option(envvar=PREFIX + "CONFIG", help="TOML file with settings (docs/operations.md).")]}
    for name, field in RelaySettings.model_fields.items():
        if name == "sites":
            continue
        default = "" if field.is_required() or field.default in (None, (), False) else f" [default: {shown(field.default)}]"
        option = typer.Option(option_of(name), help=f"{field.description}{default}", show_default=False)
        is_list = get_origin(field.annotation) is tuple and get_args(field.annotation)[-1] is ...
        kind = bool if field.annotation is bool else list[str] if is_list else str
        parameters[name] = Annotated[kind | None, option]
    of = inspect.Parameter
    command.__signature__ = inspect.Signature([of(name, of.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in parameters.items()])  # type: ignore[attr-defined]
    command.__annotations__ = parameters | {"return": None}
    return command


@_with_options
def relay(config: Path | None, **options: Any) -> None:
    """Take receipts from plugs, verify, store and acknowledge them, and have them paid.

    What the chain's servers say is believed only with its proof; one of --beacon, --simulated-beacon and --trust-rpc says what vouches
    for headers. A server that is caught lying is named in the log, and asked only where no other answers.

    Each option may also be a key of the file that --config names, and a variable: --chain-id is chain_id there and WATTSEAL_RELAY_CHAIN_ID.
    An option goes before a variable, a variable before the file. `wattseal config check FILE` says what is wrong with one.

    The key that pays for gas comes from an encrypted file, or from the environment variable WATTSEAL_RELAY_KEY. Several relays may share a
    store on PostgreSQL, each with a key of its own. When everything listens, one line of JSON goes to stdout:
    {"ready": true, "listen": "127.0.0.1:7140", "api": "127.0.0.1:7141"}. The log goes to stderr, one JSON object a line.
    With --mqtt-listen its address is there as "mqtt_listen", with --drivers theirs as "drivers". SIGTERM or SIGINT stop the relay in order.
    """
    try:
        settings = load({name: value or None for name, value in options.items()}, config)
    except WrongSettings as error:
        if error.of_options:
            raise typer.BadParameter(str(error)) from error
        raise
    secret = read_key(settings)
    limits = settings.limits

    from wattseal.gateway.client import Gateway
    from wattseal.gateway.connect import connect
    from wattseal.gateway.settlements import Finality

    serving.log_to_stderr()
    chain = connect(settings.chain)
    _log.info("the chain is read", extra={"basis": chain.basis, "upstreams": [upstream.name for upstream in chain.upstreams.all]})
    finality = Finality(settings.counts)
    asyncio.run(run(settings, lambda log: Gateway(chain, settings.contract, secret, log=log, limits=limits, finality=finality)))
    sys.stdout.flush()
    # A gateway call may still wait minutes for the chain and would hold up the exit. It is safe to cut off and to repeat.
    os._exit(0)


async def run(settings: RelaySettings, gateway: Callable[["TransactionLog"], "Gateway"]) -> None:
    """Run a relay until SIGTERM or SIGINT; `gateway` makes one that logs its transactions in the relay's store.

    Raises StoreError, ConfigError or LinkError where it cannot start.
    """
    from wattseal.relay.health import Health
    from wattseal.relay.links.running import links
    from wattseal.relay.retention import Forgetting
    from wattseal.relay.service import Relay
    from wattseal.store import Store

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with contextlib.closing(Store(settings.store, max_plugs=settings.max_plugs)) as store:
        store.bind(settings.chain_id, settings.contract)
        service = Relay(settings.chain_id, settings.contract, store, gateway(store), settings.timings, settings.policy, settings.planned_sites())
        forgetting = asyncio.create_task(Forgetting(store, settings.keep_interim_days, settings.keep_sessions_days).run())
        health = Health()
        health.add("store", service.check_store)
        health.add("chain", partial(service.check_head, settings.head_age_s))
        try:
            async with links(settings.links(), settings.chain_id, settings.contract, service, settings.timings, health.add) as addresses:
                await _serve(service, health, settings, stopped, lambda bound: _say_ready({**addresses, **bound}))
                serving.notify("STOPPING=1")
        finally:
            forgetting.cancel()
            service.close()


async def _serve(
    service: "Relay",
    health: "Health",
    settings: RelaySettings,
    stopped: asyncio.Event,
    ready: Callable[[dict[str, tuple[str, int]]], None],
) -> None:
    """Serve the API, its drivers' part where that has an address, and settle until `stopped`, or until one of them fails, whose error is raised."""
    import uvicorn

    from wattseal.relay.api import make_app, make_drivers_app

    class ApiServer(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave the signals to the relay."""
            yield

    def serve(make: Callable[..., "Starlette"], listener: socket.socket) -> tuple[ApiServer, asyncio.Task[None]]:
        app = make(service, loopback_only=serving.is_loopback(listener))
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False, limit_concurrency=256, timeout_graceful_shutdown=5
        )
        server = ApiServer(config)
        return server, asyncio.create_task(server.serve(sockets=[listener]))

    listeners = {"api": serving.listener(*settings.api, "--api")}
    if not serving.is_loopback(listeners["api"]):
        _log.warning(
            "whoever reaches the API commands the plugs: keep --api on the loopback, and give drivers --drivers", extra={"api": settings.api}
        )
    if settings.drivers is not None:
        listeners["drivers"] = serving.listener(*settings.drivers, "--drivers")
    servers = [serve(partial(make_app, health=health) if name == "api" else make_drivers_app, listener) for name, listener in listeners.items()]
    answering = [task for _, task in servers]
    settling = asyncio.create_task(service.settler.run())
    sharing = asyncio.create_task(service.sites.run())
    waiting = asyncio.create_task(stopped.wait())
    try:
        ready({name: listener.getsockname()[:2] for name, listener in listeners.items()})
        ended, _ = await asyncio.wait({*answering, settling, sharing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        settling.cancel()
        sharing.cancel()
        waiting.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*answering)


def _say_ready(addresses: Mapping[str, tuple[str, int]]) -> None:
    sys.stdout.write(json.dumps({"ready": True, **{name: serving.written(address) for name, address in addresses.items()}}) + "\n")
    sys.stdout.flush()
    serving.notify("READY=1")
