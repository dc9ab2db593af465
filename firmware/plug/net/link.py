"""The plug's side of the link to the relay: connects for ever, sends what is not acknowledged, hands on what comes (docs/protocol.md section 2)."""

import asyncio
import gc

from micropython import const

from plug.errors import BadFrame
from plug.ledger import TAG_BYTES
from plug.net.framing import LineReader, encode
from plug.session import session_message

QUEUE_LENGTH = const(16)
SILENCE_MS = const(600_000)
CONNECT_S = const(15)
SEND_S = const(30)
WAKE_MS = const(5_000)
LONGEST_PAUSE_S = const(60)
_REPLIES = ("pong", "refused")


class Link:
    """One TCP connection at a time.

    `greeting()` returns the first messages of a connection, the coroutine `handle(line)` the replies to a line; `beat()` is called by every
    turn of the loop. Receipts are known by their session's tag.
    """

    def __init__(self, host, port, wifi, clock, session, ledger, greeting, handle, beat):
        self._host = host
        self._port = port
        self._wifi = wifi
        self._clock = clock
        self._session = session
        self._ledger = ledger
        self._greeting = greeting
        self._handle = handle
        self._beat = beat
        self._queue = []
        self._wake = asyncio.Event()
        self._acknowledged = {}  # tag -> sequence
        self._sent = {}  # the same, on this connection
        self._final = {}  # the same, of ended sessions
        self._heard_ms = 0
        self._answered = False
        self.is_up = False
        self.refused = 0  # lines that were none

    def send(self, message):
        """Queue a message that may be lost; the oldest reply gives way, a status only to other news. Without a connection it is dropped."""
        queue = self._queue
        if self.is_up:
            if len(queue) >= QUEUE_LENGTH:
                replies = [place for place in range(len(queue)) if queue[place]["type"] in _REPLIES]
                queue.pop(replies[0] if replies else 0)
            queue.append(message)
        self._wake.set()

    def acknowledge(self, session, sequence):
        """Note that the relay has a receipt of a session (32 bytes)."""
        tag = session[:TAG_BYTES]
        if self._sent.get(tag, 0) >= sequence > self._acknowledged.get(tag, 0):
            self._acknowledged[tag] = sequence
            self._note_final(tag)

    def _note_final(self, tag):
        """Have it kept that an ended session's final receipt is acknowledged, if it is."""
        if self._acknowledged.get(tag, 0) >= self._final.get(tag, 1 << 32):
            self._ledger.mark_acknowledged(tag)

    async def run(self):
        """Keep the link up for ever."""
        pause_s = 1
        while True:
            self._beat()
            try:
                if await self._wifi.join():
                    reader, writer = await asyncio.wait_for(asyncio.open_connection(self._host, self._port), CONNECT_S)
                    await self._serve(reader, writer)
            except (OSError, asyncio.TimeoutError) as error:
                print(f"link: {error!r}")
            if self._answered:
                self._answered = False
                pause_s = 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _serve(self, reader, writer):
        self._queue = self._greeting()
        self._answered = False
        self._sent = {}
        self._heard_ms = self._clock.tick()
        self.is_up = True
        self._wake.set()
        receiver = asyncio.create_task(self._receive(LineReader(reader)))
        try:
            while not receiver.done() and self._clock.tick() - self._heard_ms < SILENCE_MS:
                self._beat()
                if self._wake.is_set():
                    self._wake.clear()
                    await self._send_all(writer)
                try:
                    await asyncio.wait_for_ms(self._wake.wait(), WAKE_MS)
                except asyncio.TimeoutError:
                    pass
            if receiver.done():
                await receiver  # raises what it did not expect, so that nothing dies quietly
        finally:
            self.is_up = False
            receiver.cancel()
            writer.close()
            await writer.wait_closed()

    async def _send_all(self, writer):
        while self._queue:
            await self._write(writer, self._queue.pop(0))
        tags = self._ledger.unpaid()
        for tag in tags:
            if self._final.get(tag, 1 << 32) > max(self._sent.get(tag, 0), self._acknowledged.get(tag, 0)):
                entry = self._ledger.entry(tag)
                if entry is None:  # damaged: the others must still be sent
                    self._final[tag] = 0
                    continue
                document, receipt = entry
                self._final[tag] = receipt["receipt"]["sequence"]
                self._note_final(tag)  # it came before the session's end was kept
                await self._send_receipt(writer, tag, session_message(receipt["receipt"]["session"], document), receipt)
        running = self._session.newest()
        if running is not None:
            tag, sequence = running
            tags.append(tag)
            if tag not in self._sent or sequence > max(self._sent[tag], self._acknowledged.get(tag, 0)):
                messages = self._session.newest_messages()
                if messages is not None:  # None: damaged
                    await self._send_receipt(writer, *messages)
        self._acknowledged = _only(self._acknowledged, tags)
        self._final = _only(self._final, tags)

    async def _send_receipt(self, writer, tag, session, receipt_message):
        if tag not in self._sent:
            self._sent[tag] = 0
            await self._write(writer, session)
        if receipt_message is None:
            return
        sequence = receipt_message["receipt"]["sequence"]
        if sequence > max(self._sent[tag], self._acknowledged.get(tag, 0)):
            self._sent[tag] = sequence
            await self._write(writer, receipt_message)

    async def _write(self, writer, message):
        self._beat()
        try:
            line = encode(message)
        except (BadFrame, MemoryError) as error:  # one message less: no message may cost the link
            print(f"link: {error!r:.200}")
            return
        writer.write(line)
        await asyncio.wait_for(writer.drain(), SEND_S)

    def _refuse(self, code, message):
        self.refused += 1
        self.send({"type": "refused", "code": code, "message": message, "session": None})

    async def _receive(self, lines):
        try:
            while True:
                await asyncio.sleep_ms(0)  # a packet of many lines must not hold up the meter
                try:
                    line = await lines.line()
                    if line is None:
                        return
                    self._heard_ms = self._clock.tick()
                    self._answered = True
                    for message in await self._handle(line):
                        self.send(message)
                except BadFrame as error:
                    self._refuse(error.code, str(error))
                except MemoryError:  # a heap in splinters: what was asked can be asked again
                    gc.collect()
                    self._refuse("busy", "no memory for this message now: send it again")
        except OSError as error:
            print(f"link: {error!r}")
        finally:
            self._wake.set()


def _only(sequences, tags):
    return {tag: sequence for tag, sequence in sequences.items() if tag in tags}
