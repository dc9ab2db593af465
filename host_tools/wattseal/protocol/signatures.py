"""secp256k1 signatures of 65 bytes r || s || v, v 0 or 1, low s (docs/protocol.md, section 1)."""

from coincurve import PrivateKey, PublicKey
from eth_hash.auto import keccak

from wattseal.errors import BadSignature

# Half of the group order, SEC 2 section 2.4.1; EIP-2 calls an s up to it low.
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def sign(secret: bytes, digest: bytes) -> bytes:
    """Return the 65-byte signature of a 32-byte digest (RFC 6979). Raises ValueError for a secret that is no key."""
    return PrivateKey(secret).sign_recoverable(digest, hasher=None)


def address(secret: bytes) -> bytes:
    """Return the 20-byte address of a 32-byte secret key. Raises ValueError for a secret that is no key."""
    return _address(PrivateKey(secret).public_key)


def key_address(public_key: bytes) -> bytes:
    """Return the 20-byte address of a public key, x || y (64 bytes); whether it is on the curve is not looked at."""
    return keccak(public_key)[-20:]


def recover(digest: bytes, signature: bytes) -> bytes:
    """Return the 20-byte address that signed a 32-byte digest. Raises BadSignature where the form is wrong or nobody did."""
    if len(signature) != 65:
        raise BadSignature(f"the signature has {len(signature)} bytes, not 65")
    if signature[64] > 1:
        raise BadSignature(f"the signature's v is {signature[64]}; it must be 0 or 1")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise BadSignature("the signature's s is in the upper half of the order: normalise it before sending")
    try:
        return _address(PublicKey.from_signature_and_message(signature, digest, hasher=None))
    except ValueError as error:
        raise BadSignature(f"no key made this signature: {error}") from error


def check_signer(what: str, digest: bytes, signature: bytes, signer: bytes) -> None:
    """Raise BadSignature unless `signer` (20-byte address) signed the digest; `what` names the thing in the message."""
    found = recover(digest, signature)
    if found != signer:
        raise BadSignature(f"the {what} is signed by 0x{found.hex()}, not by 0x{signer.hex()}, or for another chain or contract")


def _address(key: PublicKey) -> bytes:
    return key_address(key.format(compressed=False)[1:])
