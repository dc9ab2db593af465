"""The device key from its birth on (docs/keys.md): made once, on the plug, and never outside it."""

import network

from plug import board
from plug.errors import ConfigError, KeystoreError
from plug.storage import keystore
from plug.storage.keystore import KeyRecord


def signer_class():
    """Return the class of the board's signer."""
    if board.SIGNER == "atecc608b":  # only the board's own is in its tree
        from plug.signing.secure_element import SecureElementSigner

        return SecureElementSigner
    from plug.signing.software import SoftwareSigner

    return SoftwareSigner


def load(nvs):
    """Return (signer, its KeyRecord) of the key in NVS, or None where there is none. Raises KeystoreError."""
    signer = signer_class()
    record = keystore.load(nvs, signer.KIND)
    return None if record is None else (signer(record.material), record)


def create(nvs, settings):
    """Make the plug's first key of its entropy and the host's (Config), keep it, return (signer, record). Raises ConfigError, KeystoreError."""
    if settings.entropy is None:
        raise ConfigError("entropy is missing, and this plug has no key yet: put 64 hex digits there (`openssl rand -hex 32` makes some)")
    signer = draw(settings, signer_class().create, settings.entropy)
    record = KeyRecord(signer.KIND, signer.material)
    keystore.store(nvs, record)
    return signer, record


def draw(settings, make, entropy):
    """Return make(entropy), called while the radio works; it is off afterwards. `settings`: a Config. Raises KeystoreError.

    Without the radio's noise the ESP32's generator is only pseudo-random (ESP-IDF Programming Guide, "Random Number Generation"), and a radio
    that is on and has nothing to do may sleep (the same, "Wi-Fi Driver", "Disconnected State Sleep"): so it is given a network to look for.
    """
    radio = network.WLAN(network.STA_IF)
    try:
        try:
            radio.active(True)
            radio.connect(settings.ssid, settings.password)
        except OSError as error:
            raise KeystoreError(f"no key without the radio's noise, and it does not start ({error}): restart the plug")
        return make(entropy)
    finally:
        radio.active(False)
