"""Imports go downwards only: a module may import lower layers and, within its own layer, what stands before it."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Lowest first; each entry is a module or a package with all that is in it.
FIRMWARE = [
    ("plug.version", "plug.board", "plug.typed_data", "plug.errors", "plug.imports"),
    ("plug.crypto", "plug.metering.counter", "plug.metering.calibration", "plug.drivers", "plug.clock", "plug.storage", "plug.turns"),
    ("plug.metering", "plug.wire", "plug.text", "plug.signing"),
    (
        "plug.terms",
        "plug.relay",
        "plug.config",
        "plug.guard",
        "plug.voucher",
        "plug.receipt",
        "plug.ledger",
        "plug.supervisor",
        "plug.device_key",
        "plug.enrolment",
    ),
    ("plug.session",),
    ("plug.net",),
    ("plug.commands", "plug.panel"),
    ("plug.app", "plug.calibrate", "plug.rekey", "plug.set_up_element"),
    ("main",),
]
HOST_TOOLS = [
    ("wattseal.errors", "wattseal.loopback"),
    ("wattseal.protocol",),
    ("wattseal.keys", "wattseal.store", "wattseal.gateway"),
    ("wattseal.relay",),
    ("wattseal.driver",),
    ("wattseal.demo",),
    ("wattseal.cli",),
]
# Of one layer, and yet not for each other.
APART = [("plug.crypto", "plug.drivers"), ("plug.crypto", "plug.storage"), ("plug.drivers", "plug.storage"), ("wattseal.store", "wattseal.gateway")]


def modules(folder: Path, pattern: str) -> dict[str, Path]:
    return {".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path for path in folder.glob(pattern)}


def imports(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in names_of(node)}


def names_of(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def place(module: str, layers: list[tuple[str, ...]]) -> tuple[int, str] | None:
    places = [(len(package), number, package) for number, layer in enumerate(layers) for package in layer if within(module, package)]
    return max(places)[1:] if places else None  # the longest name says most


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


def test_the_firmware_imports_no_module_before_those_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = modules(ROOT / "firmware", "plug/**/*.py")
    monkeypatch.syspath_prepend(ROOT / "firmware")
    spec = importlib.util.spec_from_file_location("order", found["plug.imports"])
    assert spec
    assert spec.loader
    order = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(order)
    for signer in order.SIGNERS.values():
        check_order(order.BEFORE + signer + order.AFTER, found)


def check_order(order: tuple[str, ...], found: dict[str, Path]) -> None:
    seen: set[str] = set()
    for name in order:
        needed = {other for other in top_level_imports(found[name]) if other in found and other != "plug" and found[other].stat().st_size}
        packages = {other for other in needed if within(name, other)}
        assert needed - packages <= seen, f"{name} is imported before {sorted(needed - packages - seen)}"
        seen.add(name)
    assert seen >= {other for other in reachable("plug.app", found) if found[other].stat().st_size}


def top_level_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {name for node in tree.body for name in names_of(node)}


def reachable(module: str, found: dict[str, Path]) -> set[str]:
    todo, seen = {module}, set()
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= {other for other in top_level_imports(found[name]) if other in found and other != "plug"} - seen
    return seen


def large_constants(path: Path) -> set[tuple[str, int]]:
    """Return the (name without underscore, value) of a module's own constants of five digits and more: what one would copy instead of deriving it."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "const":
            value = value.args[0]
        if isinstance(value, ast.Constant) and type(value.value) is int and value.value > 9_999 and value.value & (value.value - 1):
            found |= {(target.id.lstrip("_"), value.value) for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_simulator_and_drivers_share_no_module_and_no_constant() -> None:
    """Enforced: no import either way (above), no file in both, no file of the other side named in a text, no large constant of one name and value.

    Not enforced: small numbers and powers of two (addresses, bits, a gain of one in a register) come from one data sheet and have to agree.
    """
    simulator = list((ROOT / "firmware/sim").glob("*.py"))
    firmware = [ROOT / "firmware/main.py", *(path for path in (ROOT / "firmware/plug").rglob("*.py") if path.name != "__init__.py")]
    assert not {path.read_bytes() for path in simulator} & {path.read_bytes() for path in firmware}
    assert not [path for path in (*simulator, *firmware) if path.is_symlink()]
    for path in simulator:
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        assert not [text for text in texts if "plug/" in text], path
    ours = {constant: path.name for path in firmware for constant in large_constants(path)}
    theirs = {constant: path.name for path in simulator for constant in large_constants(path)}
    assert ours
    assert theirs
    assert not ours.keys() & theirs.keys(), [(constant, ours[constant], theirs[constant]) for constant in ours.keys() & theirs.keys()]
