"""DER (X.690) of ECDSA signatures (SEC 1, version 2, section C.5) and of public keys (SubjectPublicKeyInfo, RFC 5480), as OCMF wants them."""

from micropython import const

from plug.crypto.ecdsa import checked

_INTEGER = const(0x02)
_SEQUENCE = const(0x30)
_NUMBER_BYTES = const(32)

# The start of SubjectPublicKeyInfo up to the point: SEQUENCE, AlgorithmIdentifier of id-ecPublicKey with the curve, BIT STRING, uncompressed.
_KEY_INFO_STARTS = {
    "secp256k1": b"\x30\x56\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a\x03\x42\x00\x04",
    "secp256r1": b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
}


def encode_signature(signature):
    """The DER form (at most 72 bytes) of r || s, the first 64 bytes of a signature. Raises ValueError."""
    checked("signature", signature, 64, 65)
    content = _encode_number(signature[:_NUMBER_BYTES]) + _encode_number(signature[_NUMBER_BYTES : 2 * _NUMBER_BYTES])
    return bytes((_SEQUENCE, len(content))) + content


def decode_signature(data):
    """The 64 bytes r || s of a signature in DER. Raises ValueError for anything that is not exactly that, or numbers above 256 bits or below zero."""
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError(f"signature: expected bytes, got {type(data).__name__}")
    if len(data) < 2 or data[0] != _SEQUENCE or data[1] != len(data) - 2:  # a length of more than one byte is not needed
        raise ValueError(f"signature: not one DER sequence in {len(data)} bytes")
    r, end = _decode_number(data, 2)
    s, end = _decode_number(data, end)
    if end != len(data):
        raise ValueError(f"signature: {len(data) - end} bytes after s")
    return r + s


def public_key_info(curve, public):
    """SubjectPublicKeyInfo of a public key (64 bytes, x || y) on `curve`, "secp256k1" or "secp256r1". Raises ValueError."""
    if curve not in _KEY_INFO_STARTS:
        raise ValueError(f"curve: {curve!r} is none of {', '.join(sorted(_KEY_INFO_STARTS))}")
    return _KEY_INFO_STARTS[curve] + checked("public key", public, 64)


def _encode_number(number):
    start = 0
    while start < _NUMBER_BYTES - 1 and not number[start]:
        start += 1
    sign = b"\x00" if number[start] & 0x80 else b""
    return bytes((_INTEGER, _NUMBER_BYTES - start + len(sign))) + sign + number[start:]


def _decode_number(data, start):
    """The number that starts there as 32 bytes, and where it ends."""
    if len(data) < start + 3 or data[start] != _INTEGER:
        raise ValueError(f"signature: no DER integer at byte {start}")
    end = start + 2 + data[start + 1]
    content = data[start + 2 : end]
    if len(content) != data[start + 1] or not content:
        raise ValueError(f"signature: the integer at byte {start} does not end within the signature")
    if content[0] & 0x80:
        raise ValueError(f"signature: the integer at byte {start} is below zero")
    if content[0] == 0 and len(content) > 1:
        if not content[1] & 0x80:
            raise ValueError(f"signature: the integer at byte {start} is longer than it need be")
        content = content[1:]
    if len(content) > _NUMBER_BYTES:
        raise ValueError(f"signature: the integer at byte {start} has more than {8 * _NUMBER_BYTES} bits")
    return bytes(_NUMBER_BYTES - len(content)) + content, end
