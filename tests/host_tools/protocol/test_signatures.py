import contextlib

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadSignature
from wattseal.protocol import signatures

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


@given(digest=digests, signature=st.binary(max_size=66) | st.binary(min_size=65, max_size=65))
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
