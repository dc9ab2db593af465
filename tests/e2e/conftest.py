import subprocess
from collections.abc import Iterator
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
