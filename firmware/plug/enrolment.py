"""What the device key says of itself: whom its plug works for, and which key it has taken over from (docs/keys.md)."""

from micropython import const

from plug.crypto import eip712
from plug.errors import BadState, KeystoreError, Malformed, NoHost, StaleEpoch
from plug.storage import keystore
from plug.wire import check_keys, to_hex

# Whoever speaks for the relay must neither use the epochs up nor wear the flash out.
_MAX_LEAP = const(1_000)
_NEW_EPOCH_MS = const(60_000)


def sign_struct(signer, domain, name, values):
    """Return the coroutine that signs a typed structure."""
    return signer.sign(eip712.digest(domain, eip712.hash_struct(name, values)))


class Enrolment:
    """Answers `enrol` for the `host` (20 bytes or None) of the plug's own configuration; `record` is the key's, in the NVS namespace `nvs`."""

    def __init__(self, nvs, record, signer, domain, host, clock):
        self._nvs = nvs
        self._record = record
        self._signer = signer
        self._domain = domain
        self._host = host
        self._clock = clock
        self._next_ms = 0  # earliest tick of another new epoch

    async def take(self, message):
        """Return the `enrolment` message. Raises NoHost, StaleEpoch, BadState, Malformed, KeystoreError.

        The epoch is at most 1000 above the last one, a new one a minute, or the last one again with the same host: an answer may have got lost.
        It is kept before it is said.
        """
        check_keys("enrol", message, ("type", "epoch"))
        epoch, record = message["epoch"], self._record
        if type(epoch) is not int or not 0 < epoch < 1 << 64:
            raise Malformed(f"enrol: epoch is not 1 to 2^64 - 1: {epoch!r:.40}")
        if self._host is None:
            raise NoHost("the plug's configuration names no host: put its address into terms.host of config.json, then restart the plug")
        if epoch < record.epoch or (epoch == record.epoch and self._host != record.host):
            raise StaleEpoch(f"epoch {epoch} is not above the plug's last, {record.epoch}: ask for a higher one")
        if epoch > record.epoch + _MAX_LEAP:
            raise StaleEpoch(f"epoch {epoch} is more than {_MAX_LEAP} above the plug's last, {record.epoch}: ask for a lower one")
        if epoch > record.epoch:
            now_ms = self._clock.tick()
            if now_ms < self._next_ms:
                raise BadState("the plug has taken a new epoch less than a minute ago: ask again in a minute")
            self._next_ms = now_ms + _NEW_EPOCH_MS
            before = record.epoch, record.host
            record.epoch, record.host = epoch, self._host
            try:
                keystore.store(self._nvs, record)
            except KeystoreError:
                record.epoch, record.host = before
                raise
        statement = {"plug": self._signer.address, "host": self._host, "epoch": epoch}
        signature = await sign_struct(self._signer, self._domain, "Enrol", statement)
        return (
            {
                "type": "enrolment",
                "plug": to_hex(self._signer.address),
                "host": to_hex(self._host),
                "epoch": epoch,
                "curve": "secp256k1" if len(signature) == 65 else "p256",
                "public_key": to_hex(self._signer.public_key),
                "signature": to_hex(signature),
            },
        )

    def retired(self):
        """Return the `retired` message about the key before this one, or None."""
        if self._record.retirement is None:
            return None
        epoch, plug, signature = self._record.retirement
        return {"type": "retired", "plug": to_hex(plug), "successor": to_hex(self._signer.address), "epoch": epoch, "signature": to_hex(signature)}
