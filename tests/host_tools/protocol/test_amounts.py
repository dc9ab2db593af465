import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import Malformed
from wattseal.protocol import amounts


@given(st.integers(0, 10**37))
def test_coins_are_exact(wei: int) -> None:
    assert amounts.wei(amounts.coins(wei)) == wei
    assert wei <= amounts.wei(amounts.about(wei)) <= wei + wei // 10**5


@pytest.mark.parametrize(
    ("wei", "text"),
    [(0, "0"), (1, "0.000000000000000001"), (10**18, "1"), (434 * 10**12, "0.000434"), (-5 * 10**17, "-0.5"), (10**19 + 1, "10.000000000000000001")],
)
def test_coins_as_people_write_them(wei: int, text: str) -> None:
    assert amounts.coins(wei) == text
    assert amounts.both(wei) == f"{text} ({wei} wei)"


@pytest.mark.parametrize("text", ["", ".", "1.", ".5", "-1", "1e3", "1,5", "0.0000000000000000001", "\u0661", "0x1", "1 2", "1" * 21])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(Malformed, match="amount in coins"):
        amounts.wei(text)


def test_times_are_local_and_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for zone, text in (
            ("UTC", "2026-03-01 23:20:00 UTC"),
            ("Europe/Berlin", "2026-03-02 00:20:00 CET (2026-03-01 23:20:00 UTC)"),
            ("America/New_York", "2026-03-01 18:20:00 EST (23:20:00 UTC)"),
        ):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert amounts.local_and_utc(1_772_407_200) == text
            assert amounts.short(1_772_407_200)[0] == text[5:16] + text[19:23].rstrip()
            assert amounts.short(1_772_407_200)[1] == "03-01 23:20 UTC"
        assert amounts.utc(1 << 60).startswith("9999")
    finally:
        monkeypatch.undo()
        time.tzset()
