"""Every defect of tests/mutants is noticed by the test that it names; the same tests pass without it."""

import ast
import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("mutants_run", HERE / "mutants/run.py")
assert _spec
assert _spec.loader
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)

KILLERS = sorted({mutant.killer for mutant in run.mutants()})


@pytest.mark.parametrize("mutant", run.mutants(), ids=lambda mutant: mutant.name)
def test_mutant_is_killed(mutant, tmp_path: Path) -> None:
    traceback = run.fate(mutant, tmp_path)
    assert traceback is not None, f"{mutant.killer} does not notice: {mutant.name}"


@pytest.mark.parametrize("test_file", sorted({killer.split("::")[0] for killer in KILLERS}))
def test_without_a_mutant_they_pass(test_file: str, tmp_path: Path) -> None:
    names = [killer.split("::")[1] for killer in KILLERS if killer.startswith(test_file + "::")]
    results = run.run_tests(test_file, names, run.tree(run.board_of(test_file)), tmp_path)
    assert not any(results.values()), results


def test_every_trip_and_every_driver_has_one() -> None:
    names = [mutant.name for mutant in run.mutants()]
    assert len(set(names)) == len(names)
    codes = ast.parse((run.FIRMWARE / "plug/guard/codes.py").read_text()).body
    for code in [node.value.value for node in codes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]:
        assert any(name.startswith(code + ":") for name in names), f"no mutant takes the trip {code} away"
    for path in (run.FIRMWARE / "plug/drivers").glob("*.py"):
        assert path.stem == "__init__" or any(mutant.file == f"drivers/{path.name}" for mutant in run.mutants()), f"no mutant of {path.name}"
