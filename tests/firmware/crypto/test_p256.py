"""ECDSA on P-256 against RFC 6979; arguments. tests/host_tools/test_firmware_crypto.py has more."""

from binascii import unhexlify
from hashlib import sha256

from plug.crypto import p256
from plug.crypto.p256_curve import N, P
from plug.crypto.steps import finish
from run_in_micropython import raises

# RFC 6979, section A.2.5.
SECRET = unhexlify("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
PUBLIC = unhexlify("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299")
PUBLISHED = (
    (b"sample", "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"),
    (b"test", "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"),
)


def be(number):
    return number.to_bytes(32, "big")


def test_published_signatures():
    assert p256.public_key(SECRET) == PUBLIC
    for message, signature in PUBLISHED:
        digest = sha256(message).digest()
        assert p256.sign(SECRET, digest) == unhexlify(signature), message
        assert p256.verify(PUBLIC, digest, unhexlify(signature))
        assert not p256.verify(PUBLIC, sha256(b"other").digest(), unhexlify(signature))


def test_numbers_out_of_range_are_no_signature():
    digest = sha256(b"sample").digest()
    signature = p256.sign(SECRET, digest)
    r, s = signature[:32], signature[32:]
    for pair in (be(0) + s, r + be(0), be(N) + s, r + be(N), be(2**256 - 1) + s, r + be(2**256 - 1)):
        assert not p256.verify(PUBLIC, digest, pair)


def test_steps():
    digest = sha256(b"sample").digest()
    assert finish(p256.sign_steps(SECRET, digest)) == unhexlify(PUBLISHED[0][1])
    assert finish(p256.verify_steps(PUBLIC, digest, unhexlify(PUBLISHED[0][1])))
    assert finish(p256.public_key_steps(SECRET)) == PUBLIC
    assert len(list(p256.sign_steps(SECRET, digest))) > 10


def test_wrong_arguments_are_named():
    digest = bytes(32)
    for field, function, *arguments in (
        ("secret", p256.public_key, be(0)),
        ("secret", p256.sign_steps, be(N), digest),
        ("digest", p256.sign_steps, SECRET, b""),
        ("digest", p256.verify_steps, PUBLIC, None, bytes(64)),
        ("signature", p256.verify_steps, PUBLIC, digest, bytes(65)),
        ("public key", p256.verify_steps, PUBLIC[:63] + b"\x00", digest, bytes(64)),
        ("public key", p256.verify_steps, be(P + 5) + PUBLIC[32:], digest, bytes(64)),
    ):
        assert str(raises(ValueError, function, *arguments)).startswith(field), (field, function)
