import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from wattseal.driver.folder import DriverFolder
from wattseal.driver.seed import AHEAD, SLOT_S, Seed, slot
from wattseal.errors import BadEvidence, BadSignature, ConfigError, Conflict, NotMonotone, WalletError
from wattseal.protocol.messages import to_hex

from tests.host_tools.driver.conftest import PASSWORD, Plug, Street


@pytest.fixture(autouse=True)
def no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is locked: a fixed time will do."""
    monkeypatch.setattr(Street, "now", 1_795_600_000)


def reopened(folder: DriverFolder) -> DriverFolder:
    folder.close()
    again = DriverFolder(folder.path)
    again.unlock(PASSWORD)
    return again


def test_what_was_kept_is_there_again(street: Street, folder: DriverFolder, plug: Plug) -> None:
    waiting = folder.reserve()
    session = street.arrive(folder, plug)
    messages = [plug.receipt(session, wh, sequence=wh) for wh in (10, 20)]
    assert folder.add_receipts(session, messages) == 2
    folder.mark_locking(session)
    folder.add_receiver(session.voucher.driver, b"\x11" * 20)
    again = reopened(folder)
    assert again.sessions == [session]
    assert again.receipts(session) == messages
    assert again.unlocked_keys(None) == dict([waiting])
    assert again.is_locking(session)
    assert again.is_accepted(session)
    assert not again.is_paid_out(session)
    with pytest.raises(WalletError, match="would show"):
        again.check_receiver(b"\x22" * 20, b"\x11" * 20)


def test_a_key_is_durable_before_it_is_used(folder: DriverFolder) -> None:
    """A crash right after the key was taken: the file is all that is left, and another process takes the next one."""
    index, address = folder.reserve()
    journal = (folder.path / "sessions.jsonl").read_bytes()
    assert f'"index":{index},"address":"{to_hex(address)}"'.encode() in journal
    assert reopened(folder).reserve()[0] > index


def test_a_key_whose_line_was_cut_off_was_never_handed_out(folder: DriverFolder) -> None:
    first, _ = folder.reserve()
    second, _ = folder.reserve()
    path = folder.path / "sessions.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert list(reopened(folder).unlocked_keys(None)) == [first]
    assert second > first


def test_two_commands_do_not_take_the_same_key(folder: DriverFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattseal.driver.folder.PATIENCE_S", 0.01)
    with pytest.raises(WalletError, match="another command is using"):
        DriverFolder(folder.path)


def test_a_restored_wallet_takes_no_key_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_795_600_000.0]
    seed = Seed.new()
    monkeypatch.setattr("wattseal.driver.folder.save_key", lambda path, secret, password: path.touch())
    with DriverFolder.create(tmp_path / "old", seed, PASSWORD, lambda: now[0]) as old:
        taken = [old.reserve()[0] for _ in range(AHEAD + 1)]
        with pytest.raises(WalletError, match="are taken"):
            old.reserve()
    with DriverFolder.create(tmp_path / "new", seed, PASSWORD, lambda: now[0], restored=True) as new:
        with pytest.raises(WalletError, match="are taken"):
            new.reserve()
        now[0] += SLOT_S
        assert new.reserve()[0] > max(taken) >= slot(now[0] - SLOT_S) + AHEAD


def test_nothing_is_overwritten(folder: DriverFolder) -> None:
    with pytest.raises(ConfigError, match="holds a wallet already"):
        DriverFolder.create(folder.path, Seed.new(), PASSWORD)


def test_no_wallet_and_wrong_password(tmp_path: Path, folder: DriverFolder) -> None:
    with pytest.raises(WalletError, match="wattseal driver create"):
        DriverFolder(tmp_path)
    with pytest.raises(ConfigError, match="does not open"):
        folder.unlock("another")
    folder.close()
    with pytest.raises(WalletError, match="locked"):
        DriverFolder(folder.path).reserve()


def test_the_seed_is_not_in_the_folder_in_the_clear(folder: DriverFolder) -> None:
    folder.reserve()
    secret = folder._seed.entropy
    for path in folder.path.iterdir():
        data = path.read_bytes()
        assert secret not in data
        assert secret.hex().encode() not in data
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"type":"session"}', "damaged"),
        ('{"type":"reserved","index":"x","address":"0x00"}', "damaged"),
        ('{"index":1}', "damaged"),
        ('{"type":"hologram"}', "newer version"),
    ],
)
def test_a_line_that_says_nothing(folder: DriverFolder, line: str, why: str) -> None:
    folder.close()
    (folder.path / "sessions.jsonl").write_text(line + "\n")
    with pytest.raises(WalletError, match=why):
        DriverFolder(folder.path)


class TestReceipts:
    def test_a_receipt_is_kept_once(self, street: Street, folder: DriverFolder, plug: Plug) -> None:
        session = street.arrive(folder, plug)
        message = plug.receipt(session, 10)
        assert folder.add_receipts(session, [message]) == 1
        assert folder.add_receipts(session, [message, message]) == 0
        assert folder.receipts(session) == [message]

    def test_a_late_one_is_put_in_its_place(self, street: Street, folder: DriverFolder, plug: Plug) -> None:
        session = street.arrive(folder, plug)
        messages = [plug.receipt(session, wh, sequence=wh) for wh in (10, 20, 30)]
        folder.add_receipts(session, [messages[2], messages[0], messages[1]])
        assert folder.receipts(session) == messages

    def test_what_is_wrong_is_not_kept_and_what_came_before_is(self, street: Street, folder: DriverFolder, plug: Plug) -> None:
        session, stranger = street.arrive(folder, plug), Plug(street.contract)
        good = plug.receipt(session, 10)
        for wrong, error in (
            (dataclasses.replace(plug.receipt(session, 20, sequence=2), signature=stranger.receipt(session, 20, sequence=2).signature), BadSignature),
            (dataclasses.replace(plug.receipt(session, 20, sequence=2), ocmf=good.ocmf), BadEvidence),
            (plug.receipt(session, 5, sequence=2), NotMonotone),
            (plug.receipt(session, 10), Conflict),
        ):
            with pytest.raises(error):
                folder.add_receipts(session, [good, wrong])
            assert folder.receipts(session) == [good]


def test_a_session_is_named_by_its_start(street: Street, folder: DriverFolder, plug: Plug, new_folder: Callable[[], DriverFolder]) -> None:
    with pytest.raises(WalletError, match="no session yet"):
        folder.session(None)
    first, second = street.arrive(folder, plug), street.arrive(folder, plug)
    assert folder.session(None) == second
    assert folder.session(to_hex(first.id)[:14].upper().replace("X", "x")) == first
    for text in ("0x", "0x12", "", to_hex(bytes(32)), "../../etc/passwd"):
        with pytest.raises(WalletError, match="start of 0"):
            folder.session(text)
    shown = new_folder()
    assert shown.unlocked_keys(plug.id) == {}


def test_a_key_stays_with_its_plug_until_a_lock_is_sent(street: Street, folder: DriverFolder, plug: Plug) -> None:
    session = street.arrive(folder, plug)
    key = {session.index: session.voucher.driver}
    assert folder.unlocked_keys(plug.id) == key
    assert folder.unlocked_keys(b"\x01" * 20) == {}
    assert folder.unlocked_keys(None) == key
    folder.mark_locking(session)
    assert folder.unlocked_keys(None) == {}


TAKER = """
import sys
from pathlib import Path
from wattseal.driver.folder import DriverFolder
from wattseal.driver.seed import SLOT_S
with DriverFolder(Path(sys.argv[1]), lambda: 1_795_600_000 + SLOT_S * float(sys.argv[2])) as folder:
    folder.unlock(sys.argv[3])
    while True:
        sys.stdout.write(f"{folder.reserve()[0]}\\n")
        sys.stdout.flush()
"""


def test_no_key_is_shown_twice_however_often_the_command_is_killed(folder: DriverFolder) -> None:
    folder.close()
    shown: list[int] = []
    for number in (500, 1000, 1500):
        command = [sys.executable, "-c", TAKER, str(folder.path), str(number), PASSWORD]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as taker:
            assert taker.stdout
            shown += [int(taker.stdout.readline()) for _ in range(3)]
            taker.kill()
            shown += [int(line) for line in taker.stdout if line.endswith("\n")]
    assert len(shown) == len(set(shown)) >= 9
