"""`wattseal driver` and `wattseal receipts` where there is no chain and no relay. The whole way is in tests/e2e/test_driver.py."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner
from wattseal.cli.main import app
from wattseal.driver.folder import DriverFolder
from wattseal.driver.seed import Seed
from wattseal.protocol.messages import to_hex

from tests.host_tools.driver.conftest import PASSWORD, Plug, Street, new_folder

__all__ = ["new_folder"]

CONTRACT = b"\x5f" * 20
CHAIN = ("--rpc", "http://127.0.0.1:9", "--chain-id", "31337", "--contract", to_hex(CONTRACT))
COMMANDS = ("create", "restore", "address", "voucher", "open", "receipts", "stop", "status", "show", "settle", "refund", "withdraw")


def run(*arguments: str, wallet: Path | None = None, stdin: str = "", password: str | None = PASSWORD, code: int = 0) -> Result:
    environment: dict[str, str | None] = {name: None for name in os.environ if name.startswith("WATTSEAL_")}
    environment |= {"WATTSEAL_DRIVER_PASSWORD": password, "WATTSEAL_DRIVER_WALLET": None if wallet is None else str(wallet)}
    done = CliRunner().invoke(app, arguments, stdin, environment)
    assert done.exit_code == code, done.output
    if code == 1:
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("wattseal: ")
    return done


@pytest.fixture
def folder(new_folder: Callable[[], DriverFolder], monkeypatch: pytest.MonkeyPatch) -> DriverFolder:
    """A wallet with one session and three receipts; not held open."""
    monkeypatch.setattr(Street, "now", 1_795_600_000)
    folder, plug = new_folder(), Plug(CONTRACT)
    street = Street("http://127.0.0.1:9", CONTRACT, lambda: bytes(32))
    session = street.arrive(folder, plug)
    folder.add_receipts(session, [plug.receipt(session, 100 * number, final=number == 3, sequence=number) for number in (1, 2, 3)])
    folder.close()
    return folder


def test_help_has_examples_for_every_command_group() -> None:
    for arguments in (("driver",), ("receipts",), *(("driver", command) for command in COMMANDS)):
        assert "Usage" in run(*arguments, "--help").stdout
    text = run("driver", "--help").stdout
    assert all(command in text for command in COMMANDS)
    assert "Exit codes" in text
    assert "Exit codes" in run("receipts", "--help").stdout


def test_words_are_shown_once_and_are_those_of_the_seed(tmp_path: Path) -> None:
    wallet = tmp_path / "wallet"
    shown = run("driver", "create", wallet=wallet).stdout
    cells = [cell.split() for line in shown.splitlines() if line[:2].strip().isdigit() for cell in line.split("   ") if cell.strip()]
    words = [word for _, word in sorted((int(number), word) for number, word in cells)]
    with DriverFolder(wallet) as opened:
        opened.unlock(PASSWORD)
        assert Seed.from_words(" ".join(words)).entropy == opened._seed.entropy  # type: ignore[union-attr]
    again = run("driver", "create", wallet=wallet, code=1)
    assert "holds a wallet already" in again.stderr
    assert not any(word in again.output for word in words if len(word) > 5)


def test_no_secret_is_an_argument() -> None:
    for command in COMMANDS:
        options = [word for word in run("driver", command, "--help").stdout.split() if word.startswith("--")]
        assert not {"--password", "--key", "--words", "--mnemonic", "--seed"} & set(options)


def test_a_wallet_from_bad_words_is_not_made(tmp_path: Path) -> None:
    done = run("driver", "restore", *CHAIN, "--trust-rpc", wallet=tmp_path / "w", stdin="one two three\n", code=1)
    assert "3 words, not 24" in done.stderr
    assert not (tmp_path / "w").exists()


def test_without_a_wallet_the_next_command_is_named(tmp_path: Path) -> None:
    for command in ("status", "receipts"):
        assert "wattseal driver create" in run("driver", command, wallet=tmp_path, code=1).stderr


def test_without_a_terminal_the_password_is_not_waited_for(folder: DriverFolder) -> None:
    done = run("driver", "stop", wallet=folder.path, password=None, code=1)
    assert "WATTSEAL_DRIVER_PASSWORD" in done.stderr
    assert "does not open" in run("driver", "stop", wallet=folder.path, password="wrong", code=1).stderr


def test_status_asks_nobody_and_shows_what_is_kept(folder: DriverFolder) -> None:
    shown = run("driver", "status", wallet=folder.path, password=None).stdout
    session = to_hex(folder.sessions[0].id)
    for text in (session[:10], "final", "300 Wh", "0.02", "withdraw"):
        assert text in shown
    entry = json.loads(run("driver", "status", "--json", wallet=folder.path, password=None).stdout)[0]
    assert (entry["session"], entry["receipts"], entry["due_wei"]) == (session, 3, 31_500_000_000_000)


def test_receipts_are_listed_shown_exported_and_verified(folder: DriverFolder, tmp_path: Path) -> None:
    wallet, session = folder.path, to_hex(folder.sessions[0].id)
    assert session[:10] in run("receipts", "list", wallet=wallet).stdout
    shown = run("receipts", "show", session[:12], "--qr", wallet=wallet).stdout
    for text in (session, "final", "0.0000315", "31500000000000 wei", "█"):
        assert text in shown
    second = run("receipts", "export", "--sequence", "2", wallet=wallet).stdout
    (tmp_path / "r").write_text(second)
    assert json.loads(run("receipts", "verify", str(tmp_path / "r"), "--json").stdout)["receipt"]["energyWh"] == 200
    assert "number 7" in run("receipts", "export", "--sequence", "7", wallet=wallet, code=1).stderr


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("receipt", "energyWh", 301), "signed by"),
        (("receipt", "flags", 1 << 8), "signed by"),
        (("voucher", "cap", 1), "is session"),
        (("contract", None, "0x" + "11" * 20), "is session"),
        (("ocmf", None, "{}"), "evidence"),
        (("voucher", "cap", 0), "cap is 0"),
    ],
)
def test_a_receipt_that_is_not_right_says_why(folder: DriverFolder, change: tuple[str, str | None, object], why: str) -> None:
    wire = json.loads(run("receipts", "export", wallet=folder.path).stdout)
    part, name, value = change
    wire[part] = value if name is None else wire[part] | {name: value}
    done = run("receipts", "verify", "-", stdin=json.dumps(wire), code=1)
    assert "NOT right" in done.stderr
    assert why in done.stderr


@pytest.mark.parametrize("text", ["", "hello", "WATTSEAL1:ABC", "[[[", "\x00" * 100, "{" * 20_000])
def test_what_is_no_receipt_is_one_line(text: str) -> None:
    run("receipts", "verify", "-", stdin=text, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("voucher", "0x12", "--api", "http://127.0.0.1:9", "--cap", "1", "--chain-id", "1", "--contract", to_hex(CONTRACT)),
        ("open", *CHAIN),  # what vouches for headers?
        ("open", *CHAIN, "--trust-rpc", "--beacon", "http://127.0.0.1:9"),
        ("open", *CHAIN[:-1], "0x12", "--trust-rpc"),
        ("withdraw", *CHAIN, "--trust-rpc"),
        ("withdraw", *CHAIN, "--trust-rpc", "--to", "0x12"),
        ("withdraw", *CHAIN, "--trust-rpc", "--to", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee"),  # a slip, by EIP-55
        ("withdraw", *CHAIN, "--trust-rpc", "--to", "0x" + "00" * 20),
        ("withdraw", *CHAIN, "--trust-rpc", "--to", to_hex(CONTRACT)),
        ("restore", *CHAIN, "--trust-rpc", "--since", "yesterday"),
        ("nothing",),
    ],
)
def test_wrong_usage_is_2(folder: DriverFolder, arguments: tuple[str, ...]) -> None:
    run("driver", *arguments, wallet=folder.path, code=2)


def test_a_session_of_another_chain_is_not_touched(folder: DriverFolder) -> None:
    other = ("--rpc", "http://127.0.0.1:9", "--chain-id", "1", "--contract", to_hex(CONTRACT), "--trust-rpc")
    for command in (("settle",), ("refund",), ("open",), ("show",)):
        assert "--chain-id" in run("driver", *command, *other, wallet=folder.path, code=1).stderr


def test_a_chain_that_is_not_there_is_one_line(folder: DriverFolder) -> None:
    for command in (("settle",), ("refund",), ("show",), ("address",)):
        assert "127.0.0.1:9" in run("driver", *command, *CHAIN, "--trust-rpc", wallet=folder.path, code=1).stderr


def test_an_odd_cap_is_refused_before_anything_is_asked(folder: DriverFolder) -> None:
    done = run("driver", "address", *CHAIN, "--trust-rpc", "--cap", "0.0123", wallet=folder.path, code=1)
    assert "the next is 0.02" in done.stderr


def test_as_a_process_the_exit_code_is_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from wattseal.cli.main import app; app()", "receipts", "verify", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"wattseal: cannot read {tmp_path / 'none'}: No such file or directory [wallet]\n"


def test_an_address_with_its_checksum_is_taken_and_a_receipt_of_another_contract_is_not_settled(folder: DriverFolder, tmp_path: Path) -> None:
    good = run("driver", "withdraw", *CHAIN, "--trust-rpc", "--to", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", wallet=folder.path, code=1)
    assert "checksum" not in good.stderr
    receipt = tmp_path / "receipt.json"
    receipt.write_text(run("receipts", "export", wallet=folder.path).stdout)
    other = (*CHAIN[:-1], "0x" + "12" * 20)
    done = run("driver", "settle", *other, "--trust-rpc", "--receipt", str(receipt), wallet=folder.path, code=1)
    assert f"of {to_hex(CONTRACT)} on chain 31337" in done.stderr
