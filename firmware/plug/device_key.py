"""The device key from its birth on (docs/keys.md): made once, on the plug, and never outside it."""

import network

from plug.errors import ConfigError
from plug.storage import keystore
from plug.storage.keystore import KeyRecord


def signer_class():
    """Return the class of the board's signer."""
    from plug.signing.software import SoftwareSigner  # only the board's own is in its tree

    return SoftwareSigner


def load(nvs):
    """Return (signer, its KeyRecord) of the key in NVS, or None where there is none. Raises KeystoreError."""
    signer = signer_class()
    record = keystore.load(nvs, signer.KIND)
    return None if record is None else (signer(record.material), record)


def create(nvs, entropy):
    """Make the plug's first key, keep it, return (signer, record). `entropy`: 32 bytes of the host's, or None. Raises ConfigError, KeystoreError."""
    if entropy is None:
        raise ConfigError(
            "entropy: this plug has no key yet: put 64 hex digits of `openssl rand -hex 32` there, remove them once it has told its address"
        )
    start_entropy_source()
    signer = signer_class().create(entropy)
    record = KeyRecord(signer.KIND, signer.material)
    keystore.store(nvs, record)
    return signer, record


def start_entropy_source():
    """Turn the radio on: without its noise the ESP32's generator is only pseudo-random (ESP-IDF Programming Guide, "Random Number Generation")."""
    network.WLAN(network.STA_IF).active(True)
