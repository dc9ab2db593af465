"""What a plug says of its host: which epochs it signs, and that it keeps them before it says so."""

import asyncio

from plug.crypto import eip712, secp256k1
from plug.enrolment import Enrolment
from plug.errors import BadState, KeystoreError, Malformed, NoHost, StaleEpoch
from plug.signing.software import SoftwareSigner
from plug.storage import keystore
from plug.storage.keystore import KeyRecord
from plug.wire import from_hex, to_hex
from run_in_micropython import raises
from storage.test_keystore import NVS

DOMAIN = eip712.domain_separator(31337, b"\x11" * 20)
HOST, OTHER_HOST = b"\x44" * 20, b"\x45" * 20
SIGNER = SoftwareSigner(b"\x33" * 32)


class Clock:
    """A minute passes with every look."""

    def __init__(self, step_ms=60_000):
        self.now_ms = 0
        self.step_ms = step_ms

    def tick(self):
        self.now_ms += self.step_ms
        return self.now_ms


def enrolment(nvs, host=HOST, clock=None):
    """As after a boot: with the record that is in flash."""
    record = keystore.load(NVS(nvs.written), SIGNER.KIND) or KeyRecord(SIGNER.KIND, SIGNER.material)
    return Enrolment(nvs, record, SIGNER, DOMAIN, host, clock or Clock())


def enrol(one, epoch):
    return asyncio.run(one.take({"type": "enrol", "epoch": epoch}))[0]


def test_the_answer_is_signed_by_the_key_that_it_carries():
    answer = enrol(enrolment(NVS()), 7)
    assert (answer["type"], answer["plug"], answer["host"], answer["epoch"]) == ("enrolment", to_hex(SIGNER.address), to_hex(HOST), 7)
    assert (answer["curve"], answer["public_key"]) == ("secp256k1", to_hex(SIGNER.public_key))
    digest = eip712.digest(DOMAIN, eip712.hash_struct("Enrol", {"plug": SIGNER.address, "host": HOST, "epoch": 7}))
    assert secp256k1.recover(digest, from_hex("signature", answer["signature"], 65)) == SIGNER.public_key


def test_epochs_rise_and_the_last_one_may_be_asked_again():
    nvs = NVS()
    one = enrolment(nvs)
    first = enrol(one, 5)
    assert enrol(one, 5) == first
    raises(StaleEpoch, enrol, one, 4)
    again = enrolment(nvs)
    assert enrol(again, 5) == first
    raises(StaleEpoch, enrol, again, 1)
    assert enrol(again, 7)["epoch"] == 7
    raises(StaleEpoch, enrol, enrolment(nvs), 6)


def test_a_relay_cannot_use_the_epochs_up():
    nvs = NVS()
    raises(StaleEpoch, enrol, enrolment(nvs), 1001)
    raises(StaleEpoch, enrol, enrolment(nvs), (1 << 64) - 1)
    assert nvs.written is None
    assert enrol(enrolment(nvs), 1000)["epoch"] == 1000
    assert enrol(enrolment(nvs), 2000)["epoch"] == 2000


def test_a_relay_cannot_wear_the_flash_out():
    clock = Clock(29_999)
    nvs = NVS()
    one = enrolment(nvs, clock=clock)
    first = enrol(one, 1)
    before = nvs.written
    raises(BadState, enrol, one, 2)
    assert enrol(one, 1) == first
    assert nvs.written == before
    raises(BadState, enrol, one, 2)
    assert enrol(one, 2)["epoch"] == 2


def test_an_epoch_has_one_host():
    nvs = NVS()
    enrol(enrolment(nvs), 5)
    moved = enrolment(nvs, OTHER_HOST)
    raises(StaleEpoch, enrol, moved, 5)
    assert enrol(moved, 6)["host"] == to_hex(OTHER_HOST)


def test_a_key_that_took_over_does_not_enrol_in_the_epoch_of_the_retirement():
    nvs = NVS(KeyRecord(SIGNER.KIND, SIGNER.material, 9, retirement=(9, b"\x55" * 20, b"\x66" * 65)).to_bytes())
    raises(StaleEpoch, enrol, enrolment(nvs), 9)
    enrol(enrolment(nvs), 10)
    assert enrolment(nvs).retired()["epoch"] == 9


def test_without_a_host_there_is_nothing_to_sign():
    nvs = NVS()
    assert "terms.host" in str(raises(NoHost, enrol, enrolment(nvs, None), 5))
    assert nvs.written is None


def test_no_epoch_is_taken_for_one():
    one = enrolment(NVS())
    for epoch in (0, -1, True, None, "5", 5.0, 1 << 64):
        raises(Malformed, enrol, one, epoch)
    raises(Malformed, lambda: asyncio.run(one.take({"type": "enrol"})))
    raises(Malformed, lambda: asyncio.run(one.take({"type": "enrol", "epoch": 5, "host": to_hex(OTHER_HOST)})))


def test_what_cannot_be_kept_is_not_signed():
    nvs = NVS()
    one = enrolment(nvs)
    enrol(one, 5)
    nvs.error = OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
    raises(KeystoreError, enrol, one, 6)
    nvs.error = None
    assert enrol(one, 5)["epoch"] == 5
    assert enrol(one, 6)["epoch"] == 6


def test_the_epoch_is_in_flash_before_the_signature_is_made():
    nvs = NVS()

    class Watching:
        KIND, address, public_key = SIGNER.KIND, SIGNER.address, SIGNER.public_key

        async def sign(self, digest):
            assert keystore.load(NVS(nvs.written), SIGNER.KIND).epoch == 8
            return await SIGNER.sign(digest)

    asyncio.run(Enrolment(nvs, KeyRecord(SIGNER.KIND, SIGNER.material), Watching(), DOMAIN, HOST, Clock()).take({"type": "enrol", "epoch": 8}))


def test_without_a_retirement_nothing_is_said_of_one():
    assert enrolment(NVS()).retired() is None
