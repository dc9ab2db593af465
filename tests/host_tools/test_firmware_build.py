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

sys.path.insert(0, str(FIRMWARE))
spec = importlib.util.spec_from_file_location("firmware_build", FIRMWARE / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
BOARDS = sorted(path.stem for path in FIRMWARE.glob("boards/*.toml"))


def board_file(folder, *changes, board="socket_10a"):
    """Write a board file to `folder` with (pattern, replacement) changes, each of which must apply."""
    text = (FIRMWARE / f"boards/{board}.toml").read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert count == 1, pattern
    path = folder / f"{board}.toml"
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
        (r"^pga_current = 16", "pga_current = 22", "[meter] pga_current = 22: must be one of 1, 2, 4, 8, 16"),
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
        (r"^continuous_ma = .*", "continuous_ma = 12000", "[ratings] continuous_ma = 12000: must be one of 8000, 10000, 16000"),
        (r"^continuous_ma = .*", "continuous_ma = 16000", "[ratings] continuous_ma = 16000: is more than rated_current_ma, 10000"),
        (r"^rated_socket = .*", 'rated_socket = "schuko"', "[ratings] rated_socket = 'schuko': must be one of household, iec60309, camping"),
        (r"^button = 27", "button = 38", "[pins] button = 38: is input-only and has no pull-up"),
        (r"^\[signer\]\n.*\n", "", "[signer]: section is missing"),
        (r"^ntc_plug = 33", "ntc_plug = 4", "[pins] ntc_plug = 4: a thermometer needs ADC1"),
        (r"^sense_line = 35\n", "", "[pins] sense_line, sense_neutral: both or none"),
        (r"^i2c_scl = 22\n", "", "[pins] i2c_scl: key is missing, the meter is on i2c"),
        (r"^button = 27", "button = 27\nuart_tx = 4", "[pins] uart_tx: the meter is on i2c; remove it"),
        (r"^link_rx = 16\n", "", "[pins] link_tx, link_rx: both or none"),
        (r"^\[ntc\](\n.*)*", "", "[pins] ntc_contact = 32: section [ntc] is missing"),
        (r"^meter_interrupt = 34\n", "", "[guard] instant_peak_ma = 50000: the guard needs [pins] meter_interrupt"),
        (r"^ntc_contact = 32\n", "", "[guard] contact_max_mc = 90000: the guard needs [pins] ntc_contact"),
        (r"^ntc_plug = 33\n", "", "[guard] plug_max_mc = 70000: the guard needs [pins] ntc_plug"),
        (r"^plug_reset_mc = .*\n", "", "[guard] plug_reset_mc, plug_max_mc: both or none"),
        (r"^frequency_min_mhz = .*", "frequency_min_mhz = 52000", "[guard] frequency_min_mhz = 52000: must be below frequency_max_mhz"),
        (r"^contact_reset_mc = .*", "contact_reset_mc = 90000", "[guard] contact_reset_mc = 90000: must be below contact_max_mc"),
        (r"^instant_peak_ma = .*", "instant_peak_ma = 63000", "[guard] instant_peak_ma = 63000: the meter shows peaks up to 62500"),
        (r"^breaking_capacity_ma = .*\n", "", "[guard] breaking_capacity_ma: key is missing"),
        (r"^sample_interval_ms = 10", "sample_interval_ms = 5", "[meter] sample_interval_ms = 5: must be an integer from 10"),
    ],
)
def test_a_wrong_board_file_is_refused_with_one_line(tmp_path, pattern, replacement, message):
    path = board_file(tmp_path, (pattern, replacement))
    with pytest.raises(build.BuildError) as refusal:
        build.load_board(path)
    assert str(refusal.value).startswith(f"socket_10a.toml: {message}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("board", "pattern", "replacement", "message"),
    [
        ("socket_16a", r"^rated_socket = .*", 'rated_socket = "household"', "[ratings] continuous_ma = 16000: a household socket carries 10000"),
        (
            "hlw8012_10a",
            r"^\[guard\]",
            "[guard]\nfrequency_min_mhz = 47500",
            "[guard] frequency_min_mhz = 47500: the guard needs frequency_mhz, which driver HLW8012",
        ),
        (
            "cse7766_16a",
            r"^\[guard\]",
            "[guard]\nfrequency_max_mhz = 52000",
            "[guard] frequency_max_mhz = 52000: the guard needs frequency_mhz, which driver CSE7766",
        ),
        (
            "bl0942_10a",
            r"^\[guard\]",
            "[guard]\ninstant_peak_ma = 40000",
            "[guard] instant_peak_ma = 40000: the guard needs a meter with its own over-current detection, which driver BL0942",
        ),
        (
            "bl0942_10a",
            r"^sample_interval_ms = 100",
            "sample_interval_ms = 50",
            "[meter] sample_interval_ms = 50: BL0942 has a new reading every 100",
        ),
        ("socket_16a_se", r"^signer_sda = 19\n", "", "[pins] signer_sda: key is missing, [signer] kind = 'atecc608b' has a bus of its own"),
        ("socket_16a_se", r"^signer_sda = 19", "signer_sda = 37", "[pins] signer_sda = 37: is input-only"),
        ("socket_16a_se", r'^kind = "atecc608b"', 'kind = "software"', "[pins] signer_scl: [signer] kind = 'software' has no bus; remove it"),
        ("socket_16a_se", r'^kind = "atecc608b"', 'kind = "tpm"', "[signer] kind = 'tpm': must be one of software, atecc608b"),
        ("socket_16a_se", r"^i2c_id = 0", "i2c_id = 1", "[meter] i2c_id = 1: that bus is the secure element's; take 0"),
        ("bl0942_10a", r"^uart_tx = 17\n", "", "[pins] uart_tx: key is missing, the meter is on uart"),
        ("hlw8012_10a", r"^pulse_select = 23", "pulse_select = 34", "[pins] pulse_select = 34: is input-only"),
        ("bl0942_10a", r"^uart_id = 1", "uart_id = 1\npga_current = 16", "[meter] pga_current: unknown key"),
        ("bl0942_10a", r"^over_voltage_mv = .*", "over_voltage_mv = 285000", "[guard] over_voltage_mv = 285000: the meter shows up to 270435"),
    ],
)
def test_a_board_whose_meter_cannot_feed_its_guard_is_refused(tmp_path, board, pattern, replacement, message):
    path = board_file(tmp_path, (pattern, replacement), board=board)
    with pytest.raises(build.BuildError) as refusal:
        build.load_board(path)
    assert str(refusal.value).startswith(f"{board}.toml: {message}")


def test_an_unknown_board_is_refused_with_the_known_ones():
    with pytest.raises(build.BuildError, match=rf"toaster\.toml: no such board file; there are: {', '.join(BOARDS)}"):
        build.load_board(FIRMWARE / "boards/toaster.toml")


@pytest.mark.parametrize("path", sorted(FIRMWARE.glob("boards/*.toml")), ids=lambda path: path.stem)
def test_every_board_gives_a_module_of_integers(path):
    board = constants(path)
    assert board["__doc__"].startswith("GENERATED")
    assert path.stem == board["NAME"]
    assert board["METER"].pop("part") in ("ade7953", "bl0942", "cse7766", "hlw8012")
    assert all(type(value) is int for value in (board["PINS"] | board["METER"] | board["GUARD"]).values())
    assert board["METER"]["max_power_mw"] == board["RATED_POWER_W"] * 1500


def test_the_reference_front_end_has_the_figures_of_its_datasheet():
    meter = constants(FIRMWARE / "boards/socket_10a.toml")["METER"]
    # +-500 mV peak at each input; divider 991:1; shunt 0.5 mOhm behind a gain of 16
    assert meter["full_scale_mv"] == int(500 * 991 / math.sqrt(2))
    assert meter["full_scale_ma"] == int(500 / 16 / 0.5 * 1000 / math.sqrt(2))
    energy_mwh = Fraction(meter["energy_mwh_numerator"], meter["energy_mwh_denominator"])
    full_scale_mwh_per_hour = energy_mwh * 206_900 * 3600
    assert full_scale_mwh_per_hour == Fraction("495.5") * Fraction("62.5") / 2 * 1000


@pytest.mark.parametrize(
    ("board", "wh_per_count"),
    [
        # data sheets' own examples: 5115 pulses a kWh are measured with a BL0942 on 1 mOhm and 5 * 390 kOhm, 5350 are calculated
        ("bl0942_10a", 1_000 / 5_350),
        ("cse7766_16a", 1 / 3_600_000_000),  # microjoules
        ("hlw8012_10a", 10.343 / 3_600),  # 10.34 J a pulse on 1 mOhm and 2351:1
    ],
)
def test_energy_per_count_of_the_other_parts(board, wh_per_count):
    meter = constants(FIRMWARE / f"boards/{board}.toml")["METER"]
    assert meter["energy_mwh_numerator"] / meter["energy_mwh_denominator"] / 1_000 == pytest.approx(wh_per_count, rel=1e-3)


def test_the_guard_gets_what_the_board_file_says_and_nothing_else():
    assert constants(FIRMWARE / "boards/bl0942_10a.toml")["GUARD"] == {
        "continuous_ma": 10_000,
        "breaking_capacity_ma": 16_000,
        "over_voltage_mv": 264_500,
        "under_voltage_mv": 184_000,
        "frequency_min_mhz": 47_500,
        "frequency_max_mhz": 51_500,
        "min_on_ms": 900_000,
        "min_off_ms": 900_000,
        "wear_budget": 30_000,
    }


def test_the_meter_detects_the_over_current_of_the_guard(tmp_path):
    board = constants(board_file(tmp_path, (r"^instant_peak_ma = .*", "instant_peak_ma = 45000")))
    assert board["METER"]["over_current_ma"] == board["GUARD"]["instant_peak_ma"] == 45_000
    board = constants(board_file(tmp_path, (r"^instant_peak_ma = .*\n", "")))
    assert "over_current_ma" not in board["METER"]
    assert "instant_peak_ma" not in board["GUARD"]


def test_the_thermometers_table_is_that_of_the_divider():
    table = constants(FIRMWARE / "boards/socket_10a.toml")["NTC"]
    assert len(table) <= 32
    assert [mc for _, mc in table] == sorted({mc for _, mc in table})
    assert [uv for uv, _ in table] == sorted({uv for uv, _ in table}, reverse=True)
    values = {mc: uv for uv, mc in table}
    assert values[25_000] == 1_650_000  # 10 kOhm below 10 kOhm
    # a common NTC of 10 kOhm, B 3950: 1.07 kOhm at 85 degrees, 32.6 kOhm at 0
    assert values[85_000] == pytest.approx(3_300_000 * 1.0866 / 11.0866, rel=2e-3)
    assert values[0] == pytest.approx(3_300_000 * 33.62 / 43.62, rel=2e-3)
    assert constants(FIRMWARE / "boards/bl0942_10a.toml")["NTC"] == ()


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
    for name in ("build.py", "board_files.py", "meter_scale.py"):
        shutil.copy(FIRMWARE / name, tmp_path / "firmware")
    (tmp_path / "firmware/plug/drivers").mkdir()
    for part in ("ade7953", "bl0942", "cse7766", "hlw8012"):
        shutil.copy(FIRMWARE / f"plug/drivers/{part}.py", tmp_path / "firmware/plug/drivers")
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


def test_a_tree_holds_main_every_module_and_the_driver_of_its_meter(project):
    assert run_build(project, "trees").returncode == 0
    for board in BOARDS:
        part = "ade7953" if board.startswith(("socket_", "desk_")) else board.split("_")[0]
        modules = ["main.py", "plug/board.mpy", f"plug/drivers/{part}.mpy", "plug/small.mpy"]
        for architecture in ("x64", "x86", "xtensawin", "rv32imc"):
            tree = project / "build/firmware" / board / architecture
            assert sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.*")) == modules


def test_each_tree_has_the_module_of_its_board(project):
    assert run_build(project, "trees", "--arch", "x64").returncode == 0
    for board in ("socket_10a", "socket_16a"):
        assert board.encode() in (project / "build/firmware" / board / "x64/plug/board.mpy").read_bytes()


def test_each_tree_has_its_own_signer(project):
    modules = build.SIGNER_MODULES
    for names in modules.values():
        for name in names:
            path = project / "firmware" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("VALUE = 1\n")
    assert run_build(project, "trees", "--arch", "x64").returncode == 0
    for board, kind in (("socket_16a", "software"), ("socket_16a_se", "atecc608b")):
        for other, names in modules.items():
            for name in names:
                assert (project / "build/firmware" / board / "x64" / name).with_suffix(".mpy").exists() == (other == kind)


def test_only_what_changed_is_compiled_again(project):
    selected = ("trees", "--board", "socket_10a", "--arch", "x64")
    run_build(project, *selected)
    before = tree_of(project)
    (project / "firmware/plug/small.py").write_text("VALUE = 2\n")
    assert "1 of 3 modules compiled" in run_build(project, *selected).stdout
    after = tree_of(project)
    assert {name for name in after if name.endswith(".mpy") and after[name] != before[name]} == {"plug/small.mpy"}


def test_a_removed_source_leaves_the_tree(project):
    run_build(project, "trees", "--arch", "x64")
    (project / "firmware/plug/small.py").unlink()
    run_build(project, "trees", "--arch", "x64")
    assert "plug/small.mpy" not in tree_of(project)


def test_a_source_that_does_not_compile_fails_the_build_and_leaves_no_module(project):
    run_build(project, "trees", "--board", "socket_10a", "--arch", "x64")
    (project / "firmware/plug/small.py").write_text("def broken(:\n")
    for _ in range(2):  # a failure is not remembered as done
        done = run_build(project, "trees", "--board", "socket_10a", "--arch", "x64")
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
    assert (done.returncode, done.stderr) == (1, "socket_10a.toml: [pins] i2c_scl = 25: already used by contactor\n")
