"""Claims are words of 32 bytes: values that no field can hold, well signed, are refused or mean nothing, and never stop a batch."""

import boa
import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.conftest import signature_words, word

COIN = "0x" + "00" * 20
FINAL = 1
LARGEST = 2**256 - 1


@pytest.fixture(scope="session")
def signed_claim(wattseal, definition, actors):
    """Return a function that makes a claim of any words; driver and plug sign whatever the words are."""

    def digest(type_name, words):
        fields = definition["types"][type_name]
        type_hash = keccak(f"{type_name}({','.join(' '.join(field) for field in fields)})".encode())
        encoded = encode(["bytes32"] + ["bytes32" if kind == "bytes32" else "uint256" for kind, _ in fields], [type_hash, *words])
        return keccak(b"\x19\x01" + wattseal.DOMAIN_SEPARATOR() + keccak(encoded))

    def sign(account, hashed):
        signature = account.unsafe_sign_hash(hashed).signature
        return signature_words(signature[:64] + bytes([signature[64] - 27]))

    def signed_claim(voucher, receipt):
        terms = tuple(map(word, voucher.values()))
        session = digest("Voucher", terms)
        reading = tuple(map(word, (receipt | {"session": session}).values()))
        return terms, reading, sign(actors.plug, digest("Receipt", reading)), sign(actors.driver, session)[:3]

    return signed_claim


@pytest.fixture
def code_of(wattseal, signed_claim):
    """Return a function that settles a claim beside others and gives its code."""

    def code_of(voucher, receipt):
        code, _ = wattseal.settle_many([signed_claim(voucher, receipt), signed_claim(voucher, receipt)])
        return code.rstrip(b"\0").decode()

    return code_of


@pytest.fixture
def on_tab(make_voucher, deposit):
    """Return the voucher of a filled tab, two hours after it was issued."""
    voucher = make_voucher(funding=1)
    deposit(voucher, 2 * voucher["cap"])
    boa.env.timestamp = voucher["issuedAt"] + 7200
    return voucher


OUT_OF_RANGE = [("host", 160), ("token", 160), ("pricePerKwh", 96), ("pricePerHour", 96), ("maxPowerW", 32), ("cap", 128)]


def test_well_signed_words_in_range_are_paid(on_tab, make_receipt, code_of):
    assert code_of(on_tab, make_receipt(on_tab)) == ""


@pytest.mark.parametrize(("field", "width"), [*OUT_OF_RANGE, ("driver", 160), ("plug", 160), ("issuedAt", 64), ("validUntil", 64), ("nonce", 64)])
@pytest.mark.parametrize("top", [False, True], ids=["next bit", "all bits"])
def test_a_tabs_voucher_with_a_word_out_of_range_is_refused(on_tab, make_receipt, code_of, field, width, top):
    """`host` above 160 bits would name the balance of nobody, a large price would wrap around to a small one."""
    receipt = make_receipt(on_tab)
    assert code_of(on_tab | {field: LARGEST if top else word(on_tab[field]) | 1 << width}, receipt) == "bad_terms"


@pytest.mark.parametrize(("field", "width"), OUT_OF_RANGE)
def test_a_locks_voucher_with_a_word_out_of_range_was_never_opened(opened, make_receipt, code_of, field, width):
    assert code_of(opened | {field: word(opened[field]) | 1 << width}, make_receipt(opened)) == "not_open"


@pytest.mark.parametrize("field", ["startedAt", "asOf"])
def test_a_receipt_with_a_time_out_of_range_is_refused(opened, make_receipt, code_of, field):
    receipt = make_receipt(opened)
    for value in (LARGEST, 1 << 255, receipt[field] | 1 << 64, LARGEST - receipt[field]):
        assert code_of(opened, receipt | {field: value}) == "bad_times"


READING = [("sequence", 32), ("activeSeconds", 32), ("registerWh", 64), ("energyWh", 64), ("flags", 32)]


@pytest.mark.parametrize(("field", "width"), READING)
@pytest.mark.parametrize("top", [False, True], ids=["next bit", "all bits"])
def test_a_receipt_with_a_word_out_of_range_is_refused(opened, make_receipt, code_of, field, width, top):
    """It could be paid, but not be shown to the registry as evidence against its host."""
    receipt = make_receipt(opened)
    assert code_of(opened, receipt | {field: LARGEST if top else receipt[field] | 1 << width}) == "bad_terms"


@pytest.mark.parametrize(("field", "largest"), [("sequence", 2**32 - 1), ("registerWh", 2**64 - 1), ("energyWh", 2**64 - 1), ("flags", 0xFFFF00FE)])
def test_the_largest_that_a_field_holds_is_taken(wattseal, opened, make_receipt, code_of, due_of, field, largest):
    receipt = make_receipt(opened, **{field: largest})
    assert code_of(opened, receipt) == ""
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt)


words = st.sampled_from([0, 1, 2**32, 2**64, 2**96, 2**128, 2**160, 2**255, LARGEST, LARGEST - 3599]) | st.integers(0, LARGEST)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_words_stop_a_batch(wattseal, actors, make_voucher, make_receipt, deposit, signed_claim, data):
    """Whatever driver and plug sign, the claim after it is settled."""
    on_tab, elsewhere = make_voucher(funding=1), make_voucher(funding=1, host=actors.other_host)
    with boa.env.anchor():
        for voucher in (on_tab, elsewhere):
            deposit(voucher, voucher["cap"])
        boa.env.timestamp = on_tab["issuedAt"] + 7200
        good = signed_claim(elsewhere, make_receipt(elsewhere))
        odd_terms = data.draw(st.dictionaries(st.sampled_from([field for field in on_tab if field != "driver"]), words, max_size=3))
        receipt = make_receipt(on_tab)
        odd_reading = data.draw(
            st.dictionaries(st.sampled_from([field for field in receipt if field not in ("session", "evidence")]), words, max_size=4)
        )
        odd = signed_claim(on_tab | odd_terms, receipt | odd_reading)
        codes = wattseal.settle_many([odd, good])
        assert codes[1] == bytes(32)
