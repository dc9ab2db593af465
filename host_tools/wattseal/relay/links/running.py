"""All links of one relay, started and ended together."""

import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from wattseal.relay.links.connection import PlugHandler, Timings
from wattseal.relay.links.mqtt import ALL_SHARDS, MqttLink
from wattseal.relay.links.mqtt_client import BrokerAddress
from wattseal.relay.links.tcp import PlugServer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddedSettings:
    """The broker inside the relay: where it listens, who may come in, and the files of certificate and key, where it speaks TLS."""

    listen: tuple[str, int]
    users: Path
    certificate: tuple[Path, Path] | None


@dataclass(frozen=True)
class LinkSettings:
    """Where plugs come in: by TCP always; at a broker, ours or another; on serial lines."""

    listen: tuple[str, int]
    broker: BrokerAddress | EmbeddedSettings | None = None
    shards: range = ALL_SHARDS
    serial: tuple[str, ...] = ()


@contextlib.asynccontextmanager
async def links(
    settings: LinkSettings,
    chain_id: int,
    contract: bytes,
    handler: PlugHandler,
    timings: Timings,
    watch: Callable[[str, Callable[[], Awaitable[str | None]]], None] = lambda name, check: None,
) -> AsyncIterator[dict[str, tuple[str, int]]]:
    """Let plugs of one chain and contract in; give the addresses that are listened on, by the names of their options.

    `watch` is given what says why plugs cannot come in by one of them, or None.

    Raises LinkError where one cannot be had, BrokerRefused, or ConfigError.
    """
    async with contextlib.AsyncExitStack() as stack:
        server = PlugServer(chain_id, contract, handler, timings)
        stack.push_async_callback(server.close)
        addresses = {"listen": await server.start(*settings.listen)}
        watch("link", server.check)
        broker = settings.broker
        if isinstance(broker, EmbeddedSettings):
            addresses["mqtt_listen"], broker = await _embedded(broker, stack)
        if broker is not None:
            if broker.password and broker.tls is None and not _is_loopback(broker.host):
                _log.warning("the password for the broker goes over the network unencrypted: use mqtts://", extra={"broker": str(broker)})
            mqtt = MqttLink(chain_id, contract, handler, timings, settings.shards)
            stack.push_async_callback(mqtt.close)
            await mqtt.start(broker)
            watch("broker", mqtt.check)
        for port in settings.serial:
            # pyserial and amqtt are imported by who uses them
            from wattseal.relay.links.serial_line import SerialLink

            line = SerialLink(chain_id, contract, handler, timings, port)
            stack.push_async_callback(line.close)
            line.start()
        yield addresses


async def _embedded(settings: EmbeddedSettings, stack: contextlib.AsyncExitStack) -> tuple[tuple[str, int], BrokerAddress]:
    from wattseal.relay.links.broker import EmbeddedBroker
    from wattseal.relay.links.tls import server_context
    from wattseal.relay.links.users import read_users

    tls = None if settings.certificate is None else server_context(settings.certificate)
    broker = EmbeddedBroker(read_users(settings.users), tls)
    stack.push_async_callback(broker.close)
    return await broker.start(*settings.listen)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
