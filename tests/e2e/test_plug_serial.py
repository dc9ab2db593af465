"""The plug on a serial line: the real firmware, and the test at the other end of a pseudo terminal."""

import json
import os
import select
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import SimulatedPlug
from wattseal.errors import FrameError, LinkError
from wattseal.protocol import framing

from tests.e2e.bench import CONTRACT, Bench


class SerialBench(Bench):
    """A plug whose UART 2 ends here. `lost` counts the lines that are none."""

    def __init__(self, folder: Path) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.received = b""
        self.lost = 0
        super().__init__(folder, settings={"link_line": os.ttyname(self.slave)}, config={"relay": {"link": "serial"}})

    def accept(self) -> dict[str, Any]:
        for _ in range(30):
            self.plug.run(1)
            if select.select([self.master], [], [], 0)[0]:
                break
        self.hello = self.expect("hello")
        self.state = self.expect("status")["state"]
        return self.hello

    def receive(self) -> dict[str, Any]:
        """Return the next message; let time pass for it, since a line takes its time."""
        for _ in range(200):
            while b"\n" not in self.received and select.select([self.master], [], [], 0)[0]:
                self.received += os.read(self.master, 65536)
            if b"\n" not in self.received:
                self.plug.run(0.2)
                continue
            line, self.received = self.received.split(b"\n", 1)
            try:
                return framing.decode(line)
            except FrameError:
                self.lost += 1
        raise AssertionError(f"the plug is silent; see {self.plug.log.read_text()}")

    def send(self, **message: object) -> None:
        self.say(framing.encode(message))

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def close(self) -> None:
        self.plug.kill()
        self.server.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SerialBench]:
    running = SerialBench(tmp_path)
    yield running
    running.close()


def test_a_session_over_the_line(bench: SerialBench) -> None:
    session = bench.start()
    bench.plug.run(10)
    bench.stop(session)
    bench.plug.run(6)
    receipt = bench.expect_final()
    assert receipt["session"] == session
    bench.send(type="ack", session=session, sequence=receipt["sequence"], status="stored")
    bench.plug.run(130)
    bench.send(type="greet")
    bench.plug.run(1)
    bench.expect("hello")
    bench.send(type="ping")
    seen = []
    while (message := bench.receive()["type"]) != "pong":
        seen.append(message)
    assert "receipt" not in seen
    assert bench.lost == 0


def test_a_receipt_that_the_line_lost_comes_again(bench: SerialBench) -> None:
    session = bench.start()
    bench.plug.run(10)
    bench.stop(session)
    bench.plug.run(6)
    bench.expect_final()  # and nobody acknowledges it
    bench.plug.run(70)
    assert bench.expect_final()["session"] == session


def test_noise_is_refused_line_by_line_and_costs_no_message(bench: SerialBench) -> None:
    for noise in (b"\xff\x00\x80\n", b"ets Jul 29 2019 12:21:46\r\n", b"x" * 3000 + b"\n"):
        bench.say(noise)
        bench.plug.run(1)
        assert bench.expect("refused")["code"] == "bad_frame"
    bench.say(b"half a li" + framing.encode({"type": "ping"}) + framing.encode({"type": "ping"}))
    bench.plug.run(1)
    assert bench.expect("refused")["code"] == "bad_frame"
    bench.expect("pong")


def test_a_line_that_is_not_read_stops_nothing(bench: SerialBench) -> None:
    session = bench.start()
    bench.plug.run(900)  # the pseudo terminal is full long before
    assert bench.plug.ask(cmd="state")["contacts"] == 1
    assert "Traceback" not in bench.plug.log.read_text()
    bench.received = b""
    while select.select([bench.master], [], [], 0.1)[0]:
        os.read(bench.master, 65536)
    bench.send(type="greet")
    bench.plug.run(1)
    bench.expect("hello")
    assert bench.expect("receipt")["receipt"]["session"] == session


def test_a_board_without_such_a_line_says_so(tmp_path: Path) -> None:
    config = {"relay": {"link": "serial"}}
    with pytest.raises(LinkError), SimulatedPlug(tmp_path, "bl0942_10a", "x64", CONTRACT, 0, config=config) as plug:
        plug.run(1)
    assert "board bl0942_10a has no serial line" in (tmp_path / "plug.log").read_text()
    assert json.loads((tmp_path / "flash/config.json").read_text())["relay"] == config["relay"]
