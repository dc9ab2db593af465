"""The pages on the registry and the shares name every function, event and code there is, and every test they name exists."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"Registry": ("registry", "docs/registry.md"), "PlugShares": ("plug_shares", "docs/shares.md")}


@pytest.mark.parametrize("name", PAGES)
def test_everything_is_documented(name):
    stem, page = PAGES[name]
    words = set(re.findall(r"\w+", (ROOT / page).read_text()))
    abi = json.loads((ROOT / f"host_tools/wattseal/gateway/{stem}_contract.json").read_text())["abi"]
    codes = re.findall(r'assert .*, "(\w+)"\n', (ROOT / f"contracts/src/{name}.vy").read_text())
    assert len(codes) > 10
    assert {entry["name"] for entry in abi if "name" in entry} | set(codes) <= words


def test_named_tests_exist():
    tests = "".join(path.read_text() for path in (ROOT / "tests/contracts").rglob("test_*.py"))
    for _, page in PAGES.values():
        for test in re.findall(r"`(test_\w+)`", (ROOT / page).read_text()):
            assert f"def {test}(" in tests, f"{page} names {test}, which does not exist"
