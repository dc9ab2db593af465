"""What every link does with a message: hello first, of this version, chain and contract; what is refused is answered and quarantined."""

from collections.abc import Callable
from typing import Any

from wattseal.errors import Malformed, ProtocolError, UnsupportedVersion, WrongChain
from wattseal.protocol.messages import PROTOCOL_VERSION, Gone, Hello, PlugMessage, parse_plug_message
from wattseal.relay.links.connection import Connection, PlugHandler

MAX_REFUSED_FRAMES = 100  # of one connection


class Door:
    """Hears the plugs of one chain and contract."""

    def __init__(self, chain_id: int, contract: bytes, handler: PlugHandler) -> None:
        self._chain_id = chain_id
        self._contract = contract
        self.handler = handler

    async def hear(self, connection: Connection, raw: bytes, decode: Callable[[bytes], dict[str, Any]]) -> bool:
        """Take what a plug said, which `decode` makes a message of; return whether the connection goes on.

        Raises PlugOffline, and what the handler raises but for ProtocolError.
        """
        message: PlugMessage | None = None
        try:
            message = self._parse(decode(raw))
            if isinstance(message, Gone):
                return False
            await self._dispatch(connection, message)
        except ProtocolError as error:
            return await self.refuse(connection, error, raw, getattr(message, "session", None))
        return True

    async def refuse(self, connection: Connection, error: ProtocolError, raw: bytes, session: bytes | None = None) -> bool:
        """Quarantine what is not taken and answer it; return whether the connection goes on. Raises PlugOffline."""
        await self.handler.quarantine(connection.peer, error, raw, connection.hello.plug if connection.hello else None)
        await connection.refuse(error, session)
        at_the_door = connection.hello is None and isinstance(error, (UnsupportedVersion, WrongChain))
        return not at_the_door and connection.refusals <= MAX_REFUSED_FRAMES

    def _parse(self, frame: dict[str, Any]) -> PlugMessage:
        # Another version's hello may have other keys, so this comes first.
        if frame["type"] == Hello.type and frame.get("version") != PROTOCOL_VERSION:
            raise unsupported_version(frame.get("version"))
        return parse_plug_message(frame)

    async def _dispatch(self, connection: Connection, message: PlugMessage) -> None:
        if connection.hello is not None:
            if isinstance(message, Hello):
                raise Malformed("a second hello on one connection; connect anew")
            await self.handler.received(connection, message)
            return
        if not isinstance(message, Hello):
            raise Malformed(f"{message.type} before hello; say hello first")
        if (message.chain_id, message.contract) != (self._chain_id, self._contract):
            raise WrongChain(
                f"the plug is set to chain {message.chain_id} and contract 0x{message.contract.hex()}, "
                f"this relay to {self._chain_id} and 0x{self._contract.hex()}: correct the plug's config.json or the relay's options"
            )
        connection.hello = message
        await self.handler.connected(connection)


def unsupported_version(version: object) -> UnsupportedVersion:
    """Return the error for a plug of another version of the protocol."""
    return UnsupportedVersion(f"the plug speaks version {version!r:.40} of the protocol, this relay {PROTOCOL_VERSION}: update the older one")
