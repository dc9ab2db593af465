"""`wattseal config check` and `wattseal relay --config` as a user meets them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
from wattseal import keys

CONTRACT = "0x" + "5f" * 20
PASSWORD = "hunter2"
GOOD = f'contract = "{CONTRACT}"\nchain_id = 31337\nrpc = ["http://127.0.0.1:9"]\ntrust_rpc = true\nlisten = "127.0.0.1:0"\napi = "127.0.0.1:0"\n'
SITE = f'[[sites]]\nname = "garage"\nbreaker_ma = 32000\nplugs = {{ "{CONTRACT}" = 10000 }}\n'
MAIN = [sys.executable, "-c", "from wattseal.cli.main import app; app()"]
PATIENCE_S = 30


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WATTSEAL_RELAY_")} | more


def check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAIN, "config", "check", str(path)], env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(text)
    return path


def test_a_good_file_is_shown_with_its_defaults(tmp_path: Path) -> None:
    checked = check(written(tmp_path, f'store = "relay.sqlite"\n{GOOD}{SITE}'))
    assert checked.returncode == 0
    assert 'store = "relay.sqlite"' in checked.stdout
    assert "ping_s = 60" in checked.stdout
    assert "[[sites]]" in checked.stdout
    assert "WATTSEAL_RELAY_KEY" in checked.stderr


def test_each_mistake_is_a_line_and_the_exit_code_is_1(tmp_path: Path) -> None:
    checked = check(written(tmp_path, GOOD.replace("chain_id", "chainid")))
    assert checked.returncode == 1
    assert checked.stdout == ""
    assert [line.partition(":")[0] for line in checked.stderr.splitlines()] == ["store", "chain_id", "chainid"]


def with_key(tmp_path: Path) -> str:
    """Return the settings of an encrypted key and its password."""
    keys.save_key(tmp_path / "key", b"\x01" * 32, PASSWORD)
    (tmp_path / "password").write_text(PASSWORD)
    return f'store = "{tmp_path / "relay.sqlite"}"\nkey_file = "{tmp_path / "key"}"\nkey_password_file = "{tmp_path / "password"}"\n{GOOD}'


def test_a_key_file_is_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path, with_key(tmp_path))
    checked = check(path)
    assert checked.returncode == 0
    assert PASSWORD not in checked.stdout + checked.stderr
    (tmp_path / "password").write_text("another")
    checked = check(path)
    assert checked.returncode == 1
    assert checked.stderr.startswith("key_file: ")


def test_the_relay_runs_by_a_file_alone(tmp_path: Path) -> None:
    path = written(tmp_path, with_key(tmp_path) + SITE)
    command = [*MAIN, "relay", "--config", str(path)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        (site,) = httpx.get(f"http://{ready['api']}/sites").json()["sites"]
        assert site["name"] == "garage"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_mistake_in_the_file_keeps_the_relay_from_starting(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    command = [*MAIN, "relay", "--config", str(path)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("wattseal: store: is missing")
    assert ended.stderr.count("\n") == 1
