"""Puts a defect into a copy of the firmware's x64 tree and runs the test that must notice it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
TESTS = ROOT / "tests/firmware"
PORT = "x64"
RESULT = "@result "
TIMEOUT_S = 120


class Mutant(NamedTuple):
    """One defect: `old` in firmware/plug/`file` becomes `new`; `killer` is `<test file below tests/firmware>::<its test>`."""

    name: str
    file: str
    old: str
    new: str
    killer: str


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mutants_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def mutants() -> list[Mutant]:
    """Return every mutant of the tables in this folder."""
    return [
        Mutant(*row)
        for name in ("guard", "drivers", "meters", "session", "keys", "secure_element", "net")
        for row in _module(Path(__file__).with_name(f"{name}.py")).MUTANTS
    ]


@cache
def _builder() -> ModuleType:
    sys.path.insert(0, str(FIRMWARE))  # it imports its neighbours
    try:
        return _module(FIRMWARE / "build.py")
    finally:
        sys.path.remove(str(FIRMWARE))


@cache
def tree(board: str) -> Path:
    """Return the up-to-date tree of a board."""
    command = [sys.executable, str(FIRMWARE / "build.py"), "trees", "--board", board, f"--arch={PORT}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build/firmware" / board / PORT


def board_of(test_file: str) -> str:
    """Return the board that a test file's head asks for (as tests/firmware/conftest.py reads it)."""
    return next((line.removeprefix("# board: ") for line in head_of(test_file) if line.startswith("# board: ")), "socket_10a")


def head_of(test_file: str) -> list[str]:
    """Return the first two lines of a test file."""
    return (TESTS / test_file).read_text().split("\n", 2)[:2]


def run_tests(test_file: str, names: list[str], tree: Path, folder: Path) -> dict[str, str | None]:
    """Run tests of a file over a tree; return their tracebacks, None for those that passed. A test without a result did not end."""
    simulator = f"{FIRMWARE / 'sim'}:" if "# needs: sim" in head_of(test_file) else ""
    environment = os.environ | {"MICROPYPATH": f"{simulator}{tree}:{TESTS}:.frozen", "TEST_VECTORS": str(ROOT / "tests/vectors")}
    module = test_file.removesuffix(".py").replace("/", ".")
    command = [str(ROOT / f"build/bin/micropython-{PORT}"), str(TESTS / "run_in_micropython.py"), module, *names]
    output = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
        check=False,
    ).stdout.decode(errors="replace")
    records = [json.loads(line.removeprefix(RESULT)) for line in output.splitlines() if line.startswith(RESULT)]
    results = {record["test"]: record["error"] for record in records}
    assert set(results) == set(names), f"{test_file} gave no result of {sorted(set(names) - set(results))}:\n{output[-2000:]}"
    return results


def fate(mutant: Mutant, folder: Path) -> str | None:
    """Return the traceback of the test that noticed the mutant, or None where it survived."""
    source = (FIRMWARE / "plug" / mutant.file).read_text()
    assert source.count(mutant.old) == 1, f"{mutant.name}: its text occurs {source.count(mutant.old)} times in {mutant.file}"
    test_file, test = mutant.killer.split("::")
    mutated = folder / "tree"
    shutil.copytree(tree(board_of(test_file)), mutated)
    (folder / "mutant.py").write_text(source.replace(mutant.old, mutant.new))
    name = f"plug/{mutant.file}"
    complaint = _builder().compile_module(folder / "mutant.py", name, PORT, mutated / Path(name).with_suffix(".mpy"))
    assert not complaint, f"{mutant.name}: {complaint}"
    return run_tests(test_file, [test], mutated, folder)[test]
