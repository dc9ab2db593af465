import contextlib
import hashlib
import json
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadSignature
from wattseal.protocol import signatures

from tests.host_tools.conftest import P256_ORDER, P256Key

WYCHEPROOF = Path(__file__).parents[2] / "vectors/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
secrets = st.integers(1, ORDER - 1).map(lambda secret: secret.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


@given(secret=secrets, digest=digests)
def test_what_is_signed_is_recovered_and_is_what_eth_account_signs(secret: bytes, digest: bytes) -> None:
    account = Account.from_key(secret)
    signature = signatures.sign(secret, digest)
    expected = account.unsafe_sign_hash(digest)
    assert signature == expected.r.to_bytes(32, "big") + expected.s.to_bytes(32, "big") + bytes([expected.v - 27])
    assert signatures.address(secret) == bytes.fromhex(account.address[2:])
    assert signatures.recover(digest, signature) == signatures.address(secret)


@given(digest=digests)
def test_the_other_s_of_a_signature_is_refused(digest: bytes) -> None:
    signature = signatures.sign(b"\x01" * 32, digest)
    twin = signature[:32] + (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big") + bytes([1 - signature[64]])
    with pytest.raises(BadSignature, match="upper half"):
        signatures.recover(digest, twin)


@given(digest=digests, signature=st.binary(max_size=130) | st.binary(min_size=65, max_size=65) | st.binary(min_size=128, max_size=128))
def test_arbitrary_bytes_raise_nothing_but_bad_signature(digest: bytes, signature: bytes) -> None:
    with contextlib.suppress(BadSignature):
        assert len(signatures.recover(digest, signature)) == 20


@pytest.mark.parametrize("v", [2, 3, 27, 28, 255])
def test_v_is_0_or_1(v: int) -> None:
    signature = signatures.sign(b"\x01" * 32, b"\x02" * 32)
    with pytest.raises(BadSignature, match="v is"):
        signatures.recover(b"\x02" * 32, signature[:64] + bytes([v]))


@pytest.mark.parametrize("signature", [bytes(65), b"\xff" * 32 + b"\x01" * 33, (ORDER).to_bytes(32, "big") + b"\x01" * 33])
def test_r_and_s_outside_the_order_are_refused(signature: bytes) -> None:
    with pytest.raises(BadSignature):
        signatures.recover(b"\x02" * 32, signature)


def test_check_signer_names_both_addresses() -> None:
    digest = b"\x02" * 32
    signature = signatures.sign(b"\x01" * 32, digest)
    signatures.check_signer("voucher", digest, signature, signatures.address(b"\x01" * 32))
    with pytest.raises(BadSignature, match=f"voucher is signed by 0x{signatures.address(bytes([1]) * 32).hex()}, not by 0x{'07' * 20}"):
        signatures.check_signer("voucher", digest, signature, b"\x07" * 20)


# -- P-256 ----------------------------------------------------------------------------------------------------------------------------


p256_keys = st.integers(1, P256_ORDER - 1).map(P256Key)


@given(key=p256_keys, digest=digests)
def test_a_p256_signature_brings_the_key_that_the_id_commits_to(key: P256Key, digest: bytes) -> None:
    assert signatures.recover(digest, key.sign(digest)) == key.plug == signatures.p256_address(key.public_key)


@given(digest=digests)
def test_the_other_s_of_a_p256_signature_is_refused(digest: bytes) -> None:
    with pytest.raises(BadSignature, match="upper half"):
        signatures.recover(digest, P256Key(5).sign(digest, is_high=True))


@given(digest=digests, bit=st.integers(0, 1023))
def test_every_flipped_bit_of_a_p256_signature_is_refused(digest: bytes, bit: int) -> None:
    signature = bytearray(P256Key(5).sign(digest))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadSignature):
        signatures.check_signer("receipt", digest, bytes(signature), P256Key(5).plug)


@given(digest=digests, key=p256_keys)
def test_another_p256_key_has_another_id(digest: bytes, key: P256Key) -> None:
    if key.plug != P256Key(5).plug:
        with pytest.raises(BadSignature, match="receipt is signed by"):
            signatures.check_signer("receipt", digest, key.sign(digest), P256Key(5).plug)


@given(digest=digests, length=st.integers(0, 200).filter(lambda length: length not in (65, 128)))
def test_other_lengths_are_refused(digest: bytes, length: int) -> None:
    with pytest.raises(BadSignature, match=f"has {length} bytes"):
        signatures.recover(digest, (P256Key(5).sign(digest) * 2)[:length])


@pytest.mark.parametrize(
    "key",
    [
        bytes(64),
        b"\xff" * 64,
        P256Key(5).public_key[:63] + bytes([P256Key(5).public_key[63] ^ 1]),
        (2**256 - 2**224 + 2**192 + 2**96 - 1).to_bytes(32, "big") + P256Key(5).public_key[32:],
    ],
)
def test_a_key_that_is_no_point_is_refused(key: bytes) -> None:
    digest = b"\x02" * 32
    with pytest.raises(BadSignature, match="no point"):
        signatures.recover(digest, P256Key(5).sign(digest)[:64] + key)


@pytest.mark.parametrize("r", [0, P256_ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1])
def test_r_and_s_outside_of_p256s_order_are_refused(r: int, s: int) -> None:
    with pytest.raises(BadSignature):
        signatures.recover(b"\x02" * 32, r.to_bytes(32, "big") + s.to_bytes(32, "big") + P256Key(5).public_key)


def test_wycheproofs_p256_signatures_are_judged_as_they_should() -> None:
    """Those of 64 bytes; a valid one with high s is made low, which is another valid signature."""
    judged = 0
    for group in json.loads(WYCHEPROOF.read_text())["testGroups"]:
        public_key = bytes.fromhex(group["publicKey"]["uncompressed"])[1:]
        for case in group["tests"]:
            signature = bytes.fromhex(case["sig"])
            s = int.from_bytes(signature[32:], "big")
            if len(signature) != 64 or s > P256_ORDER:
                continue
            low = signature[:32] + min(s, P256_ORDER - s).to_bytes(32, "big") + public_key
            digest = hashlib.sha256(bytes.fromhex(case["msg"])).digest()
            try:
                assert signatures.recover(digest, low) == signatures.p256_address(public_key)
                is_valid = True
            except BadSignature:
                is_valid = False
            assert is_valid == (case["result"] == "valid"), case["tcId"]
            judged += 1
    assert judged > 200
