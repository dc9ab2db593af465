"""firmware/build.py: what a board file may say, what comes out of it, and that no broken source gets through."""

import importlib.util
import math
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"

spec = importlib.util.spec_from_file_location("firmware_build", FIRMWARE / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


def board_file(folder, *changes):
    """Write the default board file to `folder` with (pattern, replacement) changes, each of which must apply."""
    text = (FIRMWARE / "boards/socket_10a.toml").read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert count == 1, pattern
    path = folder / "socket_10a.toml"
    path.write_text(text)
    return path


def constants(path):
    """Return the names of the module that a board file gives."""
    namespace = {}
    exec(build.board_module(build.load_board(path)), namespace)
    return namespace


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^\[ratings\]", "[raitings]", "[raitings]: unknown section"),
        (r"^\[contactor\]\nactive_high.*", "", "[contactor]: section is missing"),
        (r"^i2c_scl = 22", "i2c_scl = 22\nbuzzer = 4", "[pins] buzzer: unknown key"),
        (r"^shunt_uohm.*", "", "[meter] shunt_uohm: key is missing"),
        (r"^name = .*", 'name = "other"', "[board] name = 'other': must be the file's name, 'socket_10a'"),
        (r'"esp32"', '"esp8266"', "[board] mcu = 'esp8266': must be one of esp32"),
        (r"^description = .*", "description = 10", "[board] description = 10: must be a string"),
        (r"^rated_power_w = 2300", "rated_power_w = 2500", "[ratings] rated_power_w = 2500: must be current times voltage, 2300"),
        (r"^rated_current_ma = .*", "rated_current_ma = 32000", "[ratings] rated_current_ma = 32000: must be an integer from 1000 to 16000"),
        (r"^rated_current_ma = .*", "rated_current_ma = 10000.0", "[ratings] rated_current_ma = 10000.0: must be an integer"),
        (r"^active_high = true", "active_high = 1", "[contactor] active_high = 1: must be true or false"),
        (r"^i2c_id = 0", "i2c_id = true", "[meter] i2c_id = True: must be one of 0, 1"),
        (r"^pga_current = 16", "pga_current = 3", "[meter] pga_current = 3: must be one of 1, 2, 4, 8, 16, 22"),
        (r"^pga_voltage = 1$", "pga_voltage = 22", "[meter] pga_voltage = 22: must be one of 1, 2, 4, 8, 16"),
        (r"^i2c_freq_hz = .*", "i2c_freq_hz = 1000000", "[meter] i2c_freq_hz = 1000000: must be an integer from 10000 to 400000"),
        (r"^i2c_sda = 21", "i2c_sda = 22", "[pins] i2c_sda = 22: already used by i2c_scl"),
        (r"^contactor = 25", "contactor = 34", "[pins] contactor = 34: is input-only"),
        (r"^i2c_scl = 22", "i2c_scl = 39", "[pins] i2c_scl = 39: is input-only"),
        (r"^i2c_scl = 22", "i2c_scl = 6", "[pins] i2c_scl = 6: belongs to the flash chip"),
        (r"^i2c_scl = 22", "i2c_scl = 11", "[pins] i2c_scl = 11: belongs to the flash chip"),
        (r"^i2c_scl = 22", "i2c_scl = 24", "[pins] i2c_scl = 24: an ESP32 has no such pin"),
        (r"^i2c_scl = 22", "i2c_scl = 40", "[pins] i2c_scl = 40: must be an integer from 0 to 39"),
        (r"^contactor = 25", "contactor = 5", "[pins] contactor = 5: moves while the chip boots"),
        (r"^divider_lower_ohm = .*", "divider_lower_ohm = 2000", "[ratings] rated_voltage_mv = 230000: this meter shows 175362"),
        (r"^shunt_uohm = .*", "shunt_uohm = 2000", "[ratings] rated_current_ma = 10000: this meter shows 11048"),
        (r"^\[board\]", "[board", "is not TOML"),
    ],
)
def test_a_wrong_board_file_is_refused_with_one_line(tmp_path, pattern, replacement, message):
    path = board_file(tmp_path, (pattern, replacement))
    with pytest.raises(build.BuildError) as refusal:
        build.load_board(path)
    assert str(refusal.value).startswith(f"socket_10a.toml: {message}")
    assert "\n" not in str(refusal.value)


def test_an_unknown_board_is_refused_with_the_known_ones():
    with pytest.raises(build.BuildError, match=r"toaster\.toml: no such board file; there are: socket_10a, socket_16a"):
        build.load_board(FIRMWARE / "boards/toaster.toml")


@pytest.mark.parametrize("path", sorted(FIRMWARE.glob("boards/*.toml")), ids=lambda path: path.stem)
def test_every_board_gives_a_module_of_integers(path):
    board = constants(path)
    assert board["__doc__"].startswith("GENERATED")
    assert path.stem == board["NAME"]
    assert all(type(value) is int for value in (board["PINS"] | board["METER"]).values())
    assert board["METER"]["max_power_mw"] == board["RATED_POWER_W"] * 1500


def test_the_reference_front_end_has_the_figures_of_its_datasheet():
    meter = constants(FIRMWARE / "boards/socket_10a.toml")["METER"]
    # +-500 mV peak at each input; divider 991:1; shunt 0.5 mOhm behind a gain of 16
    assert meter["full_scale_mv"] == int(500 * 991 / math.sqrt(2))
    assert meter["full_scale_ma"] == int(500 / 16 / 0.5 * 1000 / math.sqrt(2))
    energy_mwh = Fraction(meter["energy_mwh_numerator"], meter["energy_mwh_denominator"])
    full_scale_mwh_per_hour = energy_mwh * 206_900 * 3600
    assert full_scale_mwh_per_hour == Fraction("495.5") * Fraction("62.5") / 2 * 1000


def test_energy_per_count_follows_shunt_divider_and_gain(tmp_path):
    def energy_mwh(*changes):
        meter = constants(board_file(tmp_path, *changes))["METER"]
        return Fraction(meter["energy_mwh_numerator"], meter["energy_mwh_denominator"])

    reference = energy_mwh()
    assert energy_mwh((r"^shunt_uohm = 500", "shunt_uohm = 250")) == 2 * reference
    assert energy_mwh((r"^pga_current = 16", "pga_current = 8")) == 2 * reference
    assert energy_mwh((r"^divider_upper_ohm = 990000", "divider_upper_ohm = 1981000")) == 2 * reference


@pytest.fixture
def project(tmp_path):
    """A project of its own: the real build.py and boards, one small module."""
    (tmp_path / "firmware/plug").mkdir(parents=True)
    shutil.copy(FIRMWARE / "build.py", tmp_path / "firmware")
    shutil.copytree(FIRMWARE / "boards", tmp_path / "firmware/boards")
    (tmp_path / "firmware/main.py").write_text("import plug.small\n")
    (tmp_path / "firmware/plug/small.py").write_text("VALUE = 1\n")
    return tmp_path


def run_build(project, *arguments):
    command = [sys.executable, str(project / "firmware/build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def tree_of(project):
    tree = project / "build/firmware/socket_10a/x64"
    return {path.relative_to(tree).as_posix(): path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file()}


def test_a_tree_holds_main_and_every_module(project):
    assert run_build(project, "trees").returncode == 0
    for board in ("socket_10a", "socket_16a"):
        for architecture in ("x64", "x86", "xtensawin", "rv32imc"):
            tree = project / "build/firmware" / board / architecture
            assert sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.*")) == ["main.py", "plug/board.mpy", "plug/small.mpy"]


def test_each_tree_has_the_module_of_its_board(project):
    assert run_build(project, "trees", "--arch", "x64").returncode == 0
    for board in ("socket_10a", "socket_16a"):
        assert board.encode() in (project / "build/firmware" / board / "x64/plug/board.mpy").read_bytes()


def test_only_what_changed_is_compiled_again(project):
    selected = ("trees", "--board", "socket_10a", "--arch", "x64")
    run_build(project, *selected)
    before = tree_of(project)
    (project / "firmware/plug/small.py").write_text("VALUE = 2\n")
    assert "1 of 2 modules compiled" in run_build(project, *selected).stdout
    after = tree_of(project)
    assert {name for name in after if name.endswith(".mpy") and after[name] != before[name]} == {"plug/small.mpy"}


def test_a_removed_source_leaves_the_tree(project):
    run_build(project, "trees", "--arch", "x64")
    (project / "firmware/plug/small.py").unlink()
    run_build(project, "trees", "--arch", "x64")
    assert "plug/small.mpy" not in tree_of(project)


def test_a_source_that_does_not_compile_fails_the_build_and_leaves_no_module(project):
    run_build(project, "trees", "--arch", "x64")
    (project / "firmware/plug/small.py").write_text("def broken(:\n")
    for _ in range(2):  # a failure is not remembered as done
        done = run_build(project, "trees", "--arch", "x64")
        assert done.returncode == 1
        assert done.stderr.startswith("firmware/plug/small.py does not compile for x64: ")
        assert "SyntaxError" in done.stderr
        assert "plug/small.mpy" not in tree_of(project)


def test_a_source_that_suits_one_architecture_only_fails_the_build_of_the_others(project):
    (project / "firmware/plug/small.py").write_text("@micropython.asm_rv32\ndef nothing():\n    c_nop()\n")
    assert run_build(project, "trees", "--board", "socket_10a", "--arch", "rv32imc").returncode == 0
    done = run_build(project, "trees", "--board", "socket_10a", "--arch", "rv32imc", "--arch", "xtensawin")
    assert done.returncode == 1
    assert done.stderr.startswith("firmware/plug/small.py does not compile for xtensawin: ")


def test_any_word_of_the_compiler_fails_the_build(tmp_path, monkeypatch):
    compiler = tmp_path / "mpy-cross"
    compiler.write_text('#!/bin/sh\necho "ERROR: branch out of range" >&2\ntouch "$5"\n')
    compiler.chmod(0o755)
    monkeypatch.setattr(build, "mpy_cross", lambda: str(compiler))
    output = tmp_path / "x.mpy"
    assert (
        build.compile_module(tmp_path / "x.py", "plug/x.py", "x64", output)
        == "firmware/plug/x.py does not compile for x64: ERROR: branch out of range"
    )
    assert not output.exists()


def test_generate_writes_the_default_board_and_check_compares_it(project):
    committed = project / "firmware/plug/board.py"
    assert run_build(project, "generate", "--check").returncode == 1
    assert run_build(project, "generate").returncode == 0
    assert committed.read_text() == (FIRMWARE / "plug/board.py").read_text()
    assert run_build(project, "generate", "--check").returncode == 0
    committed.write_text(committed.read_text().replace("25", "26"))
    done = run_build(project, "generate", "--check")
    assert done.returncode == 1
    assert "run: python firmware/build.py generate" in done.stderr


def test_the_committed_board_module_is_the_generated_one():
    build.generate(check=True)


def test_a_wrong_board_file_ends_the_build_with_its_line(project):
    board_file(project / "firmware/boards", (r"^i2c_scl = 22", "i2c_scl = 25"))
    done = run_build(project, "trees", "--board", "socket_10a")
    assert (done.returncode, done.stderr) == (1, "socket_10a.toml: [pins] contactor = 25: already used by i2c_scl\n")
