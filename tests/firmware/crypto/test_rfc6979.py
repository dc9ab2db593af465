"""The nonces of RFC 6979, and that the HMAC key does not stay."""

from binascii import unhexlify
from hashlib import sha256

from plug.crypto import rfc6979
from plug.crypto.p256_curve import N
from plug.crypto.rfc6979 import nonces

# RFC 6979, section A.2.5, and the details in section A.1.2 for its order: none of its nonces is out of range.
SECRET = unhexlify("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
DIGEST = sha256(b"sample").digest()
FIRST = 0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60


def test_published_nonce():
    assert next(nonces(SECRET, DIGEST, N)) == FIRST


def test_digests_are_reduced():
    assert next(nonces(SECRET, bytes(32), N)) == next(nonces(SECRET, N.to_bytes(32, "big"), N))


def test_nonces_differ_and_are_in_range():
    order = 1 << 253  # most candidates are too large for it
    found = []
    for nonce in nonces(SECRET, DIGEST, order):
        assert 0 < nonce < order
        found.append(nonce)
        if len(found) == 5:
            break
    assert len(set(found)) == 5


def test_blocks_are_wiped_when_the_generator_is_closed():
    kept = []

    class Kept(rfc6979._Hmac):
        def __init__(self):
            super().__init__()
            kept.append(self)

    original = rfc6979._Hmac
    rfc6979._Hmac = Kept
    try:
        candidates = nonces(SECRET, DIGEST, N)
        next(candidates)
    finally:
        rfc6979._Hmac = original
    hmac = kept[0]
    assert any(hmac._inner[:32])
    candidates.close()
    assert not any(hmac._inner[:32])
    assert not any(hmac._outer[:32])
