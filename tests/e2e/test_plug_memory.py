"""The plug's heap while it charges: what is in use after a collection does not grow with the samples."""

from pathlib import Path

from wattseal.demo.processes import ROOT

from tests.e2e.bench import Bench

BOARD = "socket_16a"  # a sample every 10 ms
EVERY_S = 1
WARM_UP_S = 20
SAMPLES = 10_000
SAMPLES_A_RUN = 500
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


class WatchedBench(Bench):
    """Runs main.py with the one task more."""

    def __init__(self, folder: Path) -> None:
        tree = folder / "watched"
        tree.mkdir()
        (tree / "main.py").write_text(WATCHED.format(tree=str(ROOT / "build/firmware" / BOARD / "x86"), every_s=EVERY_S))
        super().__init__(folder, BOARD, "x86", {"seed": 1}, tree)  # with settings the heap is a large one

    def least_in_use(self, seconds: int) -> int:
        """The least that was in use in that time: what comes and goes between two looks is not growth."""
        seen = len(self.plug.log.read_text().splitlines())
        self.plug.run(seconds)
        lines = self.plug.log.read_text().splitlines()[seen:]
        figures = [int(line.removeprefix("in use: ")) for line in lines if line.startswith("in use: ")]
        assert len(figures) > seconds // EVERY_S // 2
        return min(figures)


def test_ten_thousand_samples_leave_nothing_on_the_heap(tmp_path: Path) -> None:
    bench = WatchedBench(tmp_path)
    try:
        bench.start()
        bench.plug.run(WARM_UP_S)
        before = bench.least_in_use(WARM_UP_S)
        for _ in range(SAMPLES // SAMPLES_A_RUN):
            assert bench.plug.run(SAMPLES_A_RUN // 100)["contacts"] == 1
        assert bench.least_in_use(WARM_UP_S) <= before
    finally:
        bench.close()
