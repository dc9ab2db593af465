"""The device key: made once, and never replaced by accident."""

from plug.errors import JournalError
from plug.storage import keystore
from run_in_micropython import raises


class NVS:
    """A namespace with at most one blob; `error` is raised by every reading."""

    def __init__(self, blob=None, error=None):
        self.blob = blob
        self.error = error
        self.commits = 0

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
        self.blob = bytes(blob)

    def commit(self):
        self.commits += 1


def test_a_key_is_made_kept_and_found_again():
    nvs = NVS()
    assert keystore.load(nvs) is None
    secret = keystore.create(nvs)
    assert len(secret) == 32
    assert secret != bytes(32)
    assert nvs.commits == 1
    assert keystore.load(nvs) == secret


def test_what_is_no_key_is_never_taken_for_none():
    for nvs in (NVS(b"\x01" * 16), NVS(b"\x01" * 40), NVS(error=OSError(-0x1101, "ESP_ERR_NVS_NOT_INITIALIZED"))):
        raises(JournalError, keystore.load, nvs)
