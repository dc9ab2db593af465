"""A new device key, by a person at the REPL with the app stopped: the old key signs its own retirement, then one record replaces the other.

from plug import rekey
rekey.run("<64 hex digits of the host's entropy>")
"""

import asyncio

import esp32

from plug import config, device_key
from plug.crypto import eip712
from plug.enrolment import sign_struct
from plug.errors import BadState, JournalError, KeystoreError
from plug.ledger import open_ledger
from plug.storage import keystore
from plug.storage.journal import Journal
from plug.storage.keystore import KeyRecord
from plug.wire import to_hex


def run(entropy, show=print):
    """Make a new key of the plug's entropy and the host's (64 hex digits), have the old one sign Retire, keep both; return the new address.

    A power cut leaves the old or the new key whole. `show(text)` prints. Raises BadState while a session has not ended or the relay has not
    acknowledged its last receipt, ConfigError, JournalError, KeystoreError.
    """
    entropy = config.read_entropy(entropy)
    settings = config.load()
    nvs = esp32.NVS("wattseal")
    key = device_key.load(nvs)
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")
    if not found:
        raise JournalError("flash has no partition `journal`: write build/firmware/partition-table.bin to 0x8000")
    check_idle(open_ledger(Journal(found[0]), key is not None))
    if key is None:
        raise KeystoreError("there is no key to replace: start the plug, it makes its first one")
    old, record = key
    new = device_key.draw(settings, old.successor, entropy)
    domain = eip712.domain_separator(settings.chain_id, settings.contract)
    statement = {"plug": old.address, "successor": new.address, "epoch": record.epoch + 1}
    signature = asyncio.run(sign_struct(old, domain, "Retire", statement))
    retirement = statement["epoch"], old.address, signature
    keystore.store(nvs, KeyRecord(new.KIND, new.material, statement["epoch"], retirement=retirement))
    show(f"plug {to_hex(old.address)} is retired, its successor is {to_hex(new.address)}: restart and enrol it")
    return new.address


def check_idle(ledger):
    """Raise BadState unless every session has ended and every last receipt is acknowledged."""
    if ledger.running() is not None:
        raise BadState("a session has not ended: start the plug, let it end the session, then stop it again")
    waiting = ledger.unacknowledged()
    if waiting:
        raise BadState(f"the relay has not acknowledged the last receipt of {waiting} sessions: let the plug connect, then stop it again")
