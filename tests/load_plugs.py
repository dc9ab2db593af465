"""A load generator: thousands of plugs at an MQTT broker, whose receipts are signed ahead. Used by bench_load.py.

It speaks MQTT itself, at QoS 1 as the plug does, over a few connections that share the plugs: a client library would cost more than what is measured.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from wattseal.protocol import ocmf, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, ReceiptMessage, SessionMessage, Voucher, to_hex
from wattseal.protocol.typed_data import FLAG_CHAIN_CLOCK

CHAIN_ID = 31337
CONTRACT = b"\x11" * 20
HOST = b"\x33" * 20
START = 1_790_000_000
DOMAIN = domain_separator(CHAIN_ID, CONTRACT)
WH_EACH = 150
SECONDS_EACH = 300
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class SignedAhead:
    """What one plug will say: hello, session, a status, receipts; each the payload of a message. `session` is the session's id in hex."""

    plug: str
    session: str
    hello: bytes
    opening: bytes
    charging: bytes
    receipts: tuple[bytes, ...]

    @property
    def up(self) -> bytes:
        """The plug's topic."""
        return f"wattseal/1/{self.plug[:2]}/{self.plug}/up".encode()


def sign_one(number: int, receipts: int) -> SignedAhead:
    """Make one plug with its session and receipts."""
    plug_key, driver_key = sha256(b"plug %d" % number).digest(), sha256(b"driver %d" % number).digest()
    plug, driver = signatures.address(plug_key), signatures.address(driver_key)
    voucher = Voucher(driver, HOST, plug, bytes(20), 0, 10**14, 10**13, 4906, 10**16, START, START + 86_400, number + 1)
    session = voucher.digest(DOMAIN)
    opening = SessionMessage(session, voucher, signatures.sign(driver_key, session))
    hello = {"type": "hello", "version": 1, "plug": to_hex(plug), "chain_id": CHAIN_ID, "contract": to_hex(CONTRACT)}
    hello |= {"firmware": "0.1.0", "board": "load", "rated_power_w": 3680}
    charging = {"type": "status", "state": "charging", "session": to_hex(session), "at": START, "voltage_mv": 230_000, "current_ma": 7826}
    charging |= {"power_mw": 1_800_000, "register_mwh": 1_000_000, "contactor": 1, "frequency_mhz": 50_000, "contact_mc": None, "plug_mc": None}
    charging |= {"guard": "closed", "waits_for": None, "trip": None, "trip_detail": None, "weld": "ok"}
    signed = tuple(_receipt(plug, plug_key, session, sequence) for sequence in range(1, receipts + 1))
    return SignedAhead(plug.hex(), to_hex(session), _payload(hello), _payload(opening.frame()), _payload(charging), signed)


def _receipt(plug: bytes, key: bytes, session: bytes, sequence: int) -> bytes:
    seconds = SECONDS_EACH * sequence
    reading = Receipt(session, sequence, START, START + seconds, seconds, 1000, WH_EACH * sequence, FLAG_CHAIN_CLOCK, bytes(32))
    payload = ocmf.build(reading, plug, "0.1.0", sha256(session + sequence.to_bytes(4)).digest()[:16], bytes(32))
    receipt = Receipt(
        session, sequence, START, START + seconds, seconds, 1000, WH_EACH * sequence, FLAG_CHAIN_CLOCK, sha256(payload.encode()).digest()
    )
    return _payload(ReceiptMessage(receipt, signatures.sign(key, receipt.digest(DOMAIN)), payload).frame())


def _payload(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _sign_some(numbers: Sequence[int], receipts: int) -> list[SignedAhead]:
    return [sign_one(number, receipts) for number in numbers]


def sign_ahead(plugs: int, receipts: int) -> list[SignedAhead]:
    """Make `plugs` plugs with so many receipts each, on both cores."""
    parts = [range(start, min(start + 250, plugs)) for start in range(0, plugs, 250)]
    with ProcessPoolExecutor(2) as pool:
        return [one for part in pool.map(_sign_some, parts, [receipts] * len(parts)) for one in part]


class Sender(asyncio.Protocol):
    """One connection to the broker for some of the plugs. `acknowledged(session, sequence)` is called for each `ack`."""

    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._packet_id = 0
        self.ready = asyncio.get_running_loop().create_future()

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Send at QoS 1."""
        self._packet_id = self._packet_id % 65535 + 1
        body = len(topic).to_bytes(2) + topic + self._packet_id.to_bytes(2) + payload
        self.write(b"\x32" + _size(len(body)) + body)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._transport is None:
            raise ConnectionError("the broker is gone")
        self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        client_id = b"load-%d" % id(self)
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(client_id).to_bytes(2) + client_id
        self.write(b"\x10" + _size(len(body)) + body)

    def subscribe(self, topics: Sequence[bytes]) -> None:
        """Ask for what is sent to these plugs, at QoS 0."""
        body = b"\x00\x01" + b"".join(len(topic).to_bytes(2) + topic + b"\x00" for topic in topics)
        self.write(b"\x82" + _size(len(body)) + body)

    def data_received(self, data: bytes) -> None:
        """Take packets apart."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            start, size, shift = at + 1, 0, 0
            while start < len(buffer):
                byte = buffer[start]
                size |= (byte & 127) << shift
                start, shift = start + 1, shift + 7
                if byte < 128:
                    break
            else:
                break
            if len(buffer) - start < size:
                break
            self._take(buffer[at] >> 4, bytes(buffer[start : start + size]))
            at = start + size
        del buffer[:at]

    def _take(self, kind: int, body: bytes) -> None:
        if kind == 3:
            self._fleet.heard(body[2 + int.from_bytes(body[:2]) :])
        elif kind in (2, 9) and not self.ready.done():
            self.ready.set_result(None)

    def close(self) -> None:
        """Take leave."""
        self.write(b"\xe0\x00")
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember."""
        self._transport = None


def _size(value: int) -> bytes:
    size = bytearray()
    while value > 127:
        size.append(value & 127 | 128)
        value >>= 7
    size.append(value)
    return bytes(size)


class Fleet:
    """All plugs, connected. Times are seconds of the monotonic clock."""

    def __init__(self, plugs: Sequence[SignedAhead]) -> None:
        self.plugs = plugs
        self.other: dict[str, int] = {}  # what came beside acknowledgements, by type
        self.greeted = 0
        self._senders: list[Sender] = []
        self._sent_at: dict[tuple[str, int], float] = {}
        self._latencies: list[float] = []
        self._changed = asyncio.Event()

    async def connect(self, host: str, port: int) -> Self:
        """Connect to the broker; nothing is said yet."""
        loop = asyncio.get_running_loop()
        for number in range(CONNECTIONS):
            _, sender = await loop.create_connection(lambda: Sender(self), host, port)
            await sender.ready
            sender.ready = loop.create_future()
            sender.subscribe([b"wattseal/1/%02x/+/down" % shard for shard in range(256) if shard % CONNECTIONS == number])
            await sender.ready
            self._senders.append(sender)
        return self

    def close(self) -> None:
        """Hang up."""
        for sender in self._senders:
            sender.close()

    def say(self, plug: SignedAhead, payload: bytes) -> None:
        """Publish as a plug."""
        self._senders[int(plug.plug[:2], 16) % CONNECTIONS].publish(plug.up, payload)

    def heard(self, payload: bytes) -> None:
        """Take what the relay says to a plug."""
        message = json.loads(payload)
        if message["type"] == "ack":
            sent_at = self._sent_at.pop((message["session"], message["sequence"]), None)
            if sent_at is not None:
                self._latencies.append(time.monotonic() - sent_at)
        else:
            kind = message["type"] if message["type"] != "refused" else f"refused: {message['code']}"
            self.other[kind] = self.other.get(kind, 0) + 1
        self._changed.set()

    def send_receipt(self, plug: SignedAhead, index: int) -> None:
        """Send a plug's receipt number `index`, counted from 0."""
        self._sent_at[plug.session, index + 1] = time.monotonic()
        self.say(plug, plug.receipts[index])

    async def all_heard(self, kind: str, count: int, timeout_s: float) -> None:
        """Wait until a message of this type has come so often. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.other.get(kind, 0) < count:
                self._changed.clear()
                await self._changed.wait()

    async def as_fast_as_possible(self, indices: range, window: int, timeout_s: float) -> float:
        """Send these receipts of every plug with at most `window` unacknowledged; return acknowledgements a second. Raises TimeoutError."""
        begin = time.monotonic()
        async with asyncio.timeout(timeout_s):
            for index in indices:
                for plug in self.plugs:
                    while len(self._sent_at) >= window:
                        self._changed.clear()
                        await self._changed.wait()
                    self.send_receipt(plug, index)
            while self._sent_at:
                self._changed.clear()
                await self._changed.wait()
        return len(indices) * len(self.plugs) / (time.monotonic() - begin)

    async def at_a_rate(self, indices: range, per_s: float, timeout_s: float) -> list[float]:
        """Send these receipts of every plug at an even rate, whatever is acknowledged; return the seconds that each took. Raises TimeoutError."""
        self._latencies.clear()
        begin = time.monotonic()
        sent = 0
        async with asyncio.timeout(timeout_s):
            for index in indices:
                for plug in self.plugs:
                    if (wait_s := begin + sent / per_s - time.monotonic()) > 0:
                        await asyncio.sleep(wait_s)
                    self.send_receipt(plug, index)
                    sent += 1
            while self._sent_at:
                self._changed.clear()
                await self._changed.wait()
        return sorted(self._latencies)
