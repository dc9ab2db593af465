"""The device key as 32 bytes in memory: secp256k1, signed with plug.crypto."""

import os
from hashlib import sha256

from plug import turns
from plug.crypto import secp256k1
from plug.crypto.secp256k1_curve import N
from plug.errors import KeystoreError

_LABEL = b"Wattseal device key 1"  # no other use of the same entropy gives the same hash


class SoftwareSigner:
    """Signs with the secret in `material`: `public_key` (64 bytes, x || y), `address` (20 bytes, the plug's id). Raises KeystoreError."""

    KIND = 1  # in the key's record

    def __init__(self, material):
        if len(material) != 32 or not 0 < int.from_bytes(material, "big") < N:
            raise KeystoreError("the key in NVS is no secp256k1 key: flash is damaged; erase it only when every receipt is settled")
        self.material = material
        self.public_key = secp256k1.public_key(material)
        self.address = secp256k1.address(self.public_key)

    @classmethod
    def create(cls, entropy):
        """Return a signer with a new key, of 32 bytes of the hardware generator and the host's 32 bytes. The radio must be on (plug.device_key)."""
        while True:
            secret = sha256(_LABEL + os.urandom(32) + entropy).digest()
            if 0 < int.from_bytes(secret, "big") < N:
                return cls(secret)

    def successor(self, entropy):
        """Return a signer with the key that will replace this one, which stays as it is."""
        return self.create(entropy)

    async def sign(self, digest):
        """Return the signature r || s || v (65 bytes) of a digest (32 bytes), made step by step between the other tasks' turns."""
        return await turns.finish(secp256k1.sign_steps(self.material, digest))
