"""What is kept of each plug at a broker: little, since there are thousands."""

from collections import deque
from typing import Protocol

from wattseal.protocol.messages import PROTOCOL_VERSION, Message, to_hex
from wattseal.relay.links.connection import Connection
from wattseal.relay.links.pace import Pace

GREET_EVERY_S = 5  # at most, one plug


class Peer:
    """One plug; times are seconds of the loop's clock."""

    __slots__ = ("connection", "greeted_s", "heard_s", "is_worked", "pace", "plug", "queue", "too_fast", "wire")

    def __init__(self, plug: bytes, wire: "TopicWire") -> None:
        """`plug` is its id, 20 bytes."""
        self.plug = plug
        self.wire = wire
        self.connection: Connection | None = None  # once it has said hello
        self.pace = Pace()
        self.queue: deque[bytes] | None = None  # payloads that wait; None where none does, since an empty one has 700 bytes
        self.is_worked = False
        self.too_fast = False
        self.heard_s = 0.0
        self.greeted_s: float = -GREET_EVERY_S  # or when it said hello by itself

    @property
    def name(self) -> str:
        """Its name in logs and in the quarantine."""
        return f"mqtt:{to_hex(self.plug)}"


class Publisher(Protocol):
    """What a `TopicWire` needs of the link."""

    async def publish(self, topic: str, message: Message) -> None:
        """Send a message. Raises ConnectionError."""

    def cut(self, plug: bytes) -> None:
        """End a plug's connection, if it has one."""


class TopicWire:
    """The `down` topic of a plug: a Wire."""

    __slots__ = ("_link", "_plug", "_topic")

    def __init__(self, link: Publisher, plug: bytes, version: int = PROTOCOL_VERSION) -> None:
        """`plug` is its id, 20 bytes; `version` the protocol's, in the topic."""
        self._link = link
        self._plug = plug
        self._topic = f"wattseal/{version}/{plug[0]:02x}/{plug.hex()}/down"

    async def send(self, message: Message) -> None:
        """Send a message. Raises ConnectionError."""
        await self._link.publish(self._topic, message)

    def cut(self) -> None:
        """End the connection soon."""
        self._link.cut(self._plug)

    async def close(self) -> None:
        """A topic needs none."""
