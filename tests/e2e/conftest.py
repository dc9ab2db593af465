import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wattseal.demo.processes import ROOT

from tests.e2e.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    running = Bench(tmp_path)
    yield running
    running.plug.kill()
    running.server.close()


@pytest.fixture(scope="session")
def cpu_scale() -> float:
    """The simulator's setting with which computing on this machine takes as long as on an ESP32."""
    command = [ROOT / "build/bin/micropython-x86", ROOT / "firmware/sim/calibrate.py"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str, str, str], None]:
    """Return a function that adds (what, stated ms, measured ms) to the table at the end of the run."""
    return lambda what, stated, measured: record_property("latency", f"{what:44} {stated:>16} {measured:>24}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports if isinstance(report, pytest.TestReport)]
    lines = [str(line) for report in reports if report.when == "call" for name, line in report.user_properties if name == "latency"]
    if lines:
        terminalreporter.section("latencies, ms")
        terminalreporter.write_line(f"{'':44} {'stated':>16} {'measured':>24}")
        for line in lines:
            terminalreporter.write_line(line)
