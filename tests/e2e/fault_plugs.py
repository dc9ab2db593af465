"""Plugs that keep to the rules of docs/protocol.md, on lines that do not: what they say comes late, twice and in another order.

A plug has an outbox as the real one has: hello first, `session` before the session's first receipt, the newest receipt of every session until
it is acknowledged, and all of it anew on a new connection and when it is greeted. Everything is dealt by dice with a seed.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import aiomqtt
from wattseal.protocol import framing, signatures
from wattseal.protocol.messages import ReceiptMessage, SessionMessage, Voucher, due, to_hex

from tests.host_tools.conftest import Actors
from tests.host_tools.relay.links.conftest import plug_client

START_UTC = 1_772_000_000  # when all vouchers are issued
RECEIPTS = 12  # of a session
# A real plug's minutes, or seconds, are milliseconds here.
STATUS_S = 0.1
PAUSE_S = (0.02, 0.1)
DELAY_S = 0.04
GREET_S = 0.1
RESENT_OLD = 0.2  # how often an older receipt comes along
TWICE = 0.2


class Party(Actors):
    """A plug with its driver; all of them charge at the same host."""

    host = signatures.address(b"\x44" * 32)

    def __init__(self, number: int, contract: bytes) -> None:
        self.plug_key, self.driver_key = sha256(b"plug %d" % number).digest(), sha256(b"driver %d" % number).digest()
        self.contract = contract
        self.now = START_UTC
        super().__init__()


class Charge:
    """One session, and how far it is. `made` are its receipts so far, in order."""

    def __init__(self, party: Party, number: int) -> None:
        self.party = party
        self.opening: SessionMessage = party.session(party.voucher(nonce=number + 1))
        self.made: list[ReceiptMessage] = []
        self.acknowledged: set[int] = set()
        self.is_settled = False

    @property
    def session(self) -> bytes:
        return self.opening.session

    @property
    def voucher(self) -> Voucher:
        return self.opening.voucher

    @property
    def is_over(self) -> bool:
        return len(self.made) == RECEIPTS

    @property
    def due(self) -> int:
        """What the final receipt is worth."""
        assert self.made[-1].receipt.final
        return due(self.voucher, self.made[-1].receipt)

    @property
    def is_acknowledged(self) -> bool:
        """Whether the newest receipt is."""
        return not self.made or self.made[-1].receipt.sequence in self.acknowledged

    def go_on(self) -> None:
        """Make the next receipt."""
        sequence = len(self.made) + 1
        self.made.append(self.party.receipt_message(self.session, sequence, final=sequence == RECEIPTS))


Send = Callable[[dict[str, Any]], Awaitable[None]]


class TcpLine:
    """A connection to the relay."""

    is_mqtt = False

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(self, serve: Callable[[Send], Awaitable[None]], hear: Callable[[dict[str, Any]], None]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)

        async def send(message: dict[str, Any]) -> None:
            writer.write(framing.encode(message))
            await writer.drain()

        async def listen() -> None:
            while (line := await reader.readline()).endswith(b"\n"):
                hear(framing.decode(line[:-1]))

        try:
            await _both(serve(send), listen())
        finally:
            writer.close()


class MqttLine:
    """A topic at the broker."""

    is_mqtt = True

    def __init__(self, port: int, plug: bytes) -> None:
        self._port = port
        self._plug = plug

    async def connect(self, serve: Callable[[Send], Awaitable[None]], hear: Callable[[dict[str, Any]], None]) -> None:
        topic = f"wattseal/1/{self._plug.hex()[:2]}/{self._plug.hex()}"
        async with plug_client(self._port, self._plug) as client:
            await client.subscribe(f"{topic}/down", qos=1)

            async def send(message: dict[str, Any]) -> None:
                await client.publish(f"{topic}/up", json.dumps(message).encode(), qos=1)

            async def listen() -> None:
                async for came in client.messages:
                    assert isinstance(came.payload, bytes)
                    hear(json.loads(came.payload))

            await _both(serve(send), listen())


async def _both(serving: Awaitable[None], listening: Awaitable[None]) -> None:
    """Run until one ends; the error is the connection's end."""
    tasks = [asyncio.ensure_future(serving), asyncio.ensure_future(listening)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


class FaultyPlug:
    """A plug, its sessions, and what it was told."""

    def __init__(self, party: Party, sessions: int, line: TcpLine | MqttLine, dice: random.Random) -> None:
        self.party = party
        self.charges = [Charge(party, number) for number in range(sessions)]
        self.refused: list[dict[str, Any]] = []
        self._line = line
        self._dice = dice
        self._by_session = {to_hex(charge.session): charge for charge in self.charges}
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: dict[bytes, int] = {}  # newest sequence on this connection
        self._greeted_s = float("-inf")

    @property
    def is_done(self) -> bool:
        """Whether the relay has told that all of it is paid."""
        return all(charge.is_settled for charge in self.charges)

    def go_on(self, sessions: int) -> bool:
        """Make one receipt more in the first of so many sessions that is not over, and have it sent; False where all of them are."""
        charge = next((charge for charge in self.charges[:sessions] if not charge.is_over), None)
        if charge is not None:
            charge.go_on()
            self._send_due()
        return charge is not None

    def finish(self) -> None:
        """Make all receipts of the first session that is not over."""
        charge = next((charge for charge in self.charges if not charge.is_over), None)
        while charge is not None and not charge.is_over:
            charge.go_on()
        self._send_due()

    async def run(self) -> None:
        """Stay connected for ever."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_BearsAiomqtt(loop.get_exception_handler()))
        while True:
            with suppress(OSError, EOFError, aiomqtt.MqttError):
                await self._line.connect(self._serve, self._hear)
            self._sent = {}
            await asyncio.sleep(self._dice.uniform(*PAUSE_S))

    async def _serve(self, send: Send) -> None:
        outgoing = self._outgoing = asyncio.Queue()
        self._start_over()
        ticking = asyncio.create_task(self._tick())
        try:
            while True:
                await send(await outgoing.get())
        finally:
            ticking.cancel()
            self._outgoing = asyncio.Queue()  # what is late is lost

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S * self._dice.uniform(0.5, 1.5))
            self._late(self.party.status("idle"))

    def _start_over(self) -> None:
        self._greeted_s = asyncio.get_running_loop().time()
        self._sent = {}
        self._outgoing.put_nowait(self.party.hello())
        if self._line.is_mqtt and self._dice.random() < TWICE:
            self._outgoing.put_nowait(self.party.hello())
        self._send_due()

    def _send_due(self) -> None:
        for charge in self.charges:
            if charge.is_acknowledged:
                continue
            newest = charge.made[-1]
            if charge.session not in self._sent:
                self._outgoing.put_nowait(charge.opening.frame())
                if self._dice.random() < TWICE:
                    self._late(charge.opening.frame())
            if self._sent.get(charge.session, 0) < newest.receipt.sequence:
                self._sent[charge.session] = newest.receipt.sequence
                self._late(newest.frame())
                while self._dice.random() < RESENT_OLD:
                    self._late(self._dice.choice(charge.made).frame())

    def _late(self, message: dict[str, Any]) -> None:
        """Say something after a while, perhaps twice; never on another connection."""
        loop, outgoing = asyncio.get_running_loop(), self._outgoing
        for _ in range(1 + (self._dice.random() < TWICE)):
            loop.call_later(self._dice.uniform(0, DELAY_S), outgoing.put_nowait, message)

    def _hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ack":
                charge = self._by_session[message["session"]]
                assert 0 < message["sequence"] <= len(charge.made)
                charge.acknowledged.add(message["sequence"])
            case "settled":
                self._by_session[message["session"]].is_settled = True
            case "greet" if asyncio.get_running_loop().time() - self._greeted_s >= GREET_S:
                self._start_over()
            case "refused":
                self.refused.append(message)
            case "ping":
                self._outgoing.put_nowait({"type": "pong", "budget_ma": None})


class _BearsAiomqtt:
    """Passes over one error: aiomqtt has its socket watched by a callback, and until that runs a broker that was killed may have closed it."""

    def __init__(self, others: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None) -> None:
        self.others = others.others if isinstance(others, _BearsAiomqtt) else others

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), OSError) and "_on_socket_register_write" in repr(context.get("handle")):
            return
        if self.others is not None:
            self.others(loop, context)
        else:
            loop.default_exception_handler(context)
