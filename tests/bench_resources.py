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
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "firmware")]

from wattseal.demo.processes import SimulatedPlug  # noqa: E402
from wattseal.errors import LinkError  # noqa: E402

import build  # noqa: E402
from tests import instructions  # noqa: E402
from tests.e2e.authority import Authority  # noqa: E402
from tests.e2e.bench import CONTRACT, Bench  # noqa: E402
from tests.e2e.brokers import MOSQUITTO, Listener, Mosquitto, MqttBench  # noqa: E402

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
ROMFS_MAIN = """
import ffi, sys, uctypes, vfs
libc = ffi.open("libc.so.6")
file = libc.func("i", "open", "si")("{image}", 0)
address = libc.func("p", "mmap", "pLiiii")(0, {size}, 1, 2, file, 0)
vfs.mount(vfs.VfsRom(uctypes.bytearray_at(address, {size})), "/rom")
sys.path.insert(0, "/rom")
del ffi, uctypes, vfs, libc
__import__("main")
"""


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


def romfs_number(value: int) -> bytes:
    """A number as ROMFS has it: seven bits a byte, the uppermost first, the upper bit in all but the last."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))


def romfs_record(kind: int, content: bytes) -> bytes:
    return romfs_number(kind) + romfs_number(len(content)) + content


def romfs_folder(folder: Path) -> bytes:
    """The records of a folder's files (5, with verbatim data, 2) and folders (4)."""
    records = b""
    for path in sorted(folder.iterdir()):
        name = romfs_number(len(path.name)) + path.name.encode()
        records += romfs_record(4, name + romfs_folder(path)) if path.is_dir() else romfs_record(5, name + romfs_record(2, path.read_bytes()))
    return records


def romfs_tree(folder: Path) -> Path:
    """Make a tree whose main.py runs the firmware from a ROMFS in mapped memory, as a MicroPython built for it does from flash. Return it."""
    records = romfs_folder(ROOT / "build/firmware" / BOARD / "x86")
    image = b"\xd2\xcd1" + romfs_number(len(records)) + records
    tree = folder / "romfs"
    tree.mkdir()
    (tree / "image").write_bytes(image)
    (tree / "main.py").write_text(ROMFS_MAIN.format(image=str(tree / "image"), size=len(image)))
    return tree


class Small:
    """What is a Bench beside this: a plug on a heap of `heap_kb`, with a compiled simulator."""

    def __init__(self, *arguments: Any, heap_kb: int, simulator: Path, **named: Any) -> None:
        self.heap_kb = heap_kb
        self.simulator = simulator
        super().__init__(*arguments, **named)

    def boot(self, reset_cause: str = "power_on", car: dict[str, int] | None = None, **command: object) -> None:
        port, heap = self.server.getsockname()[1], f"{self.heap_kb}k"
        options = {"heap": heap, "simulator": self.simulator, "tree": self.tree, "config": self.config}
        self.plug = SimulatedPlug(self.folder, BOARD, "x86", CONTRACT, port, car=car, **options)

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

    def passes(self) -> bool:
        """Whether a whole session passes; ends the plug."""
        try:
            self.session()
            return True
        except (LinkError, OSError, AssertionError):
            return False
        finally:
            self.plug.kill()
            self.server.close()


class SmallBench(Small, Bench):
    """A relay of the test's own."""


class SmallMqttBench(Small, MqttBench):
    """A relay's place behind a broker."""


def session_passes(folder: Path, heap_kb: int, simulator: Path, tree: Path | None = None) -> bool:
    """Whether a whole session passes on that heap, from a tree or the board's own."""
    try:
        bench = SmallBench(folder, BOARD, "x86", tree=tree, heap_kb=heap_kb, simulator=simulator)
    except (LinkError, OSError):
        return False
    return bench.passes()


def mqtt_session_passes(folder: Path, heap_kb: int, simulator: Path, secure: bool = False) -> bool:
    """Whether it does over MQTT, with or without TLS."""
    lines: tuple[str, ...] = ()
    relay: dict[str, Any] = {}
    listen: dict[str, str] | None = None
    if secure:
        Authority(folder).issue("broker")
        lines = (f"certfile {folder}/broker.pem", f"keyfile {folder}/broker.key")
        relay = {"tls": {"name": "broker", "ca": "authority.der"}}
        listen = {"ca_certs": f"{folder}/authority.pem"}
        (folder / "flash").mkdir()
        shutil.copy(folder / "authority.der", folder / "flash")
    broker = Mosquitto(folder, *lines)
    listener = Listener(broker.port, listen)
    try:
        return SmallMqttBench(folder, broker.port, listener, BOARD, "x86", heap_kb=heap_kb, simulator=simulator, **relay).passes()
    except (LinkError, OSError):
        return False
    finally:
        listener.close()
        broker.close()


def tls_session_passes(folder: Path, heap_kb: int, simulator: Path) -> bool:
    """Whether it does over MQTT with TLS."""
    return mqtt_session_passes(folder, heap_kb, simulator, secure=True)


def romfs_session_passes(folder: Path, heap_kb: int, simulator: Path) -> bool:
    """Whether a whole session passes on that heap where modules run from a ROMFS."""
    return session_passes(folder, heap_kb, simulator, romfs_tree(folder))


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
        in_rom = smallest(romfs_session_passes, simulator)
        by_mqtt, by_tls = (smallest(mqtt_session_passes, simulator), smallest(tls_session_passes, simulator)) if MOSQUITTO else (0, 0)
    yield Figure("heap: a whole session with its simulator", "KB", whole, HEAP_LIMIT_KB + without)
    yield Figure("heap: the simulator with a minimal sampler", "KB", without, without)
    yield Figure("heap: the firmware", "KB", whole - without, HEAP_LIMIT_KB)
    yield Figure("heap: the firmware, MicroPython built with ROMFS", "KB", in_rom - without, HEAP_LIMIT_KB)
    if MOSQUITTO:
        yield Figure("heap: the firmware over MQTT", "KB", by_mqtt - without, HEAP_LIMIT_KB)
        yield Figure("heap: the firmware over MQTT with TLS", "KB", by_tls - without, HEAP_LIMIT_KB)
    else:
        sys.stderr.write("no heap over MQTT: Mosquitto is not installed\n")


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
