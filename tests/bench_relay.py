"""What the relay does with a receipt, without a link: signatures alone, commits alone, and the whole way in, on both databases."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import postgresql
from wattseal.protocol import ocmf, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.framing import strict_json
from wattseal.protocol.messages import Ack, Receipt, ReceiptMessage, SessionMessage, Voucher, parse_plug_message
from wattseal.relay.ingest import Ingest
from wattseal.store import Added, Store

PLUGS = 1000
RECEIPTS_OF_A_PLUG = 12
BATCH = 512
CHAIN_ID = 31337
START = 1_772_000_000
CONTRACT = b"\x5f" * 20
DOMAIN = domain_separator(CHAIN_ID, CONTRACT)


@dataclass(frozen=True)
class Figure:
    """Something measured, beside what it is held against."""

    name: str
    unit: str
    value: float
    beside: str
    beside_value: float


def sessions() -> list[tuple[SessionMessage, list[bytes]]]:
    """Return an accepted voucher and its receipts as they come over MQTT, for each plug."""
    driver = b"\x01" * 32
    made = []
    for number in range(PLUGS):
        secret = (1000 + number).to_bytes(32)
        plug = signatures.address(secret)
        terms = [signatures.address(driver), b"\x44" * 20, plug, bytes(20), 0, 10**15, 0, 2875, 10**17, START, START + 86_400, number]
        voucher = Voucher(*terms)  # type: ignore[arg-type]
        session = voucher.digest(DOMAIN)
        payloads = [json.dumps(_signed(secret, plug, session, n).frame(), separators=(",", ":")).encode() for n in range(RECEIPTS_OF_A_PLUG)]
        made.append((SessionMessage(session, voucher, signatures.sign(driver, session)), payloads))
    return made


def _signed(secret: bytes, plug: bytes, session: bytes, sequence: int) -> ReceiptMessage:
    receipt = Receipt(session, sequence, START, START + 300 * sequence, 300 * sequence, 1_000_000, 190 * sequence, 2, bytes(32))
    payload = ocmf.build(receipt, plug, "0.1.0", sequence.to_bytes(16), bytes(32))
    receipt = replace(receipt, evidence=sha256(payload.encode()).digest())
    return ReceiptMessage(receipt, signatures.sign(secret, receipt.digest(DOMAIN)), payload)


def figures(folder: Path) -> Iterator[Figure]:
    """Measure. Raises ValueError where a receipt was not stored as it should be."""
    made = sessions()
    messages = [parse_plug_message(strict_json(payload)) for _, payloads in made for payload in payloads]
    receipts = [message for message in messages if isinstance(message, ReceiptMessage)]
    digests = [(message.receipt.digest(DOMAIN), message.signature) for message in receipts]
    start, cpu = time.perf_counter(), time.process_time()
    for digest, signature in digests:
        signatures.recover(digest, signature)
    verified = len(digests) / (time.perf_counter() - start)
    signature_us = 1e6 * (time.process_time() - cpu) / len(digests)
    with ExitStack() as stack:
        places = {"SQLite": [str(folder / name) for name in ("commits.sqlite", "ingest.sqlite")]}
        if not postgresql.why_not():
            cluster = stack.enter_context(postgresql.cluster(fsync=True))
            places["PostgreSQL"] = [cluster.empty_database(name) for name in ("commits", "ingest")]
        for name, (commits, whole) in places.items():
            committed = _committed(commits, made, receipts)
            rate, cpu_us = asyncio.run(_ingested(whole, made))
            yield Figure(f"receipts verified, stored and answered, {name}", "1/s", rate, "signatures alone", verified)
            yield Figure(f"receipts verified, stored and answered, {name}", "1/s", rate, f"commits of {BATCH} alone", committed)
            yield Figure(f"our processor time for a receipt, {name}", "us", cpu_us, "its signature alone", signature_us)


def _committed(where: str, made: list[tuple[SessionMessage, list[bytes]]], receipts: list[ReceiptMessage]) -> float:
    store = Store(where)
    with store.transaction():
        for session, _ in made:
            store.add_voucher(session)
    rows = [(session.voucher.plug, receipt) for (session, _), receipt in zip(_each(made), receipts, strict=True)]
    start = time.perf_counter()
    for first in range(0, len(rows), BATCH):
        with store.transaction():
            store.add_receipts(rows[first : first + BATCH])
    rate = len(rows) / (time.perf_counter() - start)
    store.close()
    return rate


def _each(made: list[tuple[SessionMessage, list[bytes]]]) -> Iterator[tuple[SessionMessage, bytes]]:
    for session, payloads in made:
        for payload in payloads:
            yield session, payload


async def _ingested(where: str, made: list[tuple[SessionMessage, list[bytes]]]) -> tuple[float, float]:
    """Bring every plug's receipts, one after the other; return receipts per second and microseconds of this process's time for one."""
    store = Store(where)
    with store.transaction():
        for session, _ in made:
            store.add_voucher(session)
    ingest = Ingest(DOMAIN, store)

    async def plug(session: SessionMessage, payloads: list[bytes]) -> None:
        for payload in payloads:
            message = parse_plug_message(strict_json(payload))
            if not isinstance(message, ReceiptMessage):
                raise TypeError(message)
            status = await ingest.take(session.voucher.plug, message)
            answer = json.dumps(Ack(message.session, message.receipt.sequence, status.value).frame())
            if status is not Added.STORED or not answer:
                raise ValueError(f"{status} for receipt {message.receipt.sequence}")

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(plug(session, payloads) for session, payloads in made))
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    ingest.close()
    stored = sum(store.count_receipts(session.session) for session, _ in made)
    store.close()
    if stored != PLUGS * RECEIPTS_OF_A_PLUG:
        raise ValueError(f"{stored} receipts are stored")
    return stored / took, 1e6 * cpu / stored
