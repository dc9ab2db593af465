# needs: sim
"""What the link keeps under a flood, sends on a connection, sends again, and how long it waits for the next one."""

import asyncio

from plug.clock import Clock
from plug.ledger import TAG_BYTES
from plug.net.link import GREET_MS, QUEUE_LENGTH, RARE_PAUSE_MS, RESEND_MS, SILENCE_MS, Link
from plug.wire import to_hex


class Channel:
    """Keeps what is written; `room` messages may be on their way at once."""

    blocks = False

    def __init__(self, room=1000, loses=False):
        self.room = room
        self.loses = loses
        self.written = []
        self.opened_ms = []
        self.heard = 0
        self.refuses = self.is_open = False

    async def open(self, wake):
        self.opened_ms.append(clock.tick())
        if self.refuses:
            raise OSError("nobody")
        self.is_open = True
        self.inbox = []
        self.news = asyncio.Event()
        self.wake = wake

    def say(self, body):
        self.inbox.append(body)
        self.news.set()

    def has_room(self):
        return self.room >= 2

    async def read(self):
        while self.is_open and not self.inbox:
            self.news.clear()
            await self.news.wait()
        if not self.is_open:
            return None
        self.heard += 1
        return self.inbox.pop(0)

    async def write(self, message):
        self.room -= 1
        self.written.append(message)
        await asyncio.sleep_ms(0)

    async def tend(self, now_ms):
        pass

    async def close(self):
        if self.is_open:
            self.is_open = False
            self.news.set()

    def kinds(self):
        """What was written since the last call; of receipts their session's number."""
        written, self.written = self.written, []
        return [message["receipt"]["session"][2:4] if message["type"] == "receipt" else message["type"] for message in written]


class Ledger:
    """`count` ended sessions with receipts of sequence 5, as many as there may be."""

    def __init__(self, count):
        self.sessions = [bytes((number,)) * 32 for number in range(count)]
        self.acknowledged = []

    def unpaid(self):
        return [session[:TAG_BYTES] for session in self.sessions]

    def entry(self, tag):
        fields = {"session": to_hex(tag[:1] * 32), "sequence": 5}
        return {"voucher": {}, "signature": ""}, {"type": "receipt", "receipt": fields}

    def mark_acknowledged(self, tag):
        self.acknowledged.append(tag)


class Session:
    def newest(self):
        return None


clock = Clock()


class Bench:
    def __init__(self, channel, receipts=0, may_block=True):
        self.channel = channel
        self.ledger = Ledger(receipts)
        self.beats = []
        self.may_block = may_block
        self.link = Link(
            channel, None, clock, Session(), self.ledger, self.greeting, self.handle, self.beat, lambda: self.may_block, lambda limit: limit // 2
        )
        self.task = asyncio.create_task(self.link.run())

    def greeting(self):
        return [{"type": "hello"}, {"type": "status"}]

    async def handle(self, body):
        return [{"type": "pong"}]

    def beat(self):
        self.beats.append(clock.tick())

    async def after(self, milliseconds):
        await asyncio.sleep_ms(milliseconds)
        return self.channel.kinds()

    def acknowledge(self, number):
        self.link.acknowledge(self.ledger.sessions[number], 5)


async def test_a_connection_begins_with_the_greeting_and_brings_each_receipt_once():
    bench = Bench(Channel(), 2)
    assert await bench.after(100) == ["hello", "status", "session", "00", "session", "01"]
    assert await bench.after(100_000) == []
    bench.acknowledge(0)
    await bench.channel.close()
    assert await bench.after(10_000) == ["hello", "status", "session", "01"]


async def test_without_room_everything_waits_and_nothing_is_lost_or_doubled():
    bench = Bench(Channel(room=3), 32)
    seen = []
    for _ in range(80):
        seen += await bench.after(100)
        bench.channel.room = 3
        bench.channel.wake()
    assert seen[:2] == ["hello", "status"]
    assert [kind for kind in seen if kind != "session"][2:] == ["%02x" % number for number in range(32)]
    assert seen.count("session") == 32
    assert len(seen) == 66


async def test_greet_starts_over_and_a_burst_of_it_counts_once():
    bench = Bench(Channel(), 1)
    await bench.after(GREET_MS)
    for _ in range(20):
        bench.link.start_over()
    assert await bench.after(100) == ["hello", "status", "session", "00"]
    bench.link.start_over()
    assert await bench.after(100) == []
    bench.acknowledge(0)
    await bench.after(GREET_MS)
    bench.link.start_over()
    assert await bench.after(100) == ["hello", "status"]


async def test_greet_in_the_middle_of_a_backlog_lets_hello_go_first():
    bench = Bench(Channel(room=7), 10)
    await bench.after(GREET_MS)
    bench.link.start_over()
    bench.channel.room = 1000
    bench.channel.wake()
    assert (await bench.after(100))[:4] == ["hello", "status", "session", "00"]


async def test_only_a_channel_that_loses_messages_has_receipts_sent_again():
    for loses, again in ((False, []), (True, ["session", "01"])):
        bench = Bench(Channel(loses=loses), 2)
        await bench.after(100)
        bench.acknowledge(0)
        assert await bench.after(RESEND_MS + 10_000) == again


async def test_a_silent_relay_is_hung_up_on():
    bench = Bench(Channel())
    await bench.after(SILENCE_MS - 10_000)
    assert len(bench.channel.opened_ms) == 1
    bench.channel.say(b"")
    assert await bench.after(SILENCE_MS - 10_000) == ["pong"]
    assert len(bench.channel.opened_ms) == 1
    await bench.after(30_000)
    assert len(bench.channel.opened_ms) == 2


def differences(moments):
    return [moments[place + 1] - moments[place] for place in range(len(moments) - 1)]


def pauses_s(channel):
    return [pause_ms // 1000 for pause_ms in differences(channel.opened_ms)]


async def test_pauses_double_up_to_a_minute_and_differ_from_plug_to_plug():
    bench = Bench(Channel())
    bench.channel.refuses = True
    await bench.after(400_000)
    assert pauses_s(bench.channel)[:8] == [1, 2, 5, 10, 20, 40, 75, 75]  # 1, 2, 4 ... and a quarter
    assert max(differences(bench.beats)) < 10_000


async def test_a_handshake_that_blocks_waits_for_open_contacts_but_not_for_ever():
    channel = Channel()
    channel.blocks = channel.refuses = True
    bench = Bench(channel, may_block=False)
    await bench.after(RARE_PAUSE_MS + 5_000)
    assert pauses_s(channel) == [600]
    bench.may_block = True
    await bench.after(10_000)
    assert len(channel.opened_ms) > 2


async def test_a_week_offline_keeps_no_message_and_brings_every_receipt():
    bench = Bench(Channel(), 32)
    await bench.after(1000)
    bench.channel.refuses = True
    await bench.channel.close()
    await bench.after(20)
    for minute in range(7 * 24 * 60):
        bench.link.send({"type": "status", "minute": minute})
    assert bench.link._queue == []
    await bench.after(100_000)
    bench.channel.refuses = False
    bench.channel.kinds()
    kinds = await bench.after(100_000)
    assert kinds[:2] == ["hello", "status"]
    assert [kind for kind in kinds if kind != "session"][2:] == ["%02x" % number for number in range(32)]


def up():
    link = Link(*[None] * 10)
    link.is_up = True
    return link


def test_a_flood_of_replies_costs_replies_only():
    link = up()
    link.send({"type": "status", "trip": "weld"})
    for number in range(3 * QUEUE_LENGTH):
        link.send({"type": ("pong", "refused")[number % 2], "number": number})
    assert len(link._queue) == QUEUE_LENGTH
    assert link._queue[0] == {"type": "status", "trip": "weld"}
    assert link._queue[-1]["number"] == 3 * QUEUE_LENGTH - 1


def test_of_nothing_but_news_the_oldest_goes():
    link = up()
    for number in range(QUEUE_LENGTH + 2):
        link.send({"type": "status", "number": number})
    assert [message["number"] for message in link._queue] == list(range(2, QUEUE_LENGTH + 2))


def test_without_a_connection_nothing_is_kept():
    link = up()
    link.is_up = False
    link.send({"type": "status"})
    assert not link._queue
