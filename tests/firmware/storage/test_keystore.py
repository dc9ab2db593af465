"""The device key's record: kept whole, and never replaced by accident."""

from binascii import crc32

from plug.errors import KeystoreError
from plug.storage import keystore
from plug.storage.keystore import NO_HOST, KeyRecord
from run_in_micropython import raises

SOFTWARE, OTHER = 1, 2
SECRET = bytes(range(32))
HOST = b"\x44" * 20
RETIRED = (7, b"\x55" * 20, b"\x66" * 65)


class NVS:
    """A namespace with at most one blob, which is in flash once committed; `error` is raised by every call."""

    def __init__(self, blob=None, error=None):
        self.blob = self.written = blob
        self.error = error

    def get_blob(self, key, buffer):
        if self.error:
            raise self.error
        if self.blob is None:
            raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
        if len(self.blob) > len(buffer):
            raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(self.blob)] = self.blob
        return len(self.blob)

    def set_blob(self, key, blob):
        if self.error:
            raise self.error
        self.blob = bytes(blob)

    def commit(self):
        self.written = self.blob


def fields(record):
    return record.kind, record.material, record.epoch, record.host, record.retirement


def sealed(body):
    return body + crc32(body).to_bytes(4, "little")


def test_a_record_is_kept_and_found_again():
    for record in (
        KeyRecord(SOFTWARE, SECRET),
        KeyRecord(SOFTWARE, SECRET, (1 << 64) - 1, HOST, RETIRED),
        KeyRecord(SOFTWARE, bytes(74), 8, NO_HOST, (7, b"\x55" * 20, b"\x77" * 128)),
    ):
        nvs = NVS()
        assert keystore.load(nvs, SOFTWARE) is None
        keystore.store(nvs, record)
        assert fields(keystore.load(NVS(nvs.written), SOFTWARE)) == fields(record)


def test_the_format_is_the_one_on_the_page():
    body = b"\x01" + b"\x01" + b"\x20" + b"\x05" + bytes(7) + HOST + SECRET
    assert KeyRecord(SOFTWARE, SECRET, 5, HOST).to_bytes() == sealed(body)
    body += b"\x07" + bytes(7) + b"\x55" * 20 + b"\x66" * 65
    assert KeyRecord(SOFTWARE, SECRET, 5, HOST, RETIRED).to_bytes() == sealed(body)


def test_a_flipped_bit_or_a_missing_end_is_refused():
    blob = KeyRecord(SOFTWARE, SECRET, 5, HOST, RETIRED).to_bytes()
    for place in range(len(blob)):
        for bit in (0, 3, 7):
            damaged = bytearray(blob)
            damaged[place] ^= 1 << bit
            raises(KeystoreError, keystore.load, NVS(bytes(damaged)), SOFTWARE)
        raises(KeystoreError, keystore.load, NVS(blob[:place]), SOFTWARE)
    raises(KeystoreError, keystore.load, NVS(blob + b"\x00"), SOFTWARE)


def test_each_refusal_says_what_to_do_and_shows_no_secret():
    good = KeyRecord(SOFTWARE, SECRET).to_bytes()
    for nvs, words in (
        (NVS(b""), "erase NVS"),
        (NVS(SECRET), "erase NVS"),
        (NVS(bytes(600)), "erase NVS"),
        (NVS(error=OSError(-0x1101, "ESP_ERR_NVS_NOT_INITIALIZED")), "restart"),
        (NVS(sealed(b"\x02" + good[1:-4])), "install the firmware"),
        (NVS(KeyRecord(OTHER, SECRET).to_bytes()), "install the firmware of the board"),
    ):
        text = str(raises(KeystoreError, keystore.load, nvs, SOFTWARE))
        assert words in text, text
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text


def test_a_write_that_may_be_finished_at_the_next_start_is_not_said_to_have_changed_nothing():
    error = OSError(-0x1108, "ESP_ERR_NVS_REMOVE_FAILED")  # the new value is written, the old one not yet erased
    text = str(raises(KeystoreError, keystore.store, NVS(error=error), KeyRecord(SOFTWARE, SECRET)))
    assert "nothing" not in text
    assert "restart" in text


def test_a_record_that_cannot_be_kept_is_said():
    text = str(raises(KeystoreError, keystore.store, NVS(error=OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")), KeyRecord(SOFTWARE, SECRET)))
    assert "restart" in text, text
