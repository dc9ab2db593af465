"""The plug's side of the link to the relay: connects for ever, sends what is not acknowledged, hands on what comes (docs/protocol.md section 2).

What carries it is a channel: plug.net.tcp, plug.net.mqtt or plug.net.serial.
"""

import asyncio
import gc

from micropython import const

from plug.errors import BadFrame, BrokerError
from plug.ledger import TAG_BYTES
from plug.wire import session_message

QUEUE_LENGTH = const(16)
SILENCE_MS = const(600_000)
CONNECT_S = const(30)
WAKE_MS = const(5_000)
LONGEST_PAUSE_MS = const(60_000)
RARE_PAUSE_MS = const(600_000)  # between two attempts that block the sampling of a closed contactor
RESEND_MS = const(60_000)  # over a channel that loses messages
GREET_MS = const(3_000)  # one greeting answers all that the relay has asked for meanwhile
_REPLIES = ("pong", "refused")


class Link:
    """One connection at a time, over `channel`; `wifi` is None where it needs none.

    `greeting()` returns the first messages of a connection, the coroutine `handle(body)` the replies to a message's JSON; `beat()` is called by
    every turn of the loop, `may_block()` tells whether the contacts are open, `random(limit)` returns a number below `limit`. Receipts are known by
    their session's tag.
    """

    def __init__(self, channel, wifi, clock, session, ledger, greeting, handle, beat, may_block, random):
        self._channel = channel
        self._wifi = wifi
        self._clock = clock
        self._session = session
        self._ledger = ledger
        self._greeting = greeting
        self._handle = handle
        self._beat = beat
        self._may_block = may_block
        self._random = random
        self._queue = []
        self._wake = asyncio.Event()
        self._acknowledged = {}  # tag -> sequence
        self._sent = {}  # the same, on this connection
        self._final = {}  # the same, of ended sessions
        self._greeted_ms = 0
        self._is_greeted = False  # False: the greeting is due, and nothing else may be sent before it
        self._answered = False
        self.is_up = False
        self.refused = 0  # messages that were none

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

    def start_over(self):
        """Do as on a new connection: the relay does not know the plug. Asked again at once, it was about what is already on its way."""
        if self._clock.tick() - self._greeted_ms >= GREET_MS:
            self._is_greeted = False
            self._wake.set()

    async def run(self):
        """Keep the link up for ever."""
        pause_ms = 1000
        while True:
            self._beat()
            try:
                if self._wifi is None or await self._wifi.join():
                    await self._connect()
            except (OSError, EOFError, asyncio.TimeoutError, BrokerError, MemoryError) as error:
                print(f"link: {error!r}")
            if self._answered:
                self._answered = False
                pause_ms = 1000
            await self._pause(pause_ms + self._random(pause_ms // 2))  # plugs that lost one relay must not come back all at once
            pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)

    async def _pause(self, pause_ms):
        start_ms = self._clock.tick()
        while True:
            is_rare = self._channel.blocks and not self._may_block()
            left_ms = (RARE_PAUSE_MS if is_rare else pause_ms) - (self._clock.tick() - start_ms)
            if left_ms <= 0:
                return
            self._beat()
            await asyncio.sleep_ms(min(left_ms, WAKE_MS))

    async def _connect(self):
        try:
            await asyncio.wait_for(self._channel.open(self._wake.set), CONNECT_S)
            await self._serve()
        finally:
            self.is_up = False
            await self._channel.close()

    async def _serve(self):
        channel, clock = self._channel, self._clock
        self._answered = self._is_greeted = False
        self.is_up = True
        self._wake.set()
        heard, heard_ms = channel.heard, clock.tick()
        resent_ms = heard_ms
        receiver = asyncio.create_task(self._receive())
        try:
            while not receiver.done() and clock.tick() - heard_ms < SILENCE_MS:
                self._beat()
                if self._wake.is_set():
                    self._wake.clear()
                    await self._send_all()
                await channel.tend(clock.tick())
                try:
                    await asyncio.wait_for_ms(self._wake.wait(), WAKE_MS)
                except asyncio.TimeoutError:
                    pass
                if channel.heard != heard:
                    heard, heard_ms = channel.heard, clock.tick()
                if channel.loses and clock.tick() - resent_ms >= RESEND_MS:
                    resent_ms = clock.tick()
                    self._forget_lost()
            if receiver.done():
                await receiver  # raises what it did not expect, so that nothing dies quietly
        finally:
            receiver.cancel()

    def _forget_lost(self):
        """Have sent again what was sent and is not acknowledged."""
        self._sent = {tag: sequence for tag, sequence in self._sent.items() if self._acknowledged.get(tag, 0) >= sequence}
        self._wake.set()

    async def _send_all(self):
        """Send what is due, as far as the channel has room: it wakes the loop when there is more."""
        has_room = self._channel.has_room
        if not self._is_greeted:
            self._is_greeted = True
            self._greeted_ms = self._clock.tick()
            self._sent = {}
            self._queue = self._greeting()
        while self._queue:
            if not has_room() or not self._is_greeted:
                return
            await self._write(self._queue.pop(0))
        tags = self._ledger.unpaid()
        for tag in tags:
            if self._final.get(tag, 1 << 32) > max(self._sent.get(tag, 0), self._acknowledged.get(tag, 0)):
                if not has_room() or not self._is_greeted:
                    return
                entry = self._ledger.entry(tag)
                if entry is None:  # damaged: the others must still be sent
                    self._final[tag] = 0
                    continue
                document, receipt = entry
                self._final[tag] = receipt["receipt"]["sequence"]
                self._note_final(tag)  # it came before the session's end was kept
                await self._send_receipt(tag, session_message(receipt["receipt"]["session"], document), receipt)
        running = self._session.newest()
        if running is not None:
            tag, sequence = running
            tags.append(tag)
            if tag not in self._sent or sequence > max(self._sent[tag], self._acknowledged.get(tag, 0)):
                if not has_room() or not self._is_greeted:
                    return
                messages = self._session.newest_messages()
                if messages is not None:  # None: damaged
                    await self._send_receipt(*messages)
        self._acknowledged = _only(self._acknowledged, tags)
        self._final = _only(self._final, tags)

    async def _send_receipt(self, tag, session, receipt_message):
        if tag not in self._sent:
            self._sent[tag] = 0
            await self._write(session)
        if receipt_message is None:
            return
        sequence = receipt_message["receipt"]["sequence"]
        if sequence > max(self._sent[tag], self._acknowledged.get(tag, 0)):
            self._sent[tag] = sequence
            await self._write(receipt_message)

    async def _write(self, message):
        self._beat()
        try:
            await self._channel.write(message)
        except (BadFrame, MemoryError) as error:  # one message less: no message may cost the link
            print(f"link: {error!r:.200}")

    def _refuse(self, code, message):
        self.refused += 1
        self.send({"type": "refused", "code": code, "message": message, "session": None})

    async def _receive(self):
        try:
            while True:
                await asyncio.sleep_ms(0)  # a packet of many messages must not hold up the meter
                try:
                    body = await self._channel.read()
                    if body is None:
                        return
                    self._answered = True
                    for message in await self._handle(body):
                        self.send(message)
                except BadFrame as error:
                    self._refuse(error.code, str(error))
                except MemoryError:  # a heap in splinters: what was asked can be asked again
                    gc.collect()
                    self._refuse("busy", "no memory for this message now: send it again")
        except (OSError, BrokerError) as error:
            print(f"link: {error!r}")
        finally:
            self._wake.set()


def _only(sequences, tags):
    return {tag: sequence for tag, sequence in sequences.items() if tag in tags}
