"""A plug whose key is in a secure element: its receipts are stored and paid, its key is replaced, and a wrong chip is refused at boot."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import CHAIN_ID, ROOT
from wattseal.demo.replay import CAR_CURRENT_MA, Replay, wait_for
from wattseal.errors import LinkError
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, to_hex
from wattseal.protocol.typed_data import FLAG_FINAL, FLAG_TRIP

from tests.e2e.bench import Bench
from tests.e2e.test_charge import Visit
from tests.e2e.test_keys import enrolled

ARRIVAL = 1_551_450_000
BOARD = "socket_16a_se"
RESET = 3  # exit status of machine.reset()
CHIP, OTHER_CHIP = "0123a1b2c3d4e5f6ee", "0123ffffffffffffee"


@pytest.fixture(params=["x64", "x86"])
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replay]:
    with Replay(tmp_path, ARRIVAL, board=BOARD, port=request.param) as running:
        yield running


def in_micropython(folder: Path, code: str, **secure_element: Any) -> str:
    """Run code beside the plug's flash, the app stopped, and return its output; `secure_element` is which chip is on the board."""
    settings = json.loads((folder / "sim.json").read_text()) | {"control": []}
    if secure_element:
        settings["secure_element"] = secure_element
    (folder / "sim.json").write_text(json.dumps(settings))
    path = [ROOT / "firmware/sim", ROOT / "build/firmware" / BOARD / "x64"]
    environment = os.environ | {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "WATTSEAL_SIM": str(folder / "sim.json")}
    command = [ROOT / "build/bin/micropython-x64", "-X", "heapsize=512k", "-c", code]
    done = subprocess.run(command, cwd=folder / "flash", env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def boot(folder: Path, **secure_element: Any) -> str:
    """Boot a plug that will not go on; return what it prints. Its coil has never been driven."""
    code = "import main\nfrom clock import world\nprint('coil driven at', world.coil_high_at_us, world.pin_levels[25])"
    printed = in_micropython(folder, code, **secure_element)
    assert printed.endswith("coil driven at None 0\n"), printed
    return printed


def test_receipts_signed_by_the_chip_reach_the_store_and_a_power_cut_changes_no_key(replay: Replay) -> None:
    plug = replay.connected()["plug"]
    answer = enrolled(replay, plug)
    public_key = bytes.fromhex(answer["public_key"][2:])
    assert (answer["curve"], to_hex(signatures.p256_address(public_key))) == ("p256", plug)
    driver = replay.driver(bytes(31) + b"\x05")
    session = driver.start(replay.relay, driver.voucher(replay.relay.get(f"/plugs/{plug}/offer"), replay.host))
    replay.plug.ask(cmd="plug_in", energy_wh=5000, current_ma=CAR_CURRENT_MA)
    replay.charging(session)

    def receipts() -> list[dict[str, Any]]:
        stored: list[dict[str, Any]] = replay.relay.get(f"/sessions/{session}/receipts")["receipts"]
        return stored

    wait_for("a receipt", lambda: (replay.let_pass(20), receipts() or None)[1])
    replay.plug.kill()
    replay.plug = replay.start_plug({"energy_wh": 5000, "current_ma": CAR_CURRENT_MA})
    page = wait_for("the plug", lambda: (replay.plug.run(0.5), replay.page())[1])
    assert page["plug"] == plug
    replay.charging(session)
    wait_for("another receipt", lambda: (replay.let_pass(20), True if len(receipts()) > 1 else None)[1])
    domain = domain_separator(CHAIN_ID, replay.contract)
    for message in receipts():
        signature = bytes.fromhex(message["signature"][2:])
        assert signature[64:] == public_key
        assert to_hex(signatures.recover(Receipt.from_wire(message["receipt"]).digest(domain), signature)) == plug


def test_a_charge_that_the_chip_signed_is_paid(replay: Replay) -> None:
    visit = Visit(replay, 400)
    state = visit.wait_for_receipt(FLAG_FINAL)
    visit.check_paid(state["true_mwh"] / 1000)


def test_a_new_key_is_made_in_the_other_slot_and_the_old_one_retires(replay: Replay, tmp_path: Path) -> None:
    old = replay.connected()["plug"]
    replay.plug.kill()
    for number in (1, 2, 3):  # both slots, and the first again
        in_micropython(tmp_path, f"from plug import rekey\nrekey.run({'5a' * 32!r})")
        replay.plug = replay.start_plug()
        page = wait_for("the successor", lambda: (replay.plug.run(0.5), replay.page())[1])
        assert page["plug"] != old
        assert len(enrolled(replay, page["plug"], 2 * number)["retirements"]) == number
        old = page["plug"]
        replay.plug.kill()


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a plug that has a key in its chip."""
    Bench(tmp_path, BOARD).close()
    return tmp_path


def test_a_replaced_chip_is_refused_at_boot_and_the_right_one_taken_again(stopped: Path) -> None:
    printed = boot(stopped, serial=OTHER_CHIP, is_set_up=True)
    assert printed.startswith(
        f"secure_element: the secure element is chip {OTHER_CHIP}, this plug's key is in chip 0123a1b2c3d4e5f6ee: put that one back"
    )
    Bench(stopped, BOARD).close()


def test_an_unlocked_chip_is_refused_at_boot_until_it_is_set_up(tmp_path: Path, stopped: Path) -> None:
    (stopped / "flash/nvs.json").unlink()
    (stopped / "flash/flash.bin").unlink()
    chip = {"serial": OTHER_CHIP, "is_set_up": False}
    assert boot(stopped, **chip).startswith("secure_element: the secure element is not locked")
    assert not (stopped / "flash/nvs.json").exists()
    in_micropython(stopped, "from plug import set_up_element\nset_up_element.run('lock it for ever')", **chip)
    Bench(stopped, BOARD, settings={"secure_element": chip}).close()


def test_a_chip_with_another_key_in_the_slot_is_refused_at_boot(stopped: Path) -> None:
    file = stopped / f"flash/atecc608b-{CHIP}.json"
    memory = json.loads(file.read_text())
    memory["keys"]["0"] = "5"
    file.write_text(json.dumps(memory))
    assert "holds another key" in boot(stopped)


def test_another_kind_of_chip_is_refused_at_boot(stopped: Path) -> None:
    file = stopped / f"flash/atecc608b-{CHIP}.json"
    memory = json.loads(file.read_text())
    memory["config"] = memory["config"][:8] + "00005000" + memory["config"][16:]  # an ATECC508A
    file.write_text(json.dumps(memory))
    assert "it is no ATECC608" in boot(stopped)


def test_a_chip_that_dies_in_a_session_opens_the_contacts_and_restarts_the_plug(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BOARD)
    bench.start()
    assert bench.plug.run(10)["contacts"] == 1
    bench.plug.ask(cmd="secure_element", absent=True)
    with pytest.raises((LinkError, ConnectionError)):  # the receipt after 250 Wh
        bench.plug.run(300)
    assert bench.plug.wait() == RESET
    assert "the secure element does not wake" in bench.plug.log.read_text()
    bench.boot("reset")
    assert bench.status["trip"] == "watchdog"
    assert bench.plug.run(10)["contacts"] == 0
    assert bench.expect_final()["flags"] & FLAG_TRIP  # signed now that the chip is back
    bench.close()


def test_a_passing_fault_of_the_chips_bus_costs_a_retry(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BOARD)
    session = bench.start()
    bench.plug.ask(cmd="secure_element", i2c=3)
    bench.stop(session)
    assert bench.plug.run(10)["contacts"] == 0
    assert bench.expect_final()["session"] == session
    bench.close()
