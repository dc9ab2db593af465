"""A plug on a pseudo-terminal, and on a pyserial URL."""

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.errors import ConfigError
from wattseal.protocol import framing
from wattseal.relay.links import Timings, serial_line
from wattseal.relay.links.serial_line import SerialLink
from wattseal.relay.service import Relay
from wattseal.store import Store

from tests.host_tools.conftest import PATIENCE_S, Actors, FakeGateway, until

pytestmark = pytest.mark.anyio


class Cable:
    """The plug's end of a serial line; `path` is the relay's, and stays the same when the cable is pulled and another one plugged in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ttyPlug"
        self._ours = -1
        self.heard: list[dict[str, Any]] = []

    def plug_in(self) -> None:
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(self._ours, False)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(theirs))
        os.close(theirs)
        self._buffer = b""

    def pull(self) -> None:
        os.close(self._ours)
        self.path.unlink()

    async def write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._ours, data) :]
            except BlockingIOError:  # full: a terminal holds 4 kB
                await asyncio.sleep(0.002)

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.write(framing.encode(message))

    async def expect(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line, newline, rest = self._buffer.partition(b"\n")
                if newline:
                    self._buffer = rest
                    message = framing.decode(line)
                    self.heard.append(message)
                    if message["type"] == kind:
                        return message
                    continue
                try:
                    self._buffer += os.read(self._ours, 4096)
                except (BlockingIOError, OSError):  # nothing there, or the other end is not open
                    await asyncio.sleep(0.002)


class Desk:
    """A relay and a cable."""

    def __init__(self, cable: Cable, link: SerialLink, relay: Relay, store: Store, actors: Actors) -> None:
        self.cable = cable
        self.link = link
        self.relay = relay
        self.store = store
        self.actors = actors

    async def connect(self) -> None:
        await self.cable.expect("greet")
        await self.cable.send(self.actors.hello())
        await self.cable.expect("time")

    async def deliver(self, sequence: int) -> None:
        accepted = self.actors.session()
        await self.cable.send(accepted.frame(), self.actors.receipt_message(accepted.session, sequence).frame())
        assert (await self.cable.expect("ack"))["sequence"] == sequence


@pytest.fixture
def timings() -> Timings:
    return Timings(poll_s=0.01)


@pytest.fixture
async def desk(
    tmp_path: Path, store: Store, gateway: FakeGateway, actors: Actors, timings: Timings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    monkeypatch.setattr(serial_line, "FIRST_PAUSE_S", 0.02)
    cable = Cable(tmp_path)
    cable.plug_in()
    relay = Relay(actors.chain_id, actors.contract, store, gateway, timings)
    link = SerialLink(actors.chain_id, actors.contract, relay, timings, str(cable.path))
    link.start()
    yield Desk(cable, link, relay, store, actors)
    await link.close()
    relay.close()


async def test_a_plug_is_greeted_and_its_receipt_acknowledged(desk: Desk) -> None:
    await desk.connect()
    await desk.deliver(1)
    assert desk.cable.heard[0] == {"type": "greet"}


async def test_what_the_console_prints_is_skipped_and_counted(desk: Desk) -> None:
    await desk.connect()
    await desk.cable.write(b"link: OSError(104)\r\n\r\nMPY: soft reboot\r\n" + b"x" * 10_000 + b"\n>>> {}\n\xff\xfe\n")
    await desk.cable.write(framing.encode(desk.actors.status("idle"))[:-1] + b"\r\n")  # as the console would end it
    await desk.deliver(1)
    assert desk.link.noise == 6
    assert desk.store.quarantined() == []
    assert desk.relay.connections[desk.actors.plug].status


async def test_a_damaged_frame_is_refused_by_name(desk: Desk) -> None:
    await desk.connect()
    await desk.cable.write(framing.encode({"type": "pong", "budget_ma": None}).replace(b"pong", b"pung"))
    assert (await desk.cable.expect("refused"))["code"] == "bad_frame"
    assert [entry.peer for entry in desk.store.quarantined()] == [f"serial:{desk.cable.path}"]
    await desk.deliver(1)


async def test_a_pulled_cable_ends_the_connection_and_the_next_is_greeted(desk: Desk) -> None:
    await desk.connect()
    desk.cable.pull()
    await until(lambda: not desk.relay.connections)
    desk.cable.plug_in()
    await desk.connect()
    await desk.deliver(1)


async def test_a_line_that_goes_while_it_is_opened_is_opened_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.connect()
    desk.cable.pull()
    await until(lambda: not desk.relay.connections)
    opened, failures = desk.link._line.open, [termios.error(5, "Input/output error")] * 2

    def fails() -> None:
        if failures:
            raise failures.pop()
        opened()

    monkeypatch.setattr(desk.link._line, "open", fails)
    desk.cable.plug_in()
    await desk.connect()
    assert not failures


async def test_another_version_is_refused_and_greeted_again_later(desk: Desk) -> None:
    await desk.cable.expect("greet")
    await desk.cable.send(desk.actors.hello(version=2))
    assert (await desk.cable.expect("refused"))["code"] == "unsupported_version"
    await desk.connect()


class TestSilence:
    @pytest.fixture
    def timings(self) -> Timings:
        return Timings(poll_s=0.01, hello_s=0.1, silence_s=0.3, ping_s=0.1)

    async def test_who_says_nothing_is_greeted_again(self, desk: Desk) -> None:
        for _ in range(3):
            await desk.cable.expect("greet")
        await desk.connect()
        await until(lambda: not desk.relay.connections)
        await desk.connect()


async def test_a_url_of_pyserial_is_a_line_too(store: Store, gateway: FakeGateway, actors: Actors) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.put_nowait(framing.decode(line[:-1])["type"])
            writer.write(framing.encode(actors.hello()))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay = Relay(actors.chain_id, actors.contract, store, gateway, Timings(poll_s=0.01))
    link = SerialLink(actors.chain_id, actors.contract, relay, Timings(), f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    link.start()
    async with asyncio.timeout(PATIENCE_S):
        assert [await heard.get(), await heard.get()] == ["greet", "time"]
    await link.close()
    relay.close()
    server.close()


def test_a_port_that_can_be_none_is_said(actors: Actors, gateway: FakeGateway, store: Store) -> None:
    relay = Relay(actors.chain_id, actors.contract, store, gateway, Timings())
    with pytest.raises(ConfigError, match="--serial 'nonsense://x'"):
        SerialLink(actors.chain_id, actors.contract, relay, Timings(), "nonsense://x")
    relay.close()
