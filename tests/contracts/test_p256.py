"""Plugs with P-256 keys: exactly one form of the signature is taken, and only where the chain has the precompile."""

import json
from hashlib import sha256
from pathlib import Path

import boa
import pytest
from boa.vm.py_evm import deregister_raw_precompile, register_raw_precompile
from eth_utils import keccak, to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.p256 import ORDER, PRECOMPILE, P256Account, is_valid, plug_id, precompile

FINAL = 1
COIN = "0x" + "00" * 20
WYCHEPROOF = Path(__file__).resolve().parents[1] / "vectors/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json"


def word(value):
    return value.to_bytes(32, "big")


@pytest.fixture
def opened(actors, make_voucher, open_session):
    """Return the voucher of an open session at a plug with a P-256 key, two hours after it was issued."""
    voucher = make_voucher(plug=actors.p256_plug.address)
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    return voucher


def test_a_p256_plugs_receipt_is_paid(wattseal, actors, opened, make_receipt, settle, sign, due_of):
    receipt = make_receipt(opened, flags=FINAL)
    settle(opened, receipt, sign(actors.p256_plug, "Receipt", receipt))
    assert wattseal.HAS_P256()
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt)


def test_a_tab_takes_p256_plugs_too(wattseal, actors, make_voucher, deposit, make_receipt, settle, sign, due_of):
    voucher = make_voucher(plug=actors.p256_plug.address, funding=1)
    deposit(voucher, voucher["cap"])
    boa.env.timestamp = voucher["issuedAt"] + 7200
    receipt = make_receipt(voucher)
    settle(voucher, receipt, sign(actors.p256_plug, "Receipt", receipt))
    assert wattseal.balance_of(voucher["host"], COIN) == due_of(voucher, receipt)


def malleated(signature):
    return signature[:32] + word(ORDER - int.from_bytes(signature[32:64], "big")) + signature[64:]


FORGERIES = {
    "malleated": malleated,
    "another key": lambda signature: signature[:64] + P256Account(6).public_key,
    "r of zero": lambda signature: bytes(32) + signature[32:],
    "s of zero": lambda signature: signature[:32] + bytes(32) + signature[64:],
    "r of n": lambda signature: word(ORDER) + signature[32:],
    "without key": lambda signature: signature[:64],
    "without last byte": lambda signature: signature[:127],
    "65 bytes": lambda signature: signature[:65],
    "empty": lambda signature: b"",
    "zeros": lambda signature: bytes(128),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_receipt_takes_no_other_form(actors, opened, make_receipt, settle, sign, forge):
    receipt = make_receipt(opened)
    signature = sign(actors.p256_plug, "Receipt", receipt)
    with boa.reverts("bad_signature"):
        settle(opened, receipt, forge(signature))


def test_another_p256_key_signs_for_itself_only(opened, make_receipt, settle, sign):
    """Its signature is good, but its key is not the one that the plug's id commits to."""
    receipt = make_receipt(opened)
    with boa.reverts("bad_signature"):
        settle(opened, receipt, sign(P256Account(6), "Receipt", receipt))


def test_a_p256_key_is_nobodys_ethereum_address(actors, make_voucher, open_session, make_receipt, settle, sign):
    """The prefix in the id keeps the two kinds of keys apart: keccak256(x || y) of a P-256 key is no plug."""
    voucher = make_voucher(plug=to_checksum_address(keccak(actors.p256_plug.public_key)[-20:]))
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    receipt = make_receipt(voucher)
    with boa.reverts("bad_signature"):
        settle(voucher, receipt, sign(actors.p256_plug, "Receipt", receipt))


def test_a_driver_has_no_p256_key(wattseal, actors, make_voucher, sign):
    voucher = make_voucher(driver=actors.p256_plug.address)
    with boa.reverts():
        wattseal.open(tuple(voucher.values()), sign(actors.p256_plug, "Voucher", voucher), value=voucher["cap"], sender=actors.relay)


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 127), mask=st.integers(1, 255))
def test_no_changed_byte_passes(internals, actors, position, mask):
    signature = bytearray(actors.p256_plug.sign_digest(word(7)))
    signature[position] ^= mask
    assert not internals.is_signed_by(actors.p256_plug.address, word(7), bytes(signature))


def test_wycheproof(internals):
    """Every case of 64 bytes, as the plug's id, digest and signature; high s is refused though it is valid."""
    taken = 0
    for group in json.loads(WYCHEPROOF.read_text())["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["uncompressed"])[1:]
        for case in group["tests"]:
            signature = bytes.fromhex(case["sig"])
            if len(signature) != 64:
                continue
            expected = case["result"] == "valid" and int.from_bytes(signature[32:], "big") <= ORDER // 2
            digest = sha256(bytes.fromhex(case["msg"])).digest()
            assert internals.is_signed_by(plug_id(key), digest, signature + key) == expected, case["comment"]
            taken += expected
    assert taken > 50


def without(computation):
    """An address where nothing is: the call succeeds, with no answer."""
    computation.output = b""
    return computation


def always(computation):
    """Something that answers 1 whatever it is asked."""
    computation.output = word(1)
    return computation


def true_as_two(computation):
    """Something that knows signatures, and says yes in another way."""
    computation.output = word(2) if is_valid(computation.msg.data_as_bytes) else b""
    return computation


@pytest.fixture
def replaced():
    """Return a function that puts something else at the precompile's address."""

    def replaced(by):
        register_raw_precompile(PRECOMPILE, by, force=True)

    yield replaced
    deregister_raw_precompile(PRECOMPILE)
    register_raw_precompile(PRECOMPILE, precompile)


@pytest.mark.parametrize("there", [without, always, true_as_two])
def test_without_the_precompile_p256_receipts_are_refused(source, actors, replaced, make_voucher, sign, claim, make_receipt, there):
    """A missing precompile "succeeds" with empty data; and a chain may have something else at its address."""
    replaced(there)
    wattseal = source.deploy()
    assert not wattseal.HAS_P256()
    for plug, taken in ((actors.p256_plug, False), (actors.plug, True)):
        voucher = make_voucher(plug=plug.address, issuedAt=boa.env.timestamp, validUntil=boa.env.timestamp + 7200)
        wattseal.open(tuple(voucher.values()), b"", value=voucher["cap"], sender=voucher["driver"])
        session = wattseal.session_of(tuple(voucher.values()))
        with boa.env.anchor():
            boa.env.timestamp += 3600
            receipt = make_receipt(voucher, session=session, startedAt=voucher["issuedAt"], asOf=voucher["issuedAt"] + 3600)
            arguments = claim(voucher, receipt, sign(plug, "Receipt", receipt, contract=wattseal.address))
            if taken:
                wattseal.settle(arguments)
                assert wattseal.balance_of(voucher["host"], COIN) > 0
            else:
                with boa.reverts("bad_signature"):
                    wattseal.settle(arguments)


@pytest.mark.parametrize("there", [without, true_as_two])
def test_only_32_bytes_equal_to_one_are_a_yes(internals, actors, replaced, there):
    """Even after the probe."""
    digest = word(7)
    signature = actors.p256_plug.sign_digest(digest)
    assert internals.is_signed_by(actors.p256_plug.address, digest, signature)
    replaced(there)
    assert not internals.is_signed_by(actors.p256_plug.address, digest, signature)
