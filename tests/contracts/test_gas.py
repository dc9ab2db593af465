"""Gas beside the floor of docs/performance.md, from anvil's receipts, and the size of the code."""

import pytest

from tests import bench_gas

LIMITS = {
    "open and final settle, known balances": 1.08,
    "open and final settle, new balances": 1.08,
    "final settle, known balances": 1.08,
    "final settle on a tab": 1.08,
    "settle_many, a claim, new balances": 1.10,
    "settle_many, a claim, known balances": 1.18,
    "deployed code, bytes": 0.75,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return {found.name: found for found in bench_gas.gas(tmp_path_factory.mktemp("gas"))}


@pytest.mark.parametrize("name", LIMITS)
def test_gas_is_near_its_floor(measured, name):
    found = measured[name]
    assert 0.3 * found.floor < found.used <= LIMITS[name] * found.floor


@pytest.mark.parametrize(("file", "name", "text", "replacement"), bench_gas.CHECKS, ids=[check[1] for check in bench_gas.CHECKS])
def test_the_checks_that_are_measured_are_there(file, name, text, replacement):
    assert (bench_gas.SOURCES / file).read_text().count(text) == 1
