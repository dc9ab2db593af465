"""Signatures, low s only (docs/protocol.md, section 1): on secp256k1 65 bytes r || s || v, v 0 or 1; on P-256 128 bytes r || s || x || y."""

from functools import lru_cache

from coincurve import PrivateKey, PublicKey
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_hash.auto import keccak

from wattseal.errors import BadSignature

# Half of the group order, SEC 2 section 2.4.1; EIP-2 calls an s up to it low.
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_P256_HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2  # SP 800-186, section 3.2.1.3
_P256_DIGEST = ec.ECDSA(Prehashed(SHA256()))  # any digest of 32 bytes


def sign(secret: bytes, digest: bytes) -> bytes:
    """Return the 65-byte signature of a 32-byte digest (RFC 6979). Raises ValueError for a secret that is no key."""
    return PrivateKey(secret).sign_recoverable(digest, hasher=None)


def address(secret: bytes) -> bytes:
    """Return the 20-byte address of a 32-byte secret key. Raises ValueError for a secret that is no key."""
    return _address(PrivateKey(secret).public_key)


def key_address(public_key: bytes) -> bytes:
    """Return the 20-byte address of a public key, x || y (64 bytes); whether it is on the curve is not looked at."""
    return keccak(public_key)[-20:]


def p256_address(public_key: bytes) -> bytes:
    """Return the 20-byte id of a P-256 key, x || y (64 bytes); whether it is on the curve is not looked at."""
    return keccak(b"P256" + public_key)[-20:]


def recover(digest: bytes, signature: bytes) -> bytes:
    """Return the 20-byte address or id that signed a 32-byte digest. Raises BadSignature where the form is wrong or nobody did."""
    if len(signature) == 128:
        return _check_p256(digest, signature)
    if len(signature) != 65:
        raise BadSignature(f"the signature has {len(signature)} bytes, not 65 (secp256k1) or 128 (P-256)")
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


def _check_p256(digest: bytes, signature: bytes) -> bytes:
    """Return the id of the key that the signature brings along, once that key is found to have made it."""
    r, s, x, y = (int.from_bytes(signature[i : i + 32], "big") for i in range(0, 128, 32))
    if s > _P256_HALF_ORDER:
        raise BadSignature("the signature's s is in the upper half of P-256's order: normalise it before sending")
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError as error:
        raise BadSignature("the signature's x and y are no point of P-256") from error
    try:
        key.verify(encode_dss_signature(r, s), digest, _P256_DIGEST)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the P-256 key in the signature did not make it") from error
    return p256_address(signature[64:])


def _address(key: PublicKey) -> bytes:
    return _cached_address(key.format(compressed=False)[1:])


@lru_cache(20_000)  # the same plugs sign again and again
def _cached_address(public_key: bytes) -> bytes:
    return key_address(public_key)
