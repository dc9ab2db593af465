"""Collect tests/firmware/**/test_*.py as MicroPython files and run each on both unix ports, one process per file and port.

A line `# needs: sim` at the top puts the simulator's modules first on the module path, `# board: <name>` there takes that board's tree.
TEST_VECTORS names the folder of vectors.
Under pytest-xdist use `--dist loadgroup` (or loadfile): the tests of one file and port share one process.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "firmware"
RUNNER = HERE / "run_in_micropython.py"
BOARD = "socket_10a"
PORTS = {
    "x64": [str(ROOT / "build/bin/micropython-x64")],
    "x86": [str(ROOT / "build/bin/micropython-x86"), "-X", "heapsize=160k"],  # a little more than the whole firmware needs (make bench)
}
TIMEOUT_S = 120
RESULT = "@result "
BUILD_OUTPUT = pytest.StashKey[dict[str, str]]()


class MicroPythonError(Exception):
    """A test that failed inside MicroPython; its text is the report."""


def pytest_pycollect_makemodule(module_path, parent):
    return MicroPythonFile.from_parent(parent, path=module_path)


def build_firmware(config, board):
    """Bring the firmware trees of a board and both ports up to date, once per process; return the build's complaint or ""."""
    complaints = config.stash.setdefault(BUILD_OUTPUT, {})
    if board not in complaints:
        command = [sys.executable, str(ROOT / "firmware/build.py"), "trees", "--board", board, *(f"--arch={port}" for port in PORTS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        complaints[board] = "" if done.returncode == 0 else done.stdout + done.stderr
    return complaints[board]


class MicroPythonFile(pytest.File):
    def collect(self):
        source = self.path.read_text()
        head = [line.strip() for line in source.split("\n", 2)[:2]]
        self.needs_sim = "# needs: sim" in head
        self.board = next((line.removeprefix("# board: ") for line in head if line.startswith("# board: ")), BOARD)
        self.results = {}
        functions = [
            node
            for node in ast.parse(source, str(self.path)).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        self.test_names = [function.name for function in functions]
        for function in functions:
            for port in PORTS:
                yield MicroPythonTest.from_parent(self, name=f"{function.name}[{port}]", function=function, port=port)

    def result(self, port, test_name):
        """Return the test's traceback or None on `port`; the first call runs the whole file there. Raise MicroPythonError when that run broke."""
        if port not in self.results:
            self.results[port] = self.run_file(port)
        results, complaint = self.results[port]
        if complaint:
            raise MicroPythonError(complaint)
        return results[test_name]

    def run_file(self, port):
        """Run the file's tests in one process; return ({test name: traceback or None}, complaint or "")."""
        build_complaint = build_firmware(self.config, self.board)
        if build_complaint:
            return {}, f"firmware/build.py failed:\n{build_complaint}"
        path = [ROOT / "build/firmware" / self.board / port, HERE]
        if self.needs_sim:
            path.insert(0, ROOT / "firmware/sim")
        environment = os.environ | {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "TEST_VECTORS": str(ROOT / "tests/vectors")}
        module = ".".join(self.path.relative_to(HERE).with_suffix("").parts)
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = subprocess.run(
                    [*PORTS[port], str(RUNNER), module, *self.test_names],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                return {}, f"no end after {TIMEOUT_S} s on {port}; output so far:\n{(error.stdout or b'').decode(errors='replace')}"
        output = done.stdout.decode(errors="replace")
        results = {}
        for line in output.splitlines():
            if line.startswith(RESULT):
                record = json.loads(line.removeprefix(RESULT))
                results[record["test"]] = record["error"]
        missing = [name for name in self.test_names if name not in results]
        if done.returncode or missing:
            return {}, f"MicroPython ({port}) ended with status {done.returncode}, without a result of: {', '.join(missing) or 'none'}\n{output}"
        return results, ""


class MicroPythonTest(pytest.Item):
    def __init__(self, *, function, port, **rest):
        super().__init__(**rest)
        self.function_name = function.name
        self.line = function.lineno
        self.port = port
        self.add_marker(pytest.mark.xdist_group(f"{self.path.relative_to(HERE)}:{port}"))

    def runtest(self):
        error = self.parent.result(self.port, self.function_name)
        if error:
            raise MicroPythonError(error)

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, MicroPythonError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, self.line - 1, self.name
