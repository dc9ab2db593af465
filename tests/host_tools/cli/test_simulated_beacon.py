"""`wattseal simulated-beacon` as a process, and everything that must not be taken from one."""

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from wattseal.errors import BeaconError, ConfigError, StoreError
from wattseal.gateway.connect import ChainSettings, connect
from wattseal.gateway.rpc import Rpc

from tests.host_tools.gateway.conftest import start_chain

PATIENCE_S = 30
CHAIN_ID = 31337


def command(*options: str) -> list[str]:
    return [sys.executable, "-c", "from wattseal.cli.main import app; app()", "simulated-beacon", *options]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.fixture(scope="module")
def anvil() -> Iterator[str]:
    with start_chain("osaka") as url:
        yield url


@pytest.fixture(scope="module")
def beacon(anvil: str) -> Iterator[str]:
    options = ("--rpc", anvil, "--chain-id", str(CHAIN_ID), "--listen", "127.0.0.1:0", "--final-after", "2", "--pace", "10")
    with subprocess.Popen(command(*options), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is ready["simulated"] is True
        yield f"http://{ready['listen']}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def settings(anvil: str, beacon: str, store: Path | None = None, chain_id: int = CHAIN_ID) -> ChainSettings:
    return ChainSettings(chain_id=chain_id, rpc=(anvil,), simulated_beacon=beacon, light_client_store=store)


def test_a_client_learns_all_from_it_and_follows_the_chain(anvil: str, beacon: str) -> None:
    chain = connect(settings(anvil, beacon))
    assert chain.basis == "header signed by the sync committee of simulated beacon chain"
    assert chain.finalized
    Rpc(anvil).call("evm_mine")
    newest = int(Rpc(anvil).call("eth_blockNumber"), 16)
    assert chain.headers.by_number(newest).number == newest
    while chain.finalized().number < newest:
        pass  # each look asks the beacon, whose slots go by
    assert chain.account(chain.finalized(), b"\x01" * 20) is None


def test_a_chain_that_has_just_begun_can_be_proven() -> None:
    with start_chain("osaka") as url:
        Rpc(url).call("anvil_reset")
        assert Rpc(url).call("eth_blockNumber") == "0x0"
        options = ("--rpc", url, "--chain-id", str(CHAIN_ID), "--listen", "127.0.0.1:0")
        with subprocess.Popen(command(*options), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                chain = connect(settings(url, f"http://{json.loads(process.stdout.readline())['listen']}"))
                assert chain.account(chain.headers.latest(), b"\x01" * 20) is None
            finally:
                process.send_signal(signal.SIGTERM)


def test_a_restart_goes_on_from_its_store(anvil: str, beacon: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = connect(settings(anvil, beacon, store)).headers.latest()
    assert connect(settings(anvil, beacon, store)).headers.latest().number >= first.number
    # another run has another genesis
    server, url = serving(json.dumps({"chain_id": "31337", "genesis_time": "1", "pace": "1", "checkpoint": "0x" + "ab" * 32}).encode())
    with pytest.raises(StoreError, match="another network"):
        connect(settings(anvil, url, store))
    server.shutdown()


def serving(body: bytes) -> tuple[http.server.HTTPServer, str]:
    """Start a server that answers every GET with `body`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"not JSON",
        b'{"x": "' + b"x" * 5000 + b'"}',
        json.dumps({"chain_id": "31337", "genesis_time": "1", "pace": "0", "checkpoint": "0x" + "00" * 32}).encode(),
        json.dumps({"chain_id": "31337", "genesis_time": "1", "pace": "1", "checkpoint": "0x00"}).encode(),
        json.dumps({"chain_id": "31337", "genesis_time": str(1 << 70), "pace": "1", "checkpoint": "0x" + "00" * 32}).encode(),
    ],
)
def test_a_server_that_is_no_simulated_beacon(anvil: str, body: bytes) -> None:
    server, url = serving(body)
    with pytest.raises(BeaconError):
        connect(settings(anvil, url))
    server.shutdown()


def test_nobody_there(anvil: str) -> None:
    with pytest.raises(BeaconError, match="is it running"):
        connect(settings(anvil, "http://127.0.0.1:9"))


def test_another_chain(anvil: str, beacon: str) -> None:
    with pytest.raises(ConfigError, match="wraps chain 31337, not 31338"):
        connect(settings(anvil, beacon, chain_id=31338))


@pytest.mark.parametrize("chain_id", [1, 11155111, 560048])
def test_a_network_that_is_real_has_no_simulated_beacon(anvil: str, beacon: str, chain_id: int) -> None:
    with pytest.raises(ConfigError, match="real beacon chain"):
        connect(settings(anvil, beacon, chain_id=chain_id))
    ended = run("--rpc", anvil, "--chain-id", str(chain_id))
    assert ended.returncode == 1
    assert "real beacon chain" in ended.stderr


@pytest.mark.parametrize("url", ["http://beacon.example:1", "http://192.0.2.1:1", "http://127.0.0.1.example:1", "http://[::1", "nonsense", ""])
def test_it_is_of_this_machine_only(anvil: str, url: str) -> None:
    with pytest.raises(ConfigError):
        connect(settings(anvil, url))


def test_it_listens_on_the_loopback_only_and_to_it_only(anvil: str, beacon: str) -> None:
    ended = run("--rpc", anvil, "--chain-id", str(CHAIN_ID), "--listen", "0.0.0.0:0")
    assert ended.returncode == 2
    assert "loopback" in ended.stderr
    assert httpx.get(f"{beacon}/simulated/network", headers={"host": "page.example"}).status_code == 421
    assert httpx.get(f"{beacon}/simulated/network").json()["simulated"] is True
