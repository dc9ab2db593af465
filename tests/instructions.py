"""Counts the instructions of the firmware's cryptography on the 32-bit unix port, step by step: `python tests/instructions.py`.

Callgrind counts them, so that the figures depend neither on the machine nor on its load. Valgrind 3.19 does not know two of the longer NOPs that
Debian's compiler puts into i386 code; they are replaced in a copy of MicroPython and its libraries below build/. `make bench` uses `measure` too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / "build/firmware/socket_10a/x86"
COPY = ROOT / "build/instructions"
LAUNCHER = ROOT / "build/bin/micropython-x86"
SCRIPT = ROOT / "tests/instructions_firmware.py"
TIMEOUT_S = 120
# lea %esi with an explicit segment: replaced by a NOP of one byte and the same without segment.
UNKNOWN_NOPS = (bytes.fromhex("2e8db42600000000"), bytes.fromhex("2e8d742600"))
STEP_LIMIT = 1_400_000  # 10 ms on an ESP32, at 7 ns an instruction


def patched_copy() -> Path:
    """Copy Debian's i386 MicroPython with its libraries and replace the NOPs; return the folder. Raises FileNotFoundError where it is another one."""
    root = LAUNCHER.resolve().parents[1] / "micropython/i386/root"
    sources = [root / "usr/bin/micropython", *sorted((root / "usr/lib/i386-linux-gnu").glob("*.so*"))]
    made = COPY / sources[0].name
    if made.exists() and made.stat().st_mtime > sources[0].stat().st_ctime:
        return COPY
    COPY.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=COPY.parent))
    for source in sources:
        content = source.read_bytes()
        for nop in UNKNOWN_NOPS:
            content = content.replace(nop, b"\x90" + nop[1:])
        (fresh / source.name).write_bytes(content)
        (fresh / source.name).chmod(0o755)
    shutil.rmtree(COPY, ignore_errors=True)
    fresh.rename(COPY)
    return COPY


def why_not() -> str:
    """Why nothing can be counted on this machine, or ""."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed (Debian: apt-get install valgrind)"
    try:
        folder = patched_copy()
    except FileNotFoundError as error:
        return f"build/bin/micropython-x86 is not the one that `make setup` unpacks: {error.filename} is missing"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            done = run(folder, Path(scratch), ["-c", "print(6 * 7)"])
    except subprocess.TimeoutExpired:
        return "valgrind did not end"
    return "" if done.stdout == "42\n" else f"valgrind cannot run i386 MicroPython here: {done.stderr.strip()[-500:]}"


def run(folder: Path, scratch: Path, arguments: list[str], tree: Path = TREE, heap: str = "4m") -> "subprocess.CompletedProcess[str]":
    """Run MicroPython with a firmware tree under callgrind, which writes one file to `scratch` at each call of getenv and one at the end."""
    callgrind = ["valgrind", "--tool=callgrind", "--smc-check=all-non-file", "--dump-before=getenv", f"--callgrind-out-file={scratch}/count"]
    micropython = [f"{folder}/ld-linux.so.2", "--library-path", str(folder), f"{folder}/micropython", "-X", f"heapsize={heap}"]
    environment = os.environ | {"MICROPYPATH": f"{tree}:{ROOT / 'tests'}:.frozen"}
    command = [*callgrind, *micropython, *arguments]
    with tempfile.TemporaryDirectory() as flash:
        return subprocess.run(command, cwd=flash, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def count(script: Path, tree: Path = TREE, heap: str = "4m") -> tuple[Any, list[int]]:
    """What `script` printed, which must be JSON, and the instructions up to each call of getenv since the one before, those of the start included.

    Needs the firmware's `tree` and why_not() == "". Raises RuntimeError where MicroPython or valgrind fails.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        done = run(patched_copy(), scratch, [str(script)], tree, heap)
        if done.returncode:
            raise RuntimeError(f"{script.name} failed under callgrind:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        counts = []
        for number in range(1, len(list(scratch.iterdir()))):
            found = re.search(r"^totals: (\d+)$", (scratch / f"count.{number}").read_text(), re.MULTILINE)
            if found is None:
                raise RuntimeError(f"callgrind's file {number} has no total")
            counts.append(int(found[1]))
    return json.loads(done.stdout), counts[:-1]  # the last file is of the end of the process


def measure(tree: Path = TREE) -> dict[str, list[int]]:
    """The instructions of each step of every operation of instructions_firmware.py, by the operation's name, without its first run and the collector.

    Needs the firmware's `tree`, where one of another processor makes it plain Python, and why_not() == "". Raises RuntimeError where MicroPython or
    valgrind fails.
    """
    marked: list[list[Any]]
    marked, counts = count(SCRIPT, tree)
    total = sum(steps + 1 for _, steps in marked)
    counts = counts[-total:]  # what is before the first mark is not ours
    result = {}
    for operation, steps in marked:
        _, *result[operation] = counts[: steps + 1]
        del counts[: steps + 1]
    return result


def main() -> int:
    """Print steps, the largest of them and the sum of each operation; exit with 1 where one cannot be counted or is too large."""
    reason = why_not()
    if reason:
        sys.stderr.write(f"nothing counted: {reason}\n")
        return 1
    found = measure()
    for operation, steps in found.items():
        sys.stdout.write(f"{operation:24} {sum(steps):12,} instructions in {len(steps):3} steps, the largest {max(steps):11,}\n")
    return int(max(max(steps) for steps in found.values()) > STEP_LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
