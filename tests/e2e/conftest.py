from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    running = Bench(tmp_path)
    yield running
    running.plug.kill()
    running.server.close()
