"""The plug's heap: what is in use after a collection grows neither with the samples of a charge nor with connections."""

import shutil
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from wattseal.demo.processes import ROOT

from tests.e2e.authority import Authority
from tests.e2e.bench import Bench
from tests.e2e.brokers import Listener, Mosquitto, MqttBench, needs_mosquitto

BOARD = "socket_16a"  # a sample every 10 ms
EVERY_S = 1
WARM_UP_S = 20
SAMPLES = 10_000
SAMPLES_A_RUN = 500
WARM_UP_CONNECTIONS, CONNECTIONS = 5, 20
SLACK_BYTES = 600  # 30 a connection: less than its smallest object
# The real main.py, with one task more that tells what is in use.
WATCHED = """
import sys
sys.path.insert(0, {tree!r})
from plug.imports import ORDER
for name in ORDER:
    __import__(name)
import asyncio, gc
from plug.app import App

async def watch():
    while True:
        await asyncio.sleep({every_s})
        gc.collect()
        print("in use:", gc.mem_alloc())

async def watched(self):
    asyncio.create_task(watch())
    await run(self)

run, App.run = App.run, watched
import main
"""


def watched_tree(folder: Path, board: str) -> Path:
    """Return a tree that runs main.py with the one task more."""
    tree = folder / "watched"
    tree.mkdir()
    (tree / "main.py").write_text(WATCHED.format(tree=str(ROOT / "build/firmware" / board / "x86"), every_s=EVERY_S))
    return tree


def least_in_use(bench: Bench, seconds: int) -> int:
    """The least that was in use in that time: what comes and goes between two looks is not growth."""
    seen = len(bench.plug.log.read_text().splitlines())
    bench.plug.run(seconds)
    lines = bench.plug.log.read_text().splitlines()[seen:]
    figures = [int(line.removeprefix("in use: ")) for line in lines if line.startswith("in use: ")]
    assert len(figures) > seconds // EVERY_S // 2
    return min(figures)


def test_ten_thousand_samples_leave_nothing_on_the_heap(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BOARD, "x86", {"seed": 1}, watched_tree(tmp_path, BOARD))  # with settings the heap is a large one
    try:
        bench.start()
        bench.plug.run(WARM_UP_S)
        before = least_in_use(bench, WARM_UP_S)
        for _ in range(SAMPLES // SAMPLES_A_RUN):
            assert bench.plug.run(SAMPLES_A_RUN // 100)["contacts"] == 1
        assert least_in_use(bench, WARM_UP_S) <= before
    finally:
        bench.close()


@needs_mosquitto
@pytest.mark.parametrize("is_secure", [False, True])
def test_connections_to_a_broker_leave_nothing_on_the_heap(tmp_path: Path, is_secure: bool) -> None:
    lines, relay, tls = (), {}, None
    if is_secure:
        Authority(tmp_path).issue("broker")
        lines = (f"certfile {tmp_path}/broker.pem", f"keyfile {tmp_path}/broker.key")
        relay, tls = {"tls": {"name": "broker", "ca": "authority.der"}}, {"ca_certs": f"{tmp_path}/authority.pem"}
        (tmp_path / "flash").mkdir()
        shutil.copy(tmp_path / "authority.der", tmp_path / "flash")
    with ExitStack() as stack:
        broker = stack.enter_context(closing(Mosquitto(tmp_path, *lines)))
        listener = stack.enter_context(closing(Listener(broker.port, tls)))
        tree = watched_tree(tmp_path, "desk_16a")
        # with settings the heap is a large one
        bench = stack.enter_context(closing(MqttBench(tmp_path, broker.port, listener, word="x86", settings={"seed": 1}, tree=tree, **relay)))
        plug = bench.hello["plug"].removeprefix("0x")

        def reconnect() -> None:
            Listener(broker.port, tls, client=f"wattseal-{plug}").close()  # the broker gives the place to who comes last
            bench.accept()
            bench.send(type="ping")  # a plug that nobody answers waits longer each time
            bench.expect("pong")

        for _ in range(WARM_UP_CONNECTIONS):
            reconnect()
        before = least_in_use(bench, WARM_UP_S)
        for _ in range(CONNECTIONS):
            reconnect()
        assert least_in_use(bench, WARM_UP_S) <= before + SLACK_BYTES
