"""The options of `wattseal relay` that say where plugs come in: TCP, an MQTT broker or our own, serial lines."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from wattseal.cli import serving

if TYPE_CHECKING:
    from wattseal.relay.links.running import LinkSettings

PASSWORD_VARIABLE = "WATTSEAL_MQTT_PASSWORD"  # noqa: S105 - the name of the variable, not what is in it
_PORTS = {"mqtt": 1883, "mqtts": 8883}

EXAMPLES = """
Plugs by MQTT or on a cable:

  wattseal plug mqtt-user 0x... --users users && wattseal relay ... --mqtt-listen 0.0.0.0:1883 --mqtt-users users

  WATTSEAL_MQTT_PASSWORD=... wattseal relay ... --broker mqtts://broker.example --mqtt-user relay --mqtt-ca ca.pem

  wattseal relay ... --broker mqtts://broker.example --mqtt-cert relay.pem --mqtt-key relay.key --shards 00-7f

  wattseal relay ... --serial /dev/ttyUSB0
"""

Listen = Annotated[str, typer.Option(help="Where plugs connect by TCP, HOST:PORT. Plugs on the LAN need 0.0.0.0:7140.")]
Broker = Annotated[
    str | None, typer.Option(envvar="WATTSEAL_MQTT_BROKER", help="MQTT broker where plugs are too, mqtts://HOST[:PORT], or mqtt:// without TLS.")
]
MqttUser = Annotated[
    str | None, typer.Option(envvar="WATTSEAL_MQTT_USER", help=f"User of this relay at the broker; the password comes from {PASSWORD_VARIABLE}.")
]
MqttCa = Annotated[
    Path | None, typer.Option(envvar="WATTSEAL_MQTT_CA", help="Certificate of the CA that vouches for the broker; else the system's CAs.")
]
MqttCert = Annotated[
    Path | None, typer.Option(envvar="WATTSEAL_MQTT_CERT", help="Certificate that this relay shows the broker, or with --mqtt-listen the plugs.")
]
MqttKey = Annotated[Path | None, typer.Option(envvar="WATTSEAL_MQTT_KEY", help="Key of --mqtt-cert, unencrypted.")]
MqttListen = Annotated[
    str | None, typer.Option(envvar="WATTSEAL_MQTT_LISTEN", help="Be the broker, for up to 64 plugs, on HOST:PORT; needs wattseal[broker].")
]
MqttUsers = Annotated[
    Path | None,
    typer.Option(envvar="WATTSEAL_MQTT_USERS", help="File of the plugs' passwords, made by `wattseal plug mqtt-user`, for --mqtt-listen."),
]
Shards = Annotated[
    str,
    typer.Option(envvar="WATTSEAL_SHARDS", help="First bytes of the plugs' ids that this relay serves at the broker, as 00-7f; every relay others."),
]
Serial = Annotated[
    list[str] | None, typer.Option(envvar="WATTSEAL_SERIAL", help="Serial line with a plug: a device, or a URL of pyserial as socket://HOST:PORT.")
]


def settings(
    listen: str,
    broker: str | None,
    mqtt_user: str | None,
    mqtt_ca: Path | None,
    mqtt_cert: Path | None,
    mqtt_key: Path | None,
    mqtt_listen: str | None,
    mqtt_users: Path | None,
    shards: str,
    serial: list[str] | None,
) -> "LinkSettings":
    """Return what these options say. Raises BadParameter where one is wrong or goes without another, ConfigError where a file is wrong."""
    from wattseal.relay.links.mqtt_client import BrokerAddress
    from wattseal.relay.links.running import EmbeddedSettings, LinkSettings
    from wattseal.relay.links.tls import client_context

    if (mqtt_cert is None) != (mqtt_key is None):
        raise typer.BadParameter("go together", param_hint="--mqtt-cert and --mqtt-key")
    certificate = None if mqtt_cert is None or mqtt_key is None else (mqtt_cert, mqtt_key)
    if broker is not None and mqtt_listen is not None:
        raise typer.BadParameter("is of no use with --broker: there is a broker already", param_hint="--mqtt-listen")
    if (mqtt_listen is None) != (mqtt_users is None):
        raise typer.BadParameter("go together: who may come in?", param_hint="--mqtt-listen and --mqtt-users")
    if broker is None and (mqtt_user or mqtt_ca):
        raise typer.BadParameter("are of no use without --broker", param_hint="--mqtt-user and --mqtt-ca")
    served = _shards(shards)
    where: BrokerAddress | EmbeddedSettings | None = None
    if mqtt_listen is not None and mqtt_users is not None:
        where = EmbeddedSettings(serving.address(mqtt_listen), mqtt_users, certificate)
    elif broker is not None:
        scheme, host, port = _broker(broker)
        if scheme == "mqtt" and (mqtt_ca or certificate):
            raise typer.BadParameter("are of no use with mqtt://: give mqtts://", param_hint="--mqtt-ca and --mqtt-cert")
        tls = client_context(mqtt_ca, certificate) if scheme == "mqtts" else None
        password = os.environ.get(PASSWORD_VARIABLE) or None
        if password is not None and mqtt_user is None:
            raise typer.BadParameter(f"is needed with {PASSWORD_VARIABLE}", param_hint="--mqtt-user")
        where = BrokerAddress(host, port, mqtt_user, password, tls)
    return LinkSettings(serving.address(listen), where, served, tuple(serial or ()))


def _broker(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    if "@" in url:
        # Not repeated here: there may be a password in it.
        raise typer.BadParameter(
            f"holds a user: give --mqtt-user, and the password in {PASSWORD_VARIABLE}, which others cannot see", param_hint="--broker"
        )
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        port = 0
    if not port or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise typer.BadParameter(f"{url!r} is not mqtts://HOST[:PORT] or mqtt://HOST[:PORT]", param_hint="--broker")
    return parts.scheme, parts.hostname, port


def _shards(text: str) -> range:
    match = re.fullmatch(r"([0-9a-f]{2})-([0-9a-f]{2})", text)
    if not match or match[1] > match[2]:
        raise typer.BadParameter(f"{text!r} is no range of bytes as 00-7f", param_hint="--shards")
    return range(int(match[1], 16), int(match[2], 16) + 1)
