"""`wattseal plug` as a user meets it, where there is nothing to show. What it shows is in tests/e2e/test_keys.py."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

PLUG = "0x" + "Ab" * 20


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from wattseal.cli.main import app; app()", "plug", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


class Refusing(BaseHTTPRequestHandler):
    """A relay that refuses everything, or another server with other answers."""

    REFUSAL = 409, b'{"code": "stale_epoch", "message": "the last one was 7"}'
    asked: list[tuple[str, str, bytes]] = []  # noqa: RUF012 - of the one server
    answer = REFUSAL

    def _refuse(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, self.path, body))
        status, answer = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _refuse  # noqa: N815 - the base class's names

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    Refusing.asked.clear()
    Refusing.answer = Refusing.REFUSAL
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_relays_own_words_are_shown_and_the_exit_code_is_1(api: str) -> None:
    done = run("enrol", PLUG, "--epoch", "5", "--api", api)
    assert done.returncode == 1
    assert done.stderr == "wattseal: the relay refused: the last one was 7 [stale_epoch] [link]\n"
    assert run("key", PLUG, "--api", f"{api}/").returncode == 1
    assert run("enrol", PLUG, "--api", api).returncode == 1
    (posted, gotten, next_one) = Refusing.asked
    assert posted[:2] == ("POST", f"/plugs/{PLUG.lower()}/enrolments")
    assert json.loads(posted[2]) == {"epoch": 5}
    assert gotten == ("GET", f"/plugs/{PLUG.lower()}/key", b"")
    assert json.loads(next_one[2]) == {"epoch": None}


def test_a_retired_key_is_not_shown_as_one_in_use(api: str) -> None:
    keys = ("plug", "host", "epoch", "curve", "public_key", "signature", "chain_id", "contract")
    shown = dict.fromkeys(keys, "x") | {"retirements": [], "retired": {"successor": "0x" + "cd" * 20, "epoch": 7}}
    Refusing.answer = 200, json.dumps(shown).encode()
    done = run("key", PLUG, "--api", api)
    assert done.returncode == 0
    assert "in favour of 0x" + "cd" * 20 + " in epoch 7" in done.stdout
    Refusing.answer = 200, json.dumps(shown | {"retired": None}).encode()
    assert "RETIRED" not in run("key", PLUG, "--api", api).stdout


def test_no_relay_is_one_line() -> None:
    done = run("key", PLUG, "--api", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--api" in done.stderr


@pytest.mark.parametrize(
    "answer", [(200, b"[]"), (200, b"{}"), (404, b"[]"), (404, b'{"detail": "Not Found"}'), (500, b"null"), (200, b"no JSON"), (302, b'"x"')]
)
def test_a_server_that_is_no_relay_is_one_line(api: str, answer: tuple[int, bytes]) -> None:
    Refusing.answer = answer
    done = run("key", PLUG, "--api", api)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--api" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["key", "0x12"], ["key", PLUG + "/.."], ["enrol", PLUG, "--epoch", "0"], ["enrol", PLUG, "--epoch", str(1 << 64)], ["key"]]
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_the_longest_signature_is_shown_whole(api: str) -> None:
    keys = ("plug", "host", "epoch", "curve", "public_key", "signature", "chain_id", "contract")
    signature = "0x" + "".join(f"{number:02x}" for number in range(128))
    Refusing.answer = 200, json.dumps(dict.fromkeys(keys, "x") | {"signature": signature, "retirements": [], "retired": None}).encode()
    shown = run("key", PLUG, "--api", api).stdout
    assert signature in "".join(line.split("│")[2].strip() for line in shown.splitlines() if "│" in line)
