from collections.abc import Iterator

import pytest
from wattseal.store import Store

from tests.host_tools.store.pieces import ACTORS


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    opened = Store(where, clock=lambda: ACTORS.now)
    yield opened
    opened.close()
