"""Plugs at an MQTT broker (docs/protocol.md, "Over MQTT"): one connection to the broker, one `Connection` for each plug.

What comes waits in a queue of its plug, and each plug with something in its queue has its turn, message by message. While all queues
together are full nothing more is read, so the broker keeps it.
"""

import asyncio
import json
import logging
import random
import re
from collections import deque
from collections.abc import Coroutine
from typing import Any

from wattseal.errors import BrokerError, BrokerRefused, FrameError, Malformed, PlugOffline, ProtocolError, TooFast, WattsealError, WrongPlug
from wattseal.protocol import framing
from wattseal.protocol.messages import PROTOCOL_VERSION, Gone, Greet, Hello, Message, Ping, to_hex
from wattseal.relay.links.connection import Connection, PlugHandler, Timings
from wattseal.relay.links.door import Door, unsupported_version
from wattseal.relay.links.mqtt_client import BrokerAddress, MqttClient
from wattseal.relay.links.mqtt_peers import GREET_EVERY_S, Peer, TopicWire
from wattseal.relay.links.pace import Pace

MAX_PAYLOAD_UP = 4000
MAX_PLUGS = 20_000
INBOX = 4096  # messages of all plugs that are not dealt with yet
PLUG_INBOX = 256  # those of one plug
GREETS_PER_S = 200  # when the broker is back
REFRESH_S = 6 * 3600  # a broker whose queue is full drops messages and tells nobody, so each plug starts over now and then
LONGEST_PAUSE_S = 60
ALL_SHARDS = range(256)

_TOPIC = re.compile(r"wattseal/([0-9]{1,3})/([0-9a-f]{2})/([0-9a-f]{40})/up")
_CHUNK = 100  # plugs that are looked after between two turns of the loop

_log = logging.getLogger(__name__)


class MqttLink:
    """The plugs of some shards, at one broker."""

    def __init__(self, chain_id: int, contract: bytes, handler: PlugHandler, timings: Timings, shards: range = ALL_SHARDS) -> None:
        """`shards` are the first bytes of the plugs' ids that this relay serves."""
        self.dropped = 0  # messages of plugs that were too fast, or too many
        self._door = Door(chain_id, contract, handler)
        self._timings = timings
        self._filters = ["wattseal/+/+/+/up"] if shards == ALL_SHARDS else [f"wattseal/+/{shard:02x}/+/up" for shard in shards]
        self._peers: dict[bytes, Peer] = {}
        self._client: MqttClient | None = None
        self._waiting = 0  # messages in all queues, and those being dealt with
        self._strays = Pace()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, address: BrokerAddress) -> None:
        """Connect, and stay connected. Raises BrokerRefused where the broker does not take this relay; one that does not answer is waited for."""
        try:
            self._client = await self._connect(address)
        except BrokerRefused:
            raise
        except BrokerError as error:
            _log.warning("the broker does not answer yet", extra={"broker": str(address), "why": str(error)})
        self._spawn(self._stay_connected(address))
        self._spawn(self._look_after_plugs())

    async def check(self) -> str | None:
        """Return why no plug can be heard, or None."""
        return None if self._client is not None else "no connection to the broker: is it running, and does it take this relay's credentials?"

    async def close(self) -> None:
        """End every connection, and the one to the broker."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in tuple(self._peers.values()):
            await self._end(peer, peer.connection)
        if self._client is not None:
            await self._client.close()

    async def publish(self, topic: str, message: Message) -> None:
        """Send to a plug. Raises ConnectionError."""
        if self._client is None:
            raise ConnectionResetError("the broker is away")
        await self._client.publish(topic, json.dumps(message.frame(), separators=(",", ":")).encode())

    def cut(self, plug: bytes) -> None:
        """End a plug's connection, if it has one, from anywhere."""
        peer = self._peers.get(plug)
        if peer is not None:
            self._spawn(self._end(peer, peer.connection))

    # -- the broker -------------------------------------------------------------------------------------------------------------------

    async def _connect(self, address: BrokerAddress) -> MqttClient:
        return await MqttClient.connect(address, self._filters, self._receive, MAX_PAYLOAD_UP)

    async def _stay_connected(self, address: BrokerAddress) -> None:
        loop = asyncio.get_running_loop()
        pause_s = 1.0
        known: list[Peer] = []
        while True:
            try:
                client = self._client or await self._connect(address)
            except BrokerError as error:
                _log.warning("no connection to the broker", extra={"broker": str(address), "code": error.code, "why": str(error)})
            else:
                self._client = client
                _log.info("connected to the broker", extra={"broker": str(address)})
                since_s = loop.time()
                greeting = self._spawn(self._greet_all(known))
                reason = await asyncio.shield(client.ended)
                _log.warning("lost the broker", extra={"broker": str(address), "why": reason})
                greeting.cancel()
                self._client = None
                # Nobody knows what the plugs said meanwhile: each has to start over.
                known = [peer for peer in self._peers.values() if peer.connection is not None]
                for peer in known:
                    peer.greeted_s = -GREET_EVERY_S
                    await self._end(peer, peer.connection)
                if loop.time() - since_s > LONGEST_PAUSE_S:
                    pause_s = 1.0
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - not for secrets: so that relays do not come all at once
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _greet_all(self, peers: list[Peer]) -> None:
        for peer in peers:
            if peer.connection is None:
                await self._greet(peer)
                await asyncio.sleep(1 / GREETS_PER_S)

    # -- what comes -------------------------------------------------------------------------------------------------------------------

    def _receive(self, topic: str, payload: bytes, is_retained: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        match = _TOPIC.fullmatch(topic)
        if match is None or match[2] != match[3][:2] or is_retained:
            self.dropped += 1
            if self._strays.take(now_s):
                wrong = "a retained message" if is_retained else f"the topic {topic!r:.120}"
                refused = Malformed(f"{wrong} is not one of docs/protocol.md, Over MQTT")
                self._spawn(self._door.handler.quarantine("mqtt", refused, payload, None))
            return
        peer = self._peer(bytes.fromhex(match[3]))
        if peer is None:
            self.dropped += 1
            return
        if not peer.pace.take(now_s) or (peer.queue is not None and len(peer.queue) >= PLUG_INBOX):
            self.dropped += 1
            if not peer.too_fast:
                peer.too_fast = True
                self._spawn(
                    self._refuse(peer, TooFast("the plug sends more than this relay takes from one: what is not acknowledged is dropped"), payload)
                )
            return
        peer.heard_s = now_s
        if int(match[1]) != PROTOCOL_VERSION:
            wire = TopicWire(self, peer.plug, int(match[1]))
            self._spawn(self._refuse_by(Connection(peer.name, wire, self._timings), unsupported_version(int(match[1])), payload))
            return
        if peer.queue is None:
            peer.queue = deque()
        peer.queue.append(payload)
        self._waiting += 1
        if self._waiting >= INBOX and self._client is not None:
            self._client.pause()
        if not peer.is_worked:
            peer.is_worked = True
            self._spawn(self._work(peer))

    def _peer(self, plug: bytes) -> Peer | None:
        peer = self._peers.get(plug)
        if peer is None and len(self._peers) < MAX_PLUGS:
            peer = self._peers[plug] = Peer(plug, TopicWire(self, plug))
        return peer

    async def _work(self, peer: Peer) -> None:
        """Deal with what a plug has in its queue, the others having their turns between two messages."""
        try:
            while peer.queue:
                payload = peer.queue.popleft()
                try:
                    await self._take(peer, payload)
                finally:
                    self._done(1)
                await asyncio.sleep(0)
        finally:
            self._done(len(peer.queue or ()))  # after an error that nobody expected
            peer.queue = None
            peer.is_worked = False

    def _done(self, messages: int) -> None:
        self._waiting -= messages
        if self._waiting <= INBOX // 2 and self._client is not None:
            self._client.resume()

    async def _take(self, peer: Peer, payload: bytes) -> None:
        try:
            frame = _decode(payload)
        except FrameError as error:
            await self._refuse(peer, error, payload)
            return
        connection = peer.connection
        if frame["type"] == Hello.type:
            await self._end(peer, connection)
            connection = peer.connection = Connection(peer.name, peer.wire, self._timings)
            peer.greeted_s = asyncio.get_running_loop().time()
        elif connection is None:
            if frame["type"] != Gone.type:
                await self._greet(peer)
            return
        try:
            goes_on = await self._door.hear(connection, payload, lambda _: _of_plug(frame, peer.plug))
        except PlugOffline as error:
            goes_on = False
            _log.info("connection lost", extra={"peer": peer.name, "why": str(error)})
        except WattsealError as error:
            # Not acknowledged: the plug is greeted when it is heard again, and sends again.
            goes_on = False
            _log.error("closed a connection", extra={"peer": peer.name, "code": error.code, "why": str(error)})
        if not goes_on or connection.hello is None:
            await self._end(peer, connection)

    async def _refuse(self, peer: Peer, error: ProtocolError, payload: bytes) -> None:
        await self._refuse_by(peer.connection or Connection(peer.name, peer.wire, self._timings), error, payload)

    async def _refuse_by(self, connection: Connection, error: ProtocolError, payload: bytes) -> None:
        try:
            await self._door.refuse(connection, error, payload)
        except PlugOffline:
            pass
        except WattsealError as failure:
            _log.error("a refused message is not kept", extra={"peer": connection.peer, "code": failure.code, "why": str(failure)})

    # -- the plugs --------------------------------------------------------------------------------------------------------------------

    async def _greet(self, peer: Peer) -> None:
        """Have a plug start over."""
        now_s = asyncio.get_running_loop().time()
        if now_s - peer.greeted_s >= GREET_EVERY_S:
            peer.greeted_s = now_s
            try:
                await peer.wire.send(Greet())
            except ConnectionError:
                peer.greeted_s = -GREET_EVERY_S

    async def _end(self, peer: Peer, connection: Connection | None) -> None:
        if connection is None or peer.connection is not connection:
            return
        peer.connection = None
        if connection.hello is not None:
            self._door.handler.disconnected(connection)
        await connection.close()

    async def _look_after_plugs(self) -> None:
        """Ping the plugs, end silent connections, greet who was too fast and has calmed down, forget who is gone."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timings.ping_s)
            for number, peer in enumerate(tuple(self._peers.values())):
                if number % _CHUNK == _CHUNK - 1:
                    await asyncio.sleep(0.01)
                await self._look_after(peer, loop.time())

    async def _look_after(self, peer: Peer, now_s: float) -> None:
        connection = peer.connection
        if connection is not None and now_s - peer.heard_s > self._timings.silence_s:
            _log.info("closed a silent connection", extra={"peer": peer.name})
            await self._end(peer, connection)
        elif peer.too_fast and peer.pace.is_rested(now_s):
            peer.too_fast = False
            await self._greet(peer)
        elif connection is not None and now_s - peer.greeted_s > REFRESH_S:
            await self._greet(peer)
        elif connection is not None:
            try:
                await connection.send(Ping())
            except PlugOffline as error:
                _log.info("connection lost", extra={"peer": peer.name, "why": str(error)})
        elif not peer.is_worked and peer.pace.is_rested(now_s) and now_s - peer.greeted_s > GREET_EVERY_S:
            del self._peers[peer.plug]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _decode(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_UP:
        raise FrameError(f"a payload of more than {MAX_PAYLOAD_UP} bytes")
    return framing.decode_object(payload)


def _of_plug(frame: dict[str, Any], plug: bytes) -> dict[str, Any]:
    if frame["type"] == Hello.type and frame.get("version") == PROTOCOL_VERSION and frame.get("plug") != to_hex(plug):
        raise WrongPlug(f"hello of plug {frame.get('plug')!r:.44} on the topic of plug {to_hex(plug)}: a plug speaks on its own topic")
    return frame
