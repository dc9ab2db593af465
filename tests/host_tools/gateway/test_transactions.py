import contextlib

import pytest
import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import BadSignature, ProofError
from wattseal.gateway import transactions

KEY = bytes([0x46]) * 32
TO = bytes([0x35]) * 20
ACCESS = [{"address": "0x" + "11" * 20, "storageKeys": ["0x" + "22" * 32, "0x" + "33" * 32]}]
FEES = {"chainId": 5, "nonce": 7, "maxPriorityFeePerGas": 2, "maxFeePerGas": 3, "gas": 21000, "to": TO, "value": 1, "data": b"\xab"}
AUTHORIZATION = Account.from_key(KEY).sign_authorization({"chainId": 5, "address": TO, "nonce": 1})
SIGNED = {
    "legacy": {"nonce": 9, "gasPrice": 20 * 10**9, "gas": 21000, "to": TO, "value": 10**18, "chainId": 1},
    "without chain": {"nonce": 9, "gasPrice": 20 * 10**9, "gas": 21000, "to": TO, "value": 10**18},
    "creation": {"nonce": 0, "gasPrice": 1, "gas": 60000, "to": b"", "value": 0, "data": b"\0" * 60, "chainId": 2**40},
    "access list": {"type": 1, "chainId": 5, "nonce": 0, "gasPrice": 1, "gas": 30000, "to": TO, "value": 0, "accessList": ACCESS},
    "fees": {**FEES, "type": 2, "accessList": ACCESS},
    "authorization": {**FEES, "type": 4, "authorizationList": [AUTHORIZATION]},
}


@pytest.fixture(params=SIGNED)
def signed(request):
    return SIGNED[request.param], Account.from_key(KEY).sign_transaction(SIGNED[request.param])


def test_what_eth_account_signs(signed):
    fields, made = signed
    transaction = transactions.decode(bytes(made.raw_transaction))
    assert transaction.hash == bytes(made.hash)
    assert transaction.sender() == bytes.fromhex(Account.from_key(KEY).address[2:])
    assert (transaction.v, transaction.r, transaction.s) == (made.v, made.r, made.s)
    assert transaction.chain_id == fields.get("chainId")
    assert transaction.number("nonce") == fields["nonce"]
    assert transaction.effective_gas_price(1) == fields.get("gasPrice", 3)


def test_json_and_back(signed):
    raw = bytes(signed[1].raw_transaction)
    assert transactions.encode(transactions.to_json(transactions.decode(raw))) == raw


def test_the_example_of_eip_155():
    raw = bytes.fromhex(
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080"
        "25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )
    assert transactions.decode(raw).sender().hex() == "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
    assert bytes(Account.from_key(KEY).sign_transaction(SIGNED["legacy"]).raw_transaction) == raw


def test_a_blob_transaction_in_its_block_form():
    body = [5, 7, 2, 3, 21000, TO, 1, b"", [], 9, [b"\x01" + bytes(31)], 1, 5, 6]
    transaction = transactions.decode(b"\x03" + rlp.encode(body))
    assert transaction.fields["blobVersionedHashes"] == [b"\x01" + bytes(31)]
    with pytest.raises(ProofError):
        transactions.decode(b"\x03" + rlp.encode([body, [b""], [b""], [b""]]))  # with its blobs, as it travels


def test_the_address_of_a_created_contract():
    made = Account.from_key(KEY).sign_transaction(SIGNED["creation"])
    sender = bytes.fromhex(Account.from_key(KEY).address[2:])
    from eth_utils import keccak

    assert transactions.decode(bytes(made.raw_transaction)).created() == keccak(rlp.encode([sender, 0]))[-20:]


LEGACY = [9, 20 * 10**9, 21000, TO, 10**18, b"", 37, 5, 6]
MODERN = [5, 7, 2, 3, 21000, TO, 1, b"", [], 1, 5, 6]


def changed(members, place, value):
    return [*members[:place], value, *members[place + 1 :]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "RLP"),
        (b"\0", "not known"),
        (b"\x05\xc0", "not known"),
        (b"\x7e\xc0", "not known"),
        (b"\x02", "RLP"),
        (b"\x80", "list of 9"),
        (b"\xc0", "list of 9"),
        (b"\x02" + rlp.encode(MODERN) + b"\0", "follow"),
        (rlp.encode(LEGACY[:-1]), "list of 9"),
        (b"\x02" + rlp.encode([*MODERN, 1]), "list of 12"),
        (rlp.encode(changed(LEGACY, 0, b"\0")), "nonce is no integer of 64 bits"),
        (rlp.encode(changed(LEGACY, 0, b"\0\x01")), "nonce is no integer"),
        (rlp.encode(changed(LEGACY, 0, 2**64)), "nonce is no integer"),
        (rlp.encode(changed(LEGACY, 4, 2**256)), "value is no integer"),
        (rlp.encode(changed(LEGACY, 3, TO[:-1])), "to has 19 bytes"),
        (rlp.encode(changed(LEGACY, 5, [])), "input is a list"),
        (rlp.encode(changed(LEGACY, 6, 26)), "v is 26"),
        (rlp.encode(changed(LEGACY, 6, 1)), "v is 1"),
        (b"\x02" + rlp.encode(changed(MODERN, 9, 2)), "v is 2"),
        (b"\x02" + rlp.encode(changed(MODERN, 8, b"")), "accessList is no list"),
        (b"\x02" + rlp.encode(changed(MODERN, 8, [[TO]])), "1 members, not 2"),
        (b"\x02" + rlp.encode(changed(MODERN, 8, [[TO, [bytes(31)]]])), "31 bytes"),
        (b"\x04" + rlp.encode([*changed(MODERN, 5, b"")[:9], [], 1, 5, 6]), "to has 0 bytes"),
        (b"\x04" + rlp.encode([*MODERN[:9], [[5, TO, 1, 0, 5]], 1, 5, 6]), "5 members, not 6"),
    ],
)
def test_what_no_block_can_hold(raw, message):
    with pytest.raises(ProofError, match=message):
        transactions.decode(raw)


@pytest.mark.parametrize(("r", "s"), [(0, 6), (5, 0), (5, 2**255), (2**256 - 1, 6)])
def test_signatures_by_nobody(r, s):
    with pytest.raises(BadSignature):
        transactions.decode(rlp.encode([*LEGACY[:-2], r, s])).sender()


@given(st.sampled_from(list(SIGNED.values())), st.data())
def test_damaged_transactions_are_refused_or_have_another_hash(fields, data):
    raw = bytearray(Account.from_key(KEY).sign_transaction(fields).raw_transaction)
    true = transactions.decode(bytes(raw))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ProofError, BadSignature):
        found = transactions.decode(bytes(raw))
        assert found.hash != true.hash
        assert transactions.encode(transactions.to_json(found)) == raw


@given(st.integers(0, 4), st.binary(max_size=300))
def test_any_bytes(kind, body):
    with contextlib.suppress(ProofError):
        transactions.decode(bytes([kind]) + body)
