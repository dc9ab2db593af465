"""Plugs whose key is P-256, and the precompile that checks their signatures (EIP-7951): pycryptodome's arithmetic."""

from Crypto.Hash import SHA256, SHAKE256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from eth_utils import keccak, to_checksum_address

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PRECOMPILE = "0x" + "00" * 18 + "0100"


class Digest:
    """A hash that was computed elsewhere, for pycryptodome, which only takes objects that hash by themselves."""

    oid = SHA256.new().oid
    digest_size = 32

    def __init__(self, digest):
        self._digest = digest

    def digest(self):
        return self._digest


def plug_id(public_key):
    """Return the address of a plug from its public key x || y: docs/protocol.md, section 1."""
    return to_checksum_address(keccak(b"P256" + public_key)[-20:])


class P256Account:
    """A P-256 key that signs as a plug does: r || s || x || y with low s."""

    def __init__(self, secret):
        self._key = ECC.construct(curve="P-256", d=secret)
        self.public_key = self._key.public_key().export_key(format="raw")[1:]
        self.address = plug_id(self.public_key)

    def sign_digest(self, digest):
        nonces = SHAKE256.new(str(self._key.d).encode() + digest)  # the same in every run
        signature = DSS.new(self._key, "fips-186-3", randfunc=nonces.read).sign(Digest(digest))
        s = int.from_bytes(signature[32:], "big")
        return signature[:32] + min(s, ORDER - s).to_bytes(32, "big") + self.public_key


def is_valid(data):
    """Return whether 160 bytes digest || r || s || x || y are a signature and its public key."""
    if len(data) != 160:
        return False
    x, y = (int.from_bytes(data[start : start + 32], "big") for start in (96, 128))
    try:
        key = ECC.construct(curve="P-256", point_x=x, point_y=y)
        DSS.new(key, "fips-186-3").verify(Digest(data[:32]), data[32:96])
    except ValueError:
        return False
    return True


def precompile(computation):
    """The precompile, for boa, whose chain stops at the rules of Prague."""
    computation.output = (1).to_bytes(32, "big") if is_valid(computation.msg.data_as_bytes) else b""
    return computation
