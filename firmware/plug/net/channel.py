"""The channel to the relay that the configuration asks for. Only its own modules take room on the heap."""

from plug import board
from plug.errors import ConfigError
from plug.relay import SERIAL, TCP


def open_channel(relay, plug, clock):
    """Return the channel of a Relay's settings and whether it goes over Wi-Fi. `plug`: the plug's id, 40 hex digits. Raises ConfigError."""
    if relay.link == SERIAL:
        if "link_tx" not in board.PINS:
            raise ConfigError(f"relay: link: board {board.NAME} has no serial line: tcp or mqtt")
        from plug.net.serial import Serial

        return Serial(board.PINS["link_tx"], board.PINS["link_rx"]), False
    if relay.link == TCP:
        from plug.net.tcp import Tcp

        return Tcp(relay.host, relay.port), True
    secure = None
    if relay.tls is not None:
        from plug.net.tls import Tls

        secure = Tls(clock=clock, **relay.tls)
    from plug.net.mqtt import Mqtt

    return Mqtt(relay.host, relay.port, plug, relay.user, relay.password, secure), True
