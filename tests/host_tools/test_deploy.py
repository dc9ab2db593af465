"""What is in host_tools/deploy is what systemd and the relay take, and docs/operations.md names every setting and metric."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from wattseal.relay.metrics import Metrics
from wattseal.relay.settings import PREFIX, RelaySettings
from wattseal.relay.settings_reading import load, option_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "host_tools/deploy"
OPERATIONS = ROOT / "docs/operations.md"


def unit() -> str:
    return (DEPLOY / "wattseal-relay.service").read_text()


def analyze(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # the program of this machine in the place of /opt/wattseal's
    program = tmp_path / "wattseal"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / "wattseal-relay.service"
    copy.write_text(unit().replace("/opt/wattseal/bin/wattseal", str(program)))
    return subprocess.run(["systemd-analyze", *arguments, str(copy)], capture_output=True, text=True, timeout=30, check=False)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    checked = analyze(tmp_path, "verify", "--man=no")
    assert checked.returncode == 0, checked.stderr
    assert "wattseal" not in checked.stderr


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    checked = analyze(tmp_path, "security", "--offline=true", "--threshold=15")  # of 100 that could be exposed
    assert checked.returncode == 0, checked.stdout


def test_the_example_is_a_file_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RelaySettings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    assert load({}, DEPLOY / "relay.toml").listen == ("0.0.0.0", 7140)
    text = (DEPLOY / "relay.toml").read_text()
    sites = tomllib.loads(re.sub(r"^# (?=\[\[|\w+ = )", "", text, flags=re.M))["sites"]
    assert sites[0]["name"] == "garage"


def test_units_variables_are_settings() -> None:
    for variable in re.findall(rf"{PREFIX}(\w+)=", unit()):
        assert variable.lower() in RelaySettings.model_fields


def test_the_container_copies_what_there_is_and_runs_as_nobody() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
    assert "USER 10001" in lines
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}-slim" in lines[2]


def test_every_setting_and_every_metric_is_documented() -> None:
    text = OPERATIONS.read_text()
    for name in RelaySettings.model_fields:
        assert f"| `{name}` |" in text, name
        if option_of(name) != "--" + name.replace("_", "-"):
            assert f"`{option_of(name)}`" in text, name
    metrics = set(re.findall(r"^# TYPE (\w+) ", Metrics().text().decode(), re.M)) - {"wattseal_acknowledgement_seconds_created"}
    source = (ROOT / "host_tools/wattseal/relay/metrics.py").read_text()
    metrics |= set(re.findall(r'GaugeMetricFamily\(\s*"(\w+)"', source))
    assert len(metrics) >= 10
    for name in metrics:
        if not name.endswith("_created"):
            assert f"`{name}" in text, name
