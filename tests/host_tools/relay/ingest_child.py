"""Takes receipts into a store until it is killed, over and over: each line `start` on stdin is a process, made by fork to be quick.

Usage: ingest_child.py STORE FILE, the file holding `session`'s and `receipt` messages as JSON lines. Writes lines: `pid N` of a new
process, `ack SEQUENCE` for each receipt that may be acknowledged, `dead` once the process is gone.
"""

import asyncio
import os
import sys
from pathlib import Path

from wattseal.protocol.framing import strict_json
from wattseal.protocol.messages import ReceiptMessage, SessionMessage, parse_plug_message
from wattseal.relay.ingest import Ingest
from wattseal.store import Store

TOGETHER = 24


def say(text: str) -> None:
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


async def take(where: str, session: SessionMessage, receipts: list[ReceiptMessage], domain: bytes) -> None:
    store = Store(where)
    store.add_voucher(session)
    ingest = Ingest(domain, store)

    async def one(message: ReceiptMessage) -> None:
        await ingest.take(session.voucher.plug, message)
        say(f"ack {message.receipt.sequence}")

    while True:
        for first in range(0, len(receipts), TOGETHER):
            await asyncio.gather(*map(one, receipts[first : first + TOGETHER]))


def main(where: str, file: str, domain: str) -> None:
    messages = [parse_plug_message(strict_json(line)) for line in Path(file).read_bytes().splitlines()]
    (session,) = (message for message in messages if isinstance(message, SessionMessage))
    receipts = [message for message in messages if isinstance(message, ReceiptMessage)]
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            asyncio.run(take(where, session, receipts[int(line) :], bytes.fromhex(domain)))
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("dead")


if __name__ == "__main__":
    main(*sys.argv[1:])
