"""DER of signatures: what must be refused. tests/host_tools/test_firmware_crypto.py has what must come out."""

from binascii import unhexlify

from plug.crypto.der import decode_signature, encode_signature, public_key_info
from run_in_micropython import raises


def test_leading_zeros_and_signs():
    small, large = bytes(31) + b"\x7f", b"\x80" + bytes(31)
    encoded = encode_signature(small + large)
    assert encoded == unhexlify("302602017f022100") + large
    assert decode_signature(encoded) == small + large
    assert encode_signature(bytes(64)) == unhexlify("3006020100020100")
    assert encode_signature(small + large + b"\x01") == encoded  # v has no place in it


def test_other_encodings_are_refused():
    for text, reason in (
        ("", "sequence"),
        ("30", "sequence"),
        ("3106020101020101", "sequence"),
        ("3007020101020101", "sequence"),
        ("308106020101020101", "sequence"),
        ("300602010102010100", "sequence"),
        ("3003020101", "byte 5"),
        ("3006030101020101", "byte 2"),
        ("3006020101040101", "byte 5"),
        ("3006020101020201", "byte 5"),
        ("30050201010200", "byte 5"),
        ("3006020181020101", "below zero"),
        ("300702020001020101", "longer"),
        ("3009020101020101020101", "3 bytes after"),
        ("3026022101" + "00" * 32 + "020101", "256 bits"),
        ("302702220080" + "00" * 32 + "020101", "256 bits"),
    ):
        message = str(raises(ValueError, decode_signature, unhexlify(text)))
        assert message.startswith("signature: "), (text, message)
        assert reason in message, (text, message)
    assert "expected bytes" in str(raises(ValueError, decode_signature, "30"))


def test_wrong_arguments_are_named():
    assert str(raises(ValueError, public_key_info, "ed25519", bytes(64))).startswith("curve")
    assert str(raises(ValueError, public_key_info, "secp256r1", bytes(65))).startswith("public key")
    assert str(raises(ValueError, encode_signature, bytes(63))).startswith("signature")
