"""Every generated file is what its generator makes today."""

import runpy
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GENERATORS = {
    "contracts/generate.py": "python contracts/generate.py",
    "contracts/compile.py": "python contracts/compile.py",
    "firmware/generate_comb_tables.py": "python firmware/generate_comb_tables.py",
    "tests/contracts/make_vectors.py": "python tests/contracts/make_vectors.py",
}


@pytest.mark.parametrize("generator", GENERATORS)
def test_generated_files_are_up_to_date(monkeypatch, generator):
    monkeypatch.syspath_prepend(ROOT / "contracts")
    monkeypatch.delitem(sys.modules, "generate", raising=False)
    files = runpy.run_path(str(ROOT / generator))["render"]()
    assert files
    for path, text in files.items():
        assert (ROOT / path).read_text() == text, f"{path} is stale; run: {GENERATORS[generator]}"


def test_one_version():
    firmware = runpy.run_path(str(ROOT / "firmware/plug/version.py"))["VERSION"]
    assert firmware == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {firmware}" in (ROOT / "CHANGELOG.md").read_text()
