import itertools

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from wattseal.driver.seed import AHEAD, FIRST_SLOT_AT, SLOT_S, Seed, last_after_restoring, next_index, path, slot
from wattseal.errors import WalletError
from wattseal.protocol import signatures

NOW = FIRST_SLOT_AT + 1_000 * SLOT_S

# https://github.com/trezor/python-mnemonic/blob/master/vectors.json, the one of 32 bytes of 0x80
WORDS = " ".join(["letter advice cage absurd amount doctor acoustic avoid"] * 3)[: -len("avoid")] + "bless"


def test_a_published_vector() -> None:
    assert Seed(b"\x80" * 32).words == WORDS
    assert Seed.from_words(WORDS.upper().replace(" ", "\n  ")).entropy == b"\x80" * 32


def test_keys_are_those_of_any_bip44_wallet() -> None:
    Account.enable_unaudited_hdwallet_features()
    for index in (0, 7, 52_560):
        assert Seed.from_words(WORDS).key(index) == bytes(Account.from_mnemonic(WORDS, account_path=path(index)).key)


def test_addresses_are_those_of_the_keys() -> None:
    seed = Seed.new()
    assert list(seed.addresses(2, 5)) == [(signatures.address(seed.key(index)), index) for index in (2, 3, 4)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (WORDS.rsplit(" ", 1)[0], "23 words, not 24"),
        (WORDS.replace("cage", "kage", 1), "word number 3"),
        (WORDS.replace("letter advice", "advice letter", 1), "checksum"),
        (WORDS.replace("bless", "absurd"), "checksum"),
    ],
)
def test_words_with_a_slip_of_the_pen(words: str, why: str) -> None:
    with pytest.raises(WalletError, match=why) as refusal:
        Seed.from_words(words)
    assert not {"letter", "kage", "advice"} & set(str(refusal.value).split())


@given(st.lists(st.integers(0, 3 * SLOT_S), min_size=1, max_size=60))
def test_an_index_is_never_taken_twice_and_comes_back_when_it_is_too_early(pauses: list[int]) -> None:
    taken: list[int] = []
    for now in itertools.accumulate(pauses, initial=NOW):
        try:
            taken.append(next_index(taken[-1] if taken else -1, now))
        except WalletError:
            assert taken[-1] == slot(now) + AHEAD
    assert taken == sorted(set(taken))


@given(st.lists(st.integers(0, SLOT_S // 2), max_size=60), st.integers(0, 10 * SLOT_S))
def test_a_restored_wallet_takes_no_index_that_was_taken_before(pauses: list[int], later: int) -> None:
    """Whatever the first wallet took, opened or not, and however often one restores in between."""
    last, now = -1, NOW
    for pause in pauses:
        now += pause
        try:
            last = next_index(last, now)
        except WalletError:
            continue
    restored = last_after_restoring(-1, now)
    again = last_after_restoring(-1, now + later)
    assert next_index(restored, now + SLOT_S) > last
    with pytest.raises(WalletError, match="within 10 minutes"):
        next_index(restored, now)
    assert next_index(again, now + later + SLOT_S) > last


def test_a_clock_that_was_never_set_takes_no_index() -> None:
    with pytest.raises(WalletError, match="clock is before 2026"):
        next_index(-1, 0)


def test_another_kind_of_key_file() -> None:
    with pytest.raises(WalletError, match="16 bytes"):
        Seed(bytes(16))
