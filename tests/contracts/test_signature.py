"""Signatures: exactly one form of exactly one signer's is taken, for vouchers and for receipts."""

import boa
import pytest
from eth_keys import keys
from hypothesis import given, settings
from hypothesis import strategies as st

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def word(value):
    return value.to_bytes(32, "big")


def malleated(signature):
    """Return the other signature that ecrecover takes: (r, n - s, 1 - v)."""
    return signature[:32] + word(SECP256K1_N - int.from_bytes(signature[32:64], "big")) + bytes([1 - signature[64]])


COIN = "0x" + "00" * 20  # the token of the native coin
FORGERIES = {
    "malleated": malleated,
    "flipped v": lambda signature: signature[:64] + bytes([1 - signature[64]]),
    "v of Ethereum": lambda signature: signature[:64] + bytes([27 + signature[64]]),
    "v of 2": lambda signature: signature[:64] + b"\x02",
    "v of 255": lambda signature: signature[:64] + b"\xff",
    "zeros": lambda signature: bytes(65),
    "r of zero": lambda signature: bytes(32) + signature[32:],
    "s of zero": lambda signature: signature[:32] + bytes(32) + signature[64:],
    "r of n": lambda signature: word(SECP256K1_N) + signature[32:],
    "s of n": lambda signature: signature[:32] + word(SECP256K1_N) + signature[64:],
    "r off the curve": lambda signature: word(5) + signature[32:],
    "empty": lambda signature: b"",
}
# a receipt's signature comes as words, which have no length
OF_OTHER_LENGTH = {
    "compact": lambda signature: signature[:64],
    "with a byte more": lambda signature: signature + b"\x00",
    "of 128 bytes": lambda signature: signature.ljust(128, b"\x00"),
}
VOUCHER_FORGERIES = FORGERIES | {"compact": OF_OTHER_LENGTH["compact"]}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_receipt_takes_no_other_form(wattseal, actors, opened, make_receipt, settle, sign, forge):
    receipt = make_receipt(opened)
    signature = sign(actors.plug, "Receipt", receipt)
    with boa.reverts("bad_signature"):
        settle(opened, receipt, forge(signature))
    settle(opened, receipt, signature)
    assert wattseal.balance_of(opened["host"], COIN) > 0


@pytest.mark.parametrize("forge", VOUCHER_FORGERIES.values(), ids=VOUCHER_FORGERIES)
def test_a_voucher_takes_no_other_form(wattseal, actors, voucher, sign, forge):
    signature = sign(actors.driver, "Voucher", voucher)
    with boa.reverts("bad_signature"):
        wattseal.open(tuple(voucher.values()), forge(signature), value=voucher["cap"], sender=actors.relay)
    wattseal.open(tuple(voucher.values()), signature, value=voucher["cap"], sender=actors.relay)
    assert boa.env.get_balance(wattseal.address) == voucher["cap"]


@pytest.mark.parametrize(("s", "taken"), [(1, True), (SECP256K1_N // 2, True), (SECP256K1_N // 2 + 1, False), (SECP256K1_N - 1, False)])
def test_s_is_in_the_lower_half(internals, s, taken):
    """For any r on the curve and any s there is a key that signed: only the size of s decides."""
    digest = word(7)
    signer = keys.Signature(vrs=(0, 1, s)).recover_public_key_from_msg_hash(digest).to_checksum_address()
    assert internals.is_signed_by(signer, digest, word(1) + word(s) + b"\x00") is taken


@pytest.mark.parametrize("change", OF_OTHER_LENGTH.values(), ids=OF_OTHER_LENGTH)
def test_bytes_of_another_length_are_refused(internals, actors, change):
    """For Registry and PlugShares too, which take bytes."""
    digest = word(7)
    signature = actors.plug.unsafe_sign_hash(digest).signature
    signature = signature[:64] + bytes([signature[64] - 27])
    assert internals.is_signed_by(actors.plug.address, digest, signature)
    assert not internals.is_signed_by(actors.plug.address, digest, change(signature))


@pytest.mark.parametrize("other", [{"chain_id": 5}, {"contract": "0x" + "77" * 20}], ids=["chain", "contract"])
def test_another_domain_is_refused(wattseal, actors, opened, make_voucher, make_receipt, settle, sign, other):
    receipt = make_receipt(opened)
    with boa.reverts("bad_signature"):
        settle(opened, receipt, sign(actors.plug, "Receipt", receipt, **other))
    voucher = make_voucher(nonce=1, issuedAt=boa.env.timestamp)
    with boa.reverts("bad_signature"):
        signature = sign(actors.driver, "Voucher", voucher, **other)
        wattseal.open(tuple(voucher.values()), signature, value=voucher["cap"], sender=actors.relay)


def test_nobody_signs_for_the_empty_address(internals):
    """The precompile fails for zeros and so names the empty address."""
    assert not internals.is_signed_by("0x" + "00" * 20, word(7), bytes(65))


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 64), mask=st.integers(1, 255))
def test_no_changed_byte_passes(wattseal, internals, actors, make_voucher, sign, position, mask):
    voucher = make_voucher()
    digest = wattseal.session_of(tuple(voucher.values()))
    signature = bytearray(sign(actors.driver, "Voucher", voucher))
    assert internals.is_signed_by(actors.driver.address, digest, bytes(signature))
    signature[position] ^= mask
    assert not internals.is_signed_by(actors.driver.address, digest, bytes(signature))
