"""Birth and replacement of the key, over an NVS, a journal and a radio of the test's own."""

import json
import sys

from run_in_micropython import raises
from storage.file_partition import FilePartition


class Flash:
    """What outlives a power cut."""

    blob = None
    partition = None


class Cut(Exception):
    """The power went."""


class NVS:
    """A namespace with one blob, in flash once committed; the power goes at step `cut_at` of a write."""

    cut_at = 0

    def __init__(self, namespace):
        assert namespace == "wattseal"
        self._blob = Flash.blob

    def get_blob(self, key, buffer):
        if self._blob is None:
            raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
        buffer[: len(self._blob)] = self._blob
        return len(self._blob)

    def set_blob(self, key, blob):
        self._step()
        self._blob = bytes(blob)
        self._step()

    def commit(self):
        Flash.blob = self._blob
        self._step()

    def _step(self):
        NVS.cut_at -= 1
        if NVS.cut_at == 0:
            raise Cut


class Partition:
    TYPE_DATA = 1

    @staticmethod
    def find(kind, label):
        return [Flash.partition] if (kind, label) == (1, "journal") and Flash.partition else []


class Radio:
    """`network.WLAN`: on, and looking for a network, as it was told."""

    is_on = is_looking = is_broken = False

    def __init__(self, interface):
        assert interface == 0

    def active(self, is_on):
        Radio.is_on = is_on
        Radio.is_looking = Radio.is_looking and is_on

    def connect(self, ssid, password):
        if not Radio.is_on or Radio.is_broken:
            raise OSError("Wifi Internal State Error")
        assert (ssid, password) == ("a", "b")
        Radio.is_looking = True


class FakeEsp32:
    NVS, Partition = NVS, Partition


class FakeNetwork:
    STA_IF, WLAN = 0, Radio


sys.modules["esp32"], sys.modules["network"] = FakeEsp32, FakeNetwork

from plug import config, device_key, rekey  # noqa: E402
from plug.crypto import eip712, secp256k1  # noqa: E402
from plug.errors import BadState, ConfigError, JournalError, KeystoreError  # noqa: E402
from plug.ledger import Ledger, open_ledger  # noqa: E402
from plug.signing.software import SoftwareSigner  # noqa: E402
from plug.storage import keystore  # noqa: E402
from plug.storage.journal import Journal  # noqa: E402
from plug.storage.keystore import KeyRecord  # noqa: E402

SETTINGS = {"wifi": {"ssid": "a", "password": "b"}, "relay": {"host": "192.0.2.10", "port": 7140}, "chain_id": 31337, "contract": "0x" + "11" * 20}
ENTROPY = "0123456789abcdef" * 4
DOMAIN = eip712.domain_separator(31337, b"\x11" * 20)
TAG = b"%011d" % 1
DOCUMENT = {"voucher": {}, "signature": "0x", "started_at": 5, "register_wh": 6, "calibration": ""}
OLD_SECRET = b"\x33" * 32


def rebooted():
    """Return the NVS as it is in flash."""
    return NVS("wattseal")


def erased():
    """Make a new plug, with nothing but its configuration in flash; return its NVS."""
    Flash.blob, Flash.partition = None, FilePartition(64)
    with open("config.json", "w") as file:
        json.dump(SETTINGS, file)
    return rebooted()


def with_key(epoch=3):
    """Make a plug that has a key and a journal; return its ledger."""
    nvs = erased()
    ledger = open_ledger(Journal(Flash.partition), False)
    keystore.store(nvs, KeyRecord(SoftwareSigner.KIND, OLD_SECRET, epoch, b"\x44" * 20))
    return ledger


def test_a_first_key_needs_the_hosts_entropy():
    nvs = erased()
    text = str(raises(ConfigError, device_key.create, nvs, config.Config(SETTINGS)))
    assert "entropy" in text
    assert device_key.load(rebooted()) is None


def test_a_first_key_is_kept():
    signer, record = device_key.create(erased(), config.Config(dict(SETTINGS, entropy=ENTROPY)))
    again, found = device_key.load(rebooted())
    assert again.address == signer.address
    assert (found.material, found.epoch, found.retirement) == (record.material, 0, None)


def test_it_is_drawn_while_the_radio_looks_for_its_network():
    settings = config.Config(SETTINGS)
    seen = []
    device_key.draw(settings, lambda entropy: seen.append((entropy, Radio.is_on, Radio.is_looking)), b"entropy")
    assert seen == [(b"entropy", True, True)]
    assert not Radio.is_on


def test_without_the_radio_there_is_no_key():
    nvs = erased()
    Radio.is_broken = True
    try:
        raises(KeystoreError, device_key.create, nvs, config.Config(dict(SETTINGS, entropy=ENTROPY)))
    finally:
        Radio.is_broken = False
    assert device_key.load(rebooted()) is None


def test_the_old_key_signs_for_the_new_one():
    with_key(epoch=3)
    shown = []
    address = rekey.run(ENTROPY, shown.append)
    signer, record = device_key.load(rebooted())
    epoch, plug, signature = record.retirement
    old = SoftwareSigner(OLD_SECRET)
    assert signer.address == address != old.address
    assert (record.epoch, record.host, epoch, plug) == (4, keystore.NO_HOST, 4, old.address)
    digest = eip712.digest(DOMAIN, eip712.hash_struct("Retire", {"plug": plug, "successor": address, "epoch": 4}))
    assert secp256k1.recover(digest, signature) == old.public_key
    assert ENTROPY not in shown[0]
    assert record.material.hex() not in shown[0]


def test_the_newest_retirement_replaces_the_one_before():
    with_key()
    first = rekey.run(ENTROPY, str)
    second = rekey.run(ENTROPY, str)
    record = device_key.load(rebooted())[1]
    assert first != second
    assert record.retirement[:2] == (5, first)


def test_a_power_cut_leaves_the_old_or_the_new_key_whole():
    outcomes = []
    old = SoftwareSigner(OLD_SECRET).address
    for cut_at in (1, 2, 3):
        with_key()
        NVS.cut_at = cut_at
        raises(Cut, rekey.run, ENTROPY)
        signer, record = device_key.load(rebooted())
        outcomes.append(signer.address == old)
        assert (record.retirement is None) == (signer.address == old)
        assert record.epoch == (3 if signer.address == old else 4)
    assert outcomes == [True, True, False]


def test_a_session_keeps_the_key():
    ledger = with_key()
    ledger.put_session(TAG, DOCUMENT)
    raises(BadState, rekey.run, ENTROPY)
    assert device_key.load(rebooted())[1].material == OLD_SECRET


def test_a_receipt_that_nobody_has_keeps_the_key():
    ledger = with_key()
    ledger.put_session(TAG, DOCUMENT)
    ledger.put_receipt(TAG, {"type": "receipt", "receipt": {"sequence": 1}})
    ledger.end(TAG, 1_800_000_000)
    assert "1 session" in str(raises(BadState, rekey.run, ENTROPY))
    assert device_key.load(rebooted())[1].material == OLD_SECRET
    ledger.mark_acknowledged(TAG)
    rekey.run(ENTROPY, str)
    assert Ledger(Journal(Flash.partition)).unpaid() == [TAG]  # it stays to be claimed


def test_without_a_journal_partition_it_says_what_to_write():
    with_key()
    Flash.partition = None
    assert "partition-table.bin" in str(raises(JournalError, rekey.run, ENTROPY))
    assert device_key.load(rebooted())[1].material == OLD_SECRET


def test_without_a_key_there_is_nothing_to_replace():
    erased()
    raises(KeystoreError, rekey.run, ENTROPY)


def test_wrong_entropy_is_refused_and_not_shown():
    with_key()
    for entropy in ("", "ab" * 31, "ab" * 33, "xy" * 32, None, b"\xab" * 32):
        assert "abab" not in str(raises(ConfigError, rekey.run, entropy))
    assert device_key.load(rebooted())[1].material == OLD_SECRET
