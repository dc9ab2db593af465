"""A driver with the command line alone, at a simulated plug with the real firmware; and then without relay, plug and host."""

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from eth_account import Account
from typer.testing import CliRunner
from wattseal.cli.main import app
from wattseal.demo.processes import CHAIN_ID, SimulatedPlug
from wattseal.demo.replay import BOARD, CAR_CURRENT_MA, Replay
from wattseal.keys import save_key
from wattseal.protocol.messages import to_hex
from wattseal.protocol.typed_data import GRACE_S

PER_KWH, PER_HOUR = 10**14, 10**13
CAP = "0.005"
TARIFF = [{"from": "00:00", "to": "24:00", "price_per_kwh": PER_KWH, "price_per_hour": PER_HOUR}]


class Paid(Replay):
    """A plug that wants money."""

    def start_plug(self, car: dict[str, int] | None = None) -> SimulatedPlug:
        self._utc_at_zero = self.chain.timestamp()
        terms = {"host": to_hex(self.host), "utc_offset_min": 0, "tariff": TARIFF, "schedule": [], "button": False, "site": False}
        return SimulatedPlug(self._folder, BOARD, "x64", self.contract, self.relay_port, car=car, config={"terms": terms})


class Terminal:
    """A driver's shell: the wallet's folder, the password and the chain are in its environment."""

    def __init__(self, folder: Path, replay: Replay) -> None:
        self.folder = folder
        settings = {
            "WALLET": str(folder),
            "PASSWORD": "correct horse",
            "RPC": replay.chain.url,
            "CHAIN_ID": str(CHAIN_ID),
            "CONTRACT": to_hex(replay.contract),
            "SIMULATED_BEACON": replay.beacon.url,
        }
        self.environment: dict[str, str | None] = {f"WATTSEAL_DRIVER_{name}": value for name, value in settings.items()}

    def trust_rpc(self) -> None:
        """Follow no beacon: the simulated one's slots are not for weeks."""
        self.environment |= {"WATTSEAL_DRIVER_SIMULATED_BEACON": None, "WATTSEAL_DRIVER_TRUST_RPC": "1"}

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> Result:
        done = CliRunner().invoke(app, arguments, stdin, self.environment)
        assert done.exit_code == code, done.output
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Paid]:
    with Paid(tmp_path / "replay", int(time.time())) as running:
        yield running


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes passwords hard to guess takes a second each time; tests/host_tools/test_keys_at_rest.py has it."""
    encrypt = Account.encrypt
    monkeypatch.setattr("wattseal.keys.Account.encrypt", lambda secret, password: encrypt(secret, password, kdf="pbkdf2", iterations=1))


def test_a_driver_needs_nobodys_goodwill(replay: Paid, tmp_path: Path) -> None:
    plug, api = replay.connected()["plug"], str(replay.relay.api.base_url)
    enrol(replay, plug)
    driver = Terminal(tmp_path / "wallet", replay)
    numbered = dict(re.findall(r"(\d+) ([a-z]+)", driver.run("driver", "create").stdout))
    words = [numbered[str(number)] for number in range(1, 25)]

    # charging
    waiting = driver.json("driver", "address", "--cap", CAP)
    replay.chain.fund(bytes.fromhex(waiting["address"][2:]), waiting["needed_wei"])
    signed = driver.json("driver", "voucher", plug, "--api", api, "--cap", CAP, "--hours", "1")
    assert signed["voucher"]["driver"] == waiting["address"]
    assert signed["voucher"]["host"] == to_hex(replay.host)
    assert "are locked" in driver.run("driver", "open").stdout
    replay.plug.ask(cmd="plug_in", energy_wh=5000, current_ma=CAR_CURRENT_MA)
    replay.charging(signed["session"])
    replay.let_pass(700)
    deadline = time.monotonic() + 20
    while not (kept := driver.run("driver", "receipts").stdout).endswith("wei)\n") and time.monotonic() < deadline:
        replay.let_pass(1)
    assert "Wh" in kept
    shown = driver.json("driver", "show")
    assert (shown["on_chain"]["status"], shown["on_chain"]["paid"], shown["next"]) == ("open", 0, "wattseal driver receipts")
    page = replay.relay.api.get(f"/sessions/{signed['session']}/page").text
    assert f"{shown['newest']['energyWh']} Wh" in page

    # the receipt, passed on
    (tmp_path / "receipt.json").write_text(driver.run("receipts", "export").stdout)
    text = driver.run("receipts", "export", "--text").stdout
    assert text.strip() in page
    for argument, stdin in ((str(tmp_path / "receipt.json"), ""), ("-", text), (text.strip(), "")):
        assert "everything about this receipt is right" in driver.run("receipts", "verify", argument, stdin=stdin).stdout
    forged = json.loads((tmp_path / "receipt.json").read_text())
    forged["receipt"]["energyWh"] -= 1
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    assert "NOT right: the receipt is signed by" in driver.run("receipts", "verify", str(tmp_path / "forged.json"), code=1).stderr

    # the host takes everything away: relay, plug, power
    replay.relay.kill()
    replay.plug.kill()
    driver.trust_rpc()
    assert "is it running" in driver.run("driver", "stop", code=1).stderr
    assert "the host was paid" in driver.run("driver", "settle").stdout
    payer = tmp_path / "payer.json"
    save_key(payer, secrets.token_bytes(32), "correct horse")
    stranger = Terminal(tmp_path / "nothing", replay)
    stranger.trust_rpc()
    stranger.environment["WATTSEAL_DRIVER_PAYER_PASSWORD"] = "correct horse"
    settled = stranger.run("driver", "settle", "--receipt", str(tmp_path / "receipt.json"), "--payer", str(payer)).stdout
    assert f"({shown['due_wei']} wei) in total, proven" in settled  # paid already: found, and no coins needed
    assert "wattseal driver create" in stranger.run("driver", "settle", "--receipt", str(tmp_path / "receipt.json"), code=1).stderr
    assert "the host can claim until" in driver.run("driver", "refund", code=1).stderr
    replay.chain.follow(signed["voucher"]["validUntil"] + GRACE_S + 1)

    # the machine breaks: the words, and the chain, are all that is left
    again = Terminal(tmp_path / "again", replay)
    again.trust_rpc()
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert "1 sessions found" in again.run("driver", "restore", "--since", today, stdin=" ".join(words) + "\n").stdout
    assert again.json("driver", "status")[0]["session"] == signed["session"]
    assert "its rest is yours" in again.run("driver", "refund").stdout
    receiver = "0x" + "ab" * 20
    again.run("driver", "withdraw", "--to", receiver)
    due = shown["due_wei"]
    chain = replay.chain
    assert int(chain.rpc.call("eth_getBalance", receiver, "latest"), 16) > waiting["needed_wei"] - due - waiting["needed_wei"] // 10
    done = again.json("driver", "show")
    assert (done["on_chain"]["refundable"], done["next"]) == (0, "nothing")
    assert "are taken" in again.run("driver", "address", "--new", code=1).stderr


def enrol(replay: Paid, plug: str) -> None:
    """Have the plug say for whom it works, while its time passes."""
    asking = threading.Thread(target=replay.relay.post, args=(f"/plugs/{plug}/enrolments", {"epoch": None}))
    asking.start()
    while asking.is_alive():
        replay.plug.run(0.5)
    asking.join()
