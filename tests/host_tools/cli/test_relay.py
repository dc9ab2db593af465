"""The command as a user meets it: a process with options, an environment, two streams and an exit code."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from wattseal import keys
from wattseal.protocol.messages import to_hex

from tests.host_tools.conftest import Actors

TRUSTING = ("--rpc", "http://127.0.0.1:9", "--trust-rpc")
KEY = "0x" + "01" * 32
PATIENCE_S = 30


def command(tmp_path: Path, *more: str, **options: str) -> list[str]:
    defaults = {
        "--store": str(tmp_path / "relay.sqlite"),
        "--contract": to_hex(Actors.contract),
        "--chain-id": "31337",
        "--listen": "127.0.0.1:0",
        "--api": "127.0.0.1:0",
    }
    settings = defaults | {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    main = [sys.executable, "-c", "from wattseal.cli.main import app; app()"]
    return [*main, "relay", *(word for pair in settings.items() for word in pair), *(more or TRUSTING)]


def run(arguments: list[str], key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "WATTSEAL_RELAY_KEY"}
    if key is not None:
        environment["WATTSEAL_RELAY_KEY"] = key
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_help_has_examples_and_exit_codes() -> None:
    shown = run([sys.executable, "-c", "from wattseal.cli.main import app; app()", "--help"]).stdout
    assert "Examples" in shown
    assert "Exit codes" in shown
    assert "relay" in shown


def test_an_api_that_a_network_reaches_is_warned_about(tmp_path: Path) -> None:
    environment = os.environ | {"WATTSEAL_RELAY_KEY": KEY}
    words = command(tmp_path, api="0.0.0.0:0")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert "whoever reaches the API" in process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_serves_and_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    environment = os.environ | {"WATTSEAL_RELAY_KEY": KEY}
    with subprocess.Popen(command(tmp_path), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        ready = json.loads(process.stdout.readline())
        assert ready.keys() == {"ready", "listen", "api"}
        assert httpx.get(f"http://{ready['api']}/livez").json()["ok"] is True
        health = httpx.get(f"http://{ready['api']}/healthz")
        assert (health.status_code, [reason["check"] for reason in health.json()["reasons"]]) == (503, ["chain"])  # nobody answers there
        assert "wattseal_receipts_total" in httpx.get(f"http://{ready['api']}/metrics").text
        host, _, port = ready["listen"].rpartition(":")
        with socket.create_connection((host, int(port))) as plug:
            plug.sendall(b"rubbish\n")
            assert b"bad_frame" in plug.recv(4096)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 0
        assert process.stdout.read() == ""
        log = process.stderr.read()
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["code"] for event in events if event["event"] == "refused a frame"] == ["bad_frame"]
    assert [event["basis"] for event in events if event["event"] == "the chain is read"] == ["header taken on trust from the RPC"]
    assert KEY[2:] not in log
    assert "whoever reaches the API" not in log


def test_it_tells_systemd_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        environment = os.environ | {"WATTSEAL_RELAY_KEY": KEY, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(command(tmp_path), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            assert systemd.recv(100) == b"READY=1"
            process.terminate()
            assert systemd.recv(100) == b"STOPPING=1"
            assert process.wait(PATIENCE_S) == 0


def test_drivers_get_an_address_of_their_own(tmp_path: Path) -> None:
    environment = os.environ | {"WATTSEAL_RELAY_KEY": KEY}
    arguments = command(tmp_path, drivers="127.0.0.1:0")
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert httpx.get(f"http://{ready['api']}/plugs").status_code == 200
        assert httpx.get(f"http://{ready['drivers']}/plugs").status_code == 404
        assert httpx.get(f"http://{ready['drivers']}/sessions/0x{'00' * 32}/page").json()["code"] == "unknown_session"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_it_takes_receipts_while_no_beacon_node_answers(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    follow = ("--rpc", nobody, "--beacon", nobody, "--light-client-store", str(tmp_path / "mainnet.store"), "--checkpoint", "0x" + "ab" * 32)
    environment = os.environ | {"WATTSEAL_RELAY_KEY": KEY}
    with subprocess.Popen(
        command(tmp_path, *follow, chain_id="1"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as relay:
        assert relay.stdout
        assert relay.stderr
        assert json.loads(relay.stdout.readline())["ready"] is True
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(PATIENCE_S) == 0
        assert "signed by the sync committee of mainnet" in relay.stderr.read()


@pytest.mark.parametrize("key", [None, KEY[2:], "0x" + "00" * 32, "secret words"])
def test_a_missing_or_wrong_key_is_one_clear_line_without_the_key(tmp_path: Path, key: str | None) -> None:
    ended = run(command(tmp_path), key)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "WATTSEAL_RELAY_KEY" in ended.stderr
    assert "[config]" in ended.stderr
    assert not key or key not in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [{"listen": "127.0.0.1"}, {"api": "127.0.0.1:70000"}, {"contract": "0x12"}, {"chain_id": "0"}],
)
def test_a_wrong_option_is_wrong_usage(tmp_path: Path, options: dict[str, str]) -> None:
    assert run(command(tmp_path, **options)).returncode == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rpc", "http://x"), "choose one of"),
        (("--rpc", "http://x", "--trust-rpc", "--simulated-beacon", "http://127.0.0.1:9"), "choose one of"),
        (("--trust-rpc",), "WATTSEAL_RELAY_RPC"),
        (("--rpc", "http://x", "--beacon", "http://127.0.0.1:9"), "light_client_store"),
        (("--rpc", "http://x", "--trust-rpc", "--checkpoint", "0x"), "checkpoint"),
    ],
)
def test_what_vouches_for_headers_has_to_be_said(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    ended = run(command(tmp_path, *options))
    assert ended.returncode == 2
    assert message in " ".join(ended.stderr.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["listen", "api"])
def test_a_port_in_use_is_one_clear_line(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run(command(tmp_path, **{option: f"127.0.0.1:{taken.getsockname()[1]}"}))
    assert ended.returncode == 1
    assert f"--{option}" in ended.stderr.splitlines()[-1]
    assert ended.stderr.count("\n") == 2, "the log says how the chain is read"


def test_a_store_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    ended = run(command(tmp_path, store=str(tmp_path / "missing" / "relay.sqlite")))
    assert ended.returncode == 1
    assert "[store]" in ended.stderr.splitlines()[-1]
    assert ended.stderr.count("\n") == 2, "the log says how the chain is read"


def test_a_key_file_in_place_of_the_variable(tmp_path: Path) -> None:
    secret, password = bytes.fromhex(KEY[2:]), "a pass phrase"
    keys.save_key(tmp_path / "relay.key", secret, password)
    (tmp_path / "password").write_text(password + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "WATTSEAL_RELAY_KEY"}
    arguments = command(tmp_path, *TRUSTING, key_file=str(tmp_path / "relay.key"), key_password_file=str(tmp_path / "password"))
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["ready"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        log = process.stderr.read()
    assert password not in log
    assert secret.hex() not in log
    (tmp_path / "password").write_text("another")
    ended = run(arguments, None)
    assert ended.returncode == 1
    assert "does not open with this password" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_password_without_a_key_file(tmp_path: Path) -> None:
    assert run(command(tmp_path, *TRUSTING, key_password_file="password")).returncode == 2


def test_nothing_is_final_on_a_servers_word(tmp_path: Path) -> None:
    ended = run(command(tmp_path, *TRUSTING, finality="final"))
    assert ended.returncode == 2
    assert "optimistic" in ended.stderr
