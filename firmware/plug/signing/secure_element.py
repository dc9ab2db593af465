"""The device key inside an ATECC608B: P-256, made there, never outside it."""

import asyncio

from micropython import const

from plug.crypto.keccak import keccak256
from plug.errors import KeystoreError, SecureElementError
from plug.signing.element_setup import SLOTS, open_chip, read_checked, serial_number

_MATERIAL_BYTES = const(74)  # slot, serial number, public key
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class SecureElementSigner:
    """Signs with the key that `material` names: `public_key` (64 bytes, x || y), `address` (20 bytes, the plug's id).

    Asks the chip whether it is the one that made the key, and locked. Raises KeystoreError for a material that is none, SecureElementError.
    """

    KIND = 2  # in the key's record

    def __init__(self, material):
        if len(material) != _MATERIAL_BYTES or material[0] >= SLOTS:
            raise KeystoreError("the key in NVS names no key of a secure element: flash is damaged; erase it only when every receipt is settled")
        self.material = material
        self._slot = material[0]
        self.public_key = material[10:]
        self.address = keccak256(b"P256" + self.public_key)[12:]
        self._chip = open_chip()
        asyncio.run(self._check())

    @classmethod
    def create(cls, entropy):
        """Return a signer with a new key. The chip has its own generator: nobody else's `entropy` goes in. Raises SecureElementError."""
        return cls(asyncio.run(_make(0)))

    def successor(self, entropy):
        """Return a signer with the key that will replace this one, made in the other slot: this one still signs. Raises SecureElementError."""
        return SecureElementSigner(asyncio.run(_make((self._slot + 1) % SLOTS)))

    async def sign(self, digest):
        """Return the signature r || s || x || y (128 bytes, low s) of a digest (32 bytes). Raises SecureElementError."""
        signature = await self._chip.sign(self._slot, digest)
        s = int.from_bytes(signature[32:], "big")
        return signature[:32] + min(s, _N - s).to_bytes(32, "big") + self.public_key

    async def _check(self):
        found = serial_number(await read_checked(self._chip))
        expected = self.material[1:10]
        if found != expected:
            raise SecureElementError(
                f"the secure element is chip {found.hex()}, this plug's key is in chip {expected.hex()}: put that one back, or erase NVS, "
                "which gives the key up, but only when every receipt is settled"
            )
        if await self._chip.public_key(self._slot) != self.public_key:
            raise SecureElementError(
                f"slot {self._slot} of the secure element holds another key than this plug's: erase NVS, which gives the key up, but only "
                "when every receipt is settled"
            )


async def _make(slot):
    """Make a new key in a slot of a chip that is set up; return its material."""
    chip = open_chip()
    config = await read_checked(chip)
    return bytes((slot,)) + serial_number(config) + await chip.generate_key(slot)
