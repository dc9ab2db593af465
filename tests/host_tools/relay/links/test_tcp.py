"""Frames, hellos and connections; what the messages mean is in test_service.py."""

import asyncio

import pytest
from wattseal.protocol import framing
from wattseal.protocol.messages import to_hex
from wattseal.relay import links
from wattseal.relay.links import Timings, pace, tcp

from tests.host_tools.conftest import RunningRelay, until

pytestmark = pytest.mark.anyio


async def test_the_time_follows_hello(running: RunningRelay) -> None:
    plug = await running.connect_silent()
    await plug.send(running.actors.hello())
    assert await plug.expect("time") == {"type": "time", "utc": running.gateway.head}


@pytest.mark.parametrize("version", [0, 2, "1", None])
async def test_another_version_is_refused_by_name_and_closed(running: RunningRelay, version: object) -> None:
    plug = await running.connect_silent()
    await plug.send({"type": "hello", "version": version, "new_key": 1})
    refused = await plug.expect("refused")
    assert refused["code"] == "unsupported_version"
    assert repr(version) in refused["message"]
    await plug.closed()


@pytest.mark.parametrize("changes", [{"chain_id": 1}, {"contract": "0x" + "00" * 20}])
async def test_another_chain_or_contract_is_refused_and_closed(running: RunningRelay, changes: dict[str, object]) -> None:
    plug = await running.connect_silent()
    await plug.send(running.actors.hello(**changes))
    assert (await plug.expect("refused"))["code"] == "wrong_chain"
    await plug.closed()
    assert running.quarantined_codes() == ["wrong_chain"]
    assert running.relay.connections == {}


async def test_nothing_is_taken_before_hello(running: RunningRelay) -> None:
    plug = await running.connect_silent()
    await plug.send(running.actors.session().frame())
    assert (await plug.expect("refused"))["code"] == "malformed"
    assert running.store.plugs() == []
    await plug.send(running.actors.hello())
    await plug.expect("time")


async def test_a_second_hello_is_refused(running: RunningRelay) -> None:
    plug = await running.connect()
    await plug.send(running.actors.hello())
    assert (await plug.expect("refused"))["code"] == "malformed"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\xff\xfe\x00 rubbish\n", "bad_frame"),
        (b"00000000 {}\n", "bad_frame"),
        (b"\n", "bad_frame"),
        (b"x" * 10_000 + b"\n", "bad_frame"),
        (framing.encode({"type": "pong"}).replace(b"pong", b"ping"), "bad_frame"),
        (framing.encode({"type": "reboot"}), "unknown_type"),
        (framing.encode({"type": "pong", "x": 1}), "malformed"),
        (framing.encode({"type": "offer", "nonce": -1, "issued_at": 0}), "malformed"),
    ],
)
async def test_a_bad_frame_is_reported_kept_and_forgotten(running: RunningRelay, line: bytes, code: str) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    before = running.store.voucher(session)
    await plug.send_raw(line)
    refused = await plug.expect("refused")
    assert (refused["code"], refused["session"]) == (code, None)
    entry = running.store.quarantined()[0]
    assert entry.code == code
    assert entry.raw == line[:-1][: framing.MAX_LINE_BYTES]
    assert running.store.voucher(session) == before
    receipt = running.actors.receipt_message(session, 1)
    await plug.send(receipt.frame())
    assert (await plug.expect("ack"))["sequence"] == 1


async def test_a_flood_of_bad_frames_closes_the_connection_and_no_other(running: RunningRelay) -> None:
    good = await running.connect(running.actors.hello(plug=to_hex(running.actors.other_plug)))
    bad = await running.connect()
    await bad.send_raw(b"rubbish\n" * 200)
    await bad.closed()
    assert len(running.quarantined_codes()) == links.MAX_REFUSED_FRAMES + 1
    await good.send(running.actors.status("idle"))
    await until(lambda: running.store.knows(running.actors.other_plug))


async def test_who_is_too_fast_is_read_slower_and_loses_nothing(running: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BURST", 5)
    monkeypatch.setattr(pace, "MESSAGES_PER_S", 10)
    plug = await running.connect()
    session = await running.charge(plug)
    started = asyncio.get_running_loop().time()
    for sequence in range(10):
        await plug.send(running.actors.receipt_message(session, sequence).frame())
    for sequence in range(10):
        assert (await plug.expect("ack"))["sequence"] == sequence
    assert asyncio.get_running_loop().time() - started > 0.5  # twelve messages: seven of them waited


async def test_a_new_connection_of_a_plug_takes_the_place_of_the_old_one(running: RunningRelay) -> None:
    old = await running.connect()
    new = await running.connect()
    await old.closed()
    await new.send(running.actors.session().frame())
    await until(lambda: running.store.plugs() == [running.actors.plug])
    assert list(running.relay.connections) == [running.actors.plug]
    await new.close()
    await until(lambda: not running.relay.connections)


async def test_too_many_connections_are_turned_away(running: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 1)
    await running.connect()
    surplus = await running.connect_silent()
    await surplus.closed()
    assert surplus.heard == []


class TestSilence:
    @pytest.fixture
    def timings(self) -> Timings:
        return Timings(poll_s=0.01, silence_s=0.3, hello_s=0.1, ping_s=0.05)

    async def test_a_plug_that_says_nothing_is_closed(self, running: RunningRelay) -> None:
        plug = await running.connect()
        await plug.closed()
        assert "ping" in [message["type"] for message in plug.heard]

    async def test_a_plug_that_answers_pings_is_not(self, running: RunningRelay) -> None:
        plug = await running.connect()
        async with asyncio.timeout(10):
            for _ in range(10):
                await plug.expect("ping")
                await plug.send({"type": "pong"})
        assert running.relay.connections

    async def test_who_says_no_hello_is_closed(self, running: RunningRelay) -> None:
        stranger = await running.connect_silent()
        await stranger.closed()

    async def test_an_endless_line_is_no_sign_of_life(self, running: RunningRelay) -> None:
        plug = await running.connect()

        async def drip() -> None:
            while True:
                await plug.send_raw(b"x" * 100)
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await until(lambda: not running.relay.connections)
        dripping.cancel()
