"""A driver, a plug and a host with keys of their own, a chain that does what a test says, and a plug scripted over TCP."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_hash.auto import keccak
from wattseal.errors import GatewayError, SubmissionError
from wattseal.gateway.settlements import Step
from wattseal.gateway.types import Claim, SessionState, Settlement
from wattseal.protocol import framing, ocmf, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, ReceiptMessage, SessionMessage, Stop, StopMessage, Voucher, VoucherMessage, due, to_hex
from wattseal.protocol.typed_data import FLAG_CHAIN_CLOCK, FLAG_FINAL
from wattseal.relay.links import Timings
from wattseal.relay.links.tcp import PlugServer
from wattseal.relay.service import Relay
from wattseal.relay.settle_policy import SettlePolicy
from wattseal.store import Store

from tests.postgresql import Cluster, cluster, why_not

NONE, OPEN, CLOSED = 0, 1, 2
PATIENCE_S = 10


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class P256Key:
    """A plug's key like a secure element's; `sign` gives 128 bytes, with the other s where asked to."""

    def __init__(self, secret: int) -> None:
        self._key = ec.derive_private_key(secret, ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self.public_key = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self.plug = keccak(b"P256" + self.public_key)[-20:]

    def sign(self, digest: bytes, is_high: bool = False) -> bytes:
        r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(Prehashed(SHA256()))))
        if (s > P256_ORDER // 2) != is_high:
            s = P256_ORDER - s
        return r.to_bytes(32, "big") + s.to_bytes(32, "big") + self.public_key


class Actors:
    """Signs whatever a test wants to say. Every value can be changed by keyword."""

    chain_id = 31337
    contract = bytes.fromhex("5fbdb2315678afecb367f032d93f642f64180aa3")
    now = 1_772_000_000
    driver_key, plug_key, other_plug_key = (bytes([number]) * 32 for number in (1, 2, 3))
    host = b"\x44" * 20

    def __init__(self) -> None:
        self.domain = domain_separator(self.chain_id, self.contract)
        self.driver = signatures.address(self.driver_key)
        self.plug = signatures.address(self.plug_key)
        self.other_plug = signatures.address(self.other_plug_key)

    def voucher(self, **changes: Any) -> Voucher:
        terms: dict[str, Any] = {
            "driver": self.driver,
            "host": self.host,
            "plug": self.plug,
            "token": bytes(20),
            "funding": 0,
            "pricePerKwh": 10**15,
            "pricePerHour": 10**14,
            "maxPowerW": 2875,
            "cap": 10**17,
            "issuedAt": self.now,
            "validUntil": self.now + 86_400,
            "nonce": 7,
        }
        return Voucher(**terms | changes)

    def session(self, voucher: Voucher | None = None, key: bytes | None = None) -> SessionMessage:
        voucher = voucher or self.voucher()
        digest = voucher.digest(self.domain)
        return SessionMessage(digest, voucher, signatures.sign(key or self.driver_key, digest))

    def voucher_message(self, voucher: Voucher | None = None) -> VoucherMessage:
        accepted = self.session(voucher)
        return VoucherMessage(accepted.voucher, accepted.signature)

    def stop(self, session: bytes, key: bytes | None = None) -> StopMessage:
        return StopMessage(session, signatures.sign(key or self.driver_key, Stop(session).digest(self.domain)))

    def receipt(self, session: bytes, sequence: int, final: bool = False, **changes: Any) -> Receipt:
        totals: dict[str, Any] = {
            "session": session,
            "sequence": sequence,
            "startedAt": self.now + 60,
            "asOf": self.now + 60 + 300 * sequence,
            "activeSeconds": 290 * sequence,
            "registerWh": 1_000_000,
            "energyWh": 150 * sequence,
            "flags": FLAG_CHAIN_CLOCK | (FLAG_FINAL if final else 0),
            "evidence": bytes(32),
        }
        return Receipt(**totals | changes)

    def signed(self, receipt: Receipt, plug: bytes | None = None, key: bytes | None = None, domain: bytes | None = None) -> ReceiptMessage:
        """Give a receipt its payload, evidence and signature."""
        payload = ocmf.build(receipt, plug or self.plug, "0.1.0", sha256(b"salt %d" % receipt.sequence).digest()[:16], bytes(32))
        receipt = replace(receipt, evidence=sha256(payload.encode()).digest())
        return ReceiptMessage(receipt, signatures.sign(key or self.plug_key, receipt.digest(domain or self.domain)), payload)

    def receipt_message(self, session: bytes, sequence: int, final: bool = False, **changes: Any) -> ReceiptMessage:
        return self.signed(self.receipt(session, sequence, final, **changes))

    def hello(self, **changes: Any) -> dict[str, Any]:
        return {
            "type": "hello",
            "version": 1,
            "plug": to_hex(self.plug),
            "chain_id": self.chain_id,
            "contract": to_hex(self.contract),
            "firmware": "0.1.0",
            "board": "test",
            "rated_power_w": 2300,
        } | changes

    def status(self, state: str, session: bytes | None = None, **changes: Any) -> dict[str, Any]:
        return {
            "type": "status",
            "state": state,
            "session": None if session is None else to_hex(session),
            "at": self.now,
            "voltage_mv": 230_000,
            "current_ma": 10_000,
            "power_mw": 2_300_000,
            "register_mwh": 1_000_000_000,
            "contactor": int(state == "charging"),
            "frequency_mhz": 50_000,
            "contact_mc": 31_500,
            "plug_mc": None,
            "guard": "closed" if state == "charging" else "open",
            "waits_for": None,
            "trip": None,
            "trip_detail": None,
            "weld": "ok",
        } | changes


class FakeGateway:
    """A chain that needs no node. Thread-safe, since the relay calls it from worker threads."""

    sender = b"\x99" * 20

    def __init__(self) -> None:
        self.head = Actors.now + 30 * 86_400
        self.states: dict[bytes, SessionState] = {}
        self.settled: list[Receipt] = []
        self.failures: list[GatewayError] = []
        self.calls = 0
        self._lock = threading.Lock()

    def head_timestamp(self) -> int:
        with self._lock:
            self.calls += 1
            return self.head

    def session_state(self, session: bytes) -> SessionState:
        with self._lock:
            self.calls += 1
            return self.states.get(session, SessionState(NONE, 0))

    def base_fee_wei(self) -> int:
        return 10**9

    def settle_many(self, claims: Sequence[Claim]) -> list[Step]:
        return [self._settle(claim) for claim in claims]

    def _settle(self, claim: Claim) -> Step:
        voucher, receipt = claim.voucher, claim.receipt
        with self._lock:
            self.calls += 1
            if self.failures:
                return self.failures.pop(0)
            if receipt.session not in self.states:
                return SubmissionError("the session is not open yet")
            before = self.states[receipt.session].paid
            total = due(voucher, receipt)
            self.states[receipt.session] = SessionState(NONE, 0) if receipt.final else SessionState(OPEN, total)
            self.settled.append(receipt)
            return Settlement(b"\x11" * 32, 12, b"\x22" * 32, 41_804, total - before, total, proof_verified=True, final=True)

    def open(self, session: bytes) -> None:
        with self._lock:
            self.states[session] = SessionState(OPEN, 0)


class ScriptedPlug:
    """The plug's end of a link, one frame at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[dict[str, Any]] = []

    async def send(self, *messages: dict[str, Any]) -> None:
        await self.send_raw(b"".join(framing.encode(message) for message in messages))

    async def send_raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type; others before it are kept in `heard`."""
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.reader.readline():
                message = framing.decode(line[:-1])
                self.heard.append(message)
                if message["type"] == kind:
                    return message
        raise AssertionError(f"connection closed without {kind}; heard {self.heard}")

    async def closed(self) -> None:
        """Wait until the relay has closed the connection."""
        with contextlib.suppress(ConnectionResetError):  # what the relay had not read when it closed
            async with asyncio.timeout(PATIENCE_S):
                while line := await self.reader.readline():
                    self.heard.append(framing.decode(line[:-1]))

    async def close(self) -> None:
        self.writer.close()


class RunningRelay:
    """A relay with real sockets and a real store."""

    def __init__(self, store: Store, gateway: FakeGateway, actors: Actors, timings: Timings, policy: SettlePolicy | None = None) -> None:
        self.store = store
        self.gateway = gateway
        self.actors = actors
        self.relay = Relay(actors.chain_id, actors.contract, store, gateway, timings, policy or SettlePolicy())
        self.server = PlugServer(actors.chain_id, actors.contract, self.relay, timings)
        self.address = ("", 0)
        self._plugs: list[ScriptedPlug] = []

    async def __aenter__(self) -> "RunningRelay":
        self.address = await self.server.start("127.0.0.1", 0)
        self._settling = asyncio.create_task(self.relay.settler.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._settling.cancel()
        for plug in self._plugs:
            await plug.close()
        await self.server.close()
        self.relay.close()

    async def connect(self, hello: dict[str, Any] | None = None) -> ScriptedPlug:
        """Connect a plug that has said hello and was told the time."""
        plug = await self.connect_silent()
        await plug.send(hello or self.actors.hello())
        await plug.expect("time")
        return plug

    async def connect_silent(self) -> ScriptedPlug:
        plug = ScriptedPlug(*await asyncio.open_connection(*self.address))
        self._plugs.append(plug)
        return plug

    async def charge(self, plug: ScriptedPlug, voucher: Voucher | None = None) -> bytes:
        """Have a session accepted; return it."""
        accepted = self.actors.session(voucher)
        await plug.send(accepted.frame())
        await until(lambda: self.store.voucher(accepted.session) is not None)
        return accepted.session

    def quarantined_codes(self) -> list[str]:
        return [entry.code for entry in reversed(self.store.quarantined(limit=1000))]


async def until(holds: Callable[[], bool]) -> None:
    """Give the event loop turns until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "nothing happened"
        await asyncio.sleep(0.001)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server for the whole run."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a new store: a file, then a database."""
    if request.param == "sqlite":
        return str(tmp_path / "relay.sqlite")
    running: Cluster = request.getfixturevalue("postgresql")
    return running.empty_database()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def actors() -> Actors:
    return Actors()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def timings() -> Timings:
    return Timings(poll_s=0.01, answer_s=PATIENCE_S)


@pytest.fixture
def policy() -> SettlePolicy:
    return SettlePolicy()


@pytest.fixture
async def running(tmp_path: Path, gateway: FakeGateway, actors: Actors, timings: Timings, policy: SettlePolicy) -> AsyncIterator[RunningRelay]:
    store = Store(tmp_path / "relay.sqlite")
    async with RunningRelay(store, gateway, actors, timings, policy) as relay:
        yield relay
    store.close()
