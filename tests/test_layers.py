"""Imports go downwards only: a module may import lower layers and, within its own layer, what stands before it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Lowest first; each entry is a module or a package with all that is in it.
FIRMWARE = [
    ("plug.version", "plug.board", "plug.typed_data", "plug.errors"),
    ("plug.crypto", "plug.drivers", "plug.clock", "plug.storage"),
    ("plug.metering", "plug.wire"),
    ("plug.config", "plug.guard", "plug.voucher", "plug.receipt", "plug.calibrate"),
    ("plug.session",),
    ("plug.net",),
    ("plug.app",),
    ("main",),
]
HOST_TOOLS = [
    ("wattseal.errors",),
    ("wattseal.protocol",),
    ("wattseal.store", "wattseal.gateway"),
    ("wattseal.relay",),
    ("wattseal.demo",),
    ("wattseal.cli",),
]
# Of one layer, and yet not for each other.
APART = [("plug.crypto", "plug.drivers"), ("plug.crypto", "plug.storage"), ("plug.drivers", "plug.storage"), ("wattseal.store", "wattseal.gateway")]


def modules(folder: Path, pattern: str) -> dict[str, Path]:
    return {".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path for path in folder.glob(pattern)}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def place(module: str, layers: list[tuple[str, ...]]) -> tuple[int, str] | None:
    return next(((number, package) for number, layer in enumerate(layers) for package in layer if within(module, package)), None)


@pytest.mark.parametrize(
    ("layers", "folder", "pattern"),
    [
        (FIRMWARE, ROOT / "firmware", "plug/**/*.py"),
        (FIRMWARE, ROOT / "firmware", "main.py"),
        (HOST_TOOLS, ROOT / "host_tools", "wattseal/**/*.py"),
    ],
)
def test_imports_go_downwards(layers: list[tuple[str, ...]], folder: Path, pattern: str) -> None:
    found = modules(folder, pattern)
    assert found
    for module, path in found.items():
        if module in ("plug", "wattseal"):
            assert not imports(path)
            continue
        here = place(module, layers)
        assert here, f"{module} has no layer: give it one in this test"
        for name in imports(path):
            there = place(name, layers)
            if there is None:
                continue
            assert there[0] <= here[0], f"{module} imports {name} from a higher layer"
            pair = tuple(sorted((here[1], there[1])))
            assert pair not in APART, f"{module} imports {name}: they are to know nothing of each other"


def test_firmware_and_host_share_no_code_and_no_simulator() -> None:
    simulator = set(modules(ROOT / "firmware/sim", "*.py")) - {"machine", "network", "esp32", "time", "select"}
    for path in [ROOT / "firmware/main.py", *(ROOT / "firmware/plug").rglob("*.py")]:
        names = imports(path)
        assert not any(within(name, "wattseal") or within(name, "sim") for name in names), path
        assert not names & simulator, f"{path} knows the simulator"
        assert "simulat" not in path.read_text().lower(), f"{path} speaks of a simulator"
    for path in (ROOT / "firmware/sim").rglob("*.py"):
        assert not any(within(name, "plug") for name in imports(path)), f"{path} imports the firmware that it is to test"
    for path in (ROOT / "host_tools/wattseal").rglob("*.py"):
        assert not any(within(name, "plug") for name in imports(path)), path
