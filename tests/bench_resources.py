"""Measures what the firmware needs of an ESP32, on the 32-bit unix port: heap, time of a sample, time from reset to sampling. Part of `make bench`.

The heap is the smallest `-X heapsize` with which a whole session passes over a relay's link, less the smallest with which a minimal sampler passes
over the same simulated world. Times are instructions, counted by callgrind, at 7 ns each (an ESP32 at 240 MHz: docs/performance.md), and bus time.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "firmware")]

from wattseal.demo.processes import SimulatedPlug  # noqa: E402
from wattseal.errors import LinkError  # noqa: E402

import build  # noqa: E402
from tests import instructions  # noqa: E402
from tests.e2e.bench import CONTRACT, Bench  # noqa: E402

BOARD = "socket_16a"
SCRIPT = ROOT / "tests/bench_sample_firmware.py"
SAMPLER = ROOT / "tests/bench_sampler.py"
LEAST_KB, MOST_KB = 16, 384
CHARGING_S = 320  # two receipts: one by energy, one by time
STEP_S = 10
NS_PER_INSTRUCTION = 7
I2C_HZ = 400_000
HEAP_LIMIT_KB = 96
SAMPLE_LIMIT_MS = 2.5
START_LIMIT_S = 1.5
START_UP_MS = 100  # the IC's delay, page 18 of its data sheet
FLASH_BYTES_PER_S = 4_000_000  # W25Q32 through the SPI driver, 4 KB in 1 ms
FREE_BYTES = 16_384  # of the heap, between two collections


@dataclass(frozen=True)
class Figure:
    """A measured value beside its limit, both in `unit`."""

    name: str
    unit: str
    value: float
    limit: float


def compiled_simulator(folder: Path) -> Path:
    """Compile the simulator for the small heap: compiling is no work that the firmware would make it do. Return its folder."""
    target = folder / "sim"
    for source in sorted((ROOT / "firmware/sim").glob("*.py")):
        complaint = build.compile_module(source, source.name, "x86", target / f"{source.stem}.mpy")
        if complaint:
            raise RuntimeError(complaint)
    return target


class SmallBench(Bench):
    """A relay of the test's own and a plug on a heap of `heap_kb`, with a compiled simulator."""

    def __init__(self, folder: Path, heap_kb: int, simulator: Path) -> None:
        self.heap_kb = heap_kb
        self.simulator = simulator
        self.plug: SimulatedPlug | None = None
        super().__init__(folder, BOARD, "x86")

    def boot(self, reset_cause: str = "power_on", car: dict[str, int] | None = None, **command: object) -> None:
        port = self.server.getsockname()[1]
        self.plug = SimulatedPlug(self.folder, BOARD, "x86", CONTRACT, port, car=car, heap=f"{self.heap_kb}k", simulator=self.simulator)

    def session(self) -> None:
        """Charge, from the voucher over two receipts to the driver's stop. Raises LinkError, OSError, AssertionError where the plug dies."""
        self.accept()
        session = self.start()
        for _ in range(CHARGING_S // STEP_S):  # a step at a time: on a small heap they take a while
            self.plug.run(STEP_S)
        self.expect("receipt")
        self.stop(session)
        self.plug.run(5)
        self.expect_final()


def session_passes(folder: Path, heap_kb: int, simulator: Path) -> bool:
    """Whether a whole session passes on that heap."""
    bench = None
    try:
        bench = SmallBench(folder, heap_kb, simulator)
        bench.session()
        return True
    except (LinkError, OSError, AssertionError):
        return False
    finally:
        if bench is not None:
            bench.plug.kill()
            bench.server.close()


def sampler_passes(folder: Path, heap_kb: int, simulator: Path) -> bool:
    """Whether the minimal sampler, which does all that the simulator offers to the firmware, lives through the same time on that heap."""
    tree = folder / "tree"
    tree.mkdir()
    shutil.copyfile(SAMPLER, tree / "main.py")
    plug = None
    try:
        plug = SimulatedPlug(folder, BOARD, "x86", CONTRACT, 1, heap=f"{heap_kb}k", simulator=simulator, tree=tree)
        plug.run(4)
        plug.ask(cmd="plug_in", energy_wh=5000, current_ma=16_000)
        closed = [plug.run(STEP_S)["contacts"] for _ in range(CHARGING_S // STEP_S)]
        return all(closed) and "sampler: ready" in plug.log.read_text()
    except (LinkError, OSError):
        return False
    finally:
        if plug is not None:
            plug.kill()


def smallest(passes: Callable[[Path, int, Path], bool], simulator: Path) -> int:
    """The smallest heap in KB with which `passes` holds, found by halving."""
    low, high = LEAST_KB, MOST_KB
    while high - low > 1:
        middle = (low + high) // 2
        with tempfile.TemporaryDirectory() as folder:
            low, high = (low, middle) if passes(Path(folder), middle, simulator) else (middle, high)
    return high


def heap_figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        simulator = compiled_simulator(Path(folder))
        whole, without = smallest(session_passes, simulator), smallest(sampler_passes, simulator)
    yield Figure("heap: a whole session with its simulator", "KB", whole, HEAP_LIMIT_KB + without)
    yield Figure("heap: the simulator with a minimal sampler", "KB", without, without)
    yield Figure("heap: the firmware", "KB", whole - without, HEAP_LIMIT_KB)


def bus_ms(transfers: list[list[int]]) -> float:
    """The time of transfers with an address of one byte, again before what is read: nine bits a byte, one each for start, restart and stop."""
    bits = sum(9 * (1 + written) + (9 * (1 + read) + 1 if read else 0) + 2 for written, read in transfers)
    return bits * 1000 / I2C_HZ


def time_figures() -> Iterator[Figure]:
    printed, counts = instructions.count(SCRIPT, heap="256k")
    samples = printed["samples"]
    imports, construction, *sampled = counts[1 - 4 * len(samples) :]
    collection = sampled[2]
    samples = samples[2:]
    sampling = [count * NS_PER_INSTRUCTION / 1e6 for count in sampled[8::4]]
    per_collection = FREE_BYTES / mean(allocated for allocated, _ in samples)
    collecting = collection * NS_PER_INSTRUCTION / 1e6 / per_collection
    whole = [time_ms + bus_ms(transfers) + collecting for time_ms, (_, transfers) in zip(sampling, samples, strict=True)]
    cycle = printed["cycle"]
    whole_cycles = whole[: len(whole) // cycle * cycle]
    fast = [value for value, (_, transfers) in zip(whole, samples, strict=True) if len(transfers) <= 2]
    yield Figure("a sample, mean of a 100 ms cycle", "ms", mean(whole_cycles), SAMPLE_LIMIT_MS)
    yield Figure("a sample of current and one other value", "ms", mean(fast), SAMPLE_LIMIT_MS)
    yield Figure("the slowest sample: energy, its check, configuration", "ms", max(whole), 4 * SAMPLE_LIMIT_MS)
    yield Figure("of these, the bus, mean", "ms", mean(bus_ms(transfers) for _, transfers in samples), SAMPLE_LIMIT_MS)
    yield Figure("of these, collecting garbage, mean", "ms", collecting, SAMPLE_LIMIT_MS)
    flash_s = sum(path.stat().st_size for path in instructions.TREE.rglob("*") if path.suffix in (".mpy", ".py")) / FLASH_BYTES_PER_S
    ready_s = (imports + construction) * NS_PER_INSTRUCTION / 1e9 + flash_s + START_UP_MS / 1e3
    yield Figure("reset to sampling", "s", ready_s, START_LIMIT_S)
    yield Figure("of these, importing", "s", imports * NS_PER_INSTRUCTION / 1e9, START_LIMIT_S)
    yield Figure("of these, constructing the parts, public key included", "s", construction * NS_PER_INSTRUCTION / 1e9, START_LIMIT_S)


def figures() -> Iterator[Figure]:
    """Measure everything that can be measured here."""
    for board in {BOARD, "socket_10a"}:
        subprocess.run([sys.executable, str(ROOT / "firmware/build.py"), "trees", "--board", board, "--arch", "x86"], check=True, capture_output=True)
    yield from heap_figures()
    reason = instructions.why_not()
    if reason:
        sys.stderr.write(f"no times: {reason}\n")
    else:
        yield from time_figures()


def main() -> None:
    """Print the figures, one a line."""
    for figure in figures():
        verdict = "" if figure.value <= figure.limit else "  TOO MUCH"
        sys.stdout.write(f"{figure.name:56} {figure.value:9.3f} {figure.unit:3} of {figure.limit:7.1f}{verdict}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
