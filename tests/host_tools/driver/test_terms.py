import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.driver.terms import HOURS, cap_step, check_cap, check_prices, voucher
from wattseal.errors import BadTerms, LinkError, Malformed, WrongChain

from tests.host_tools.driver.conftest import CHAIN_ID, Plug

CONTRACT = b"\x5f" * 20
NOW = 1_795_000_000


@given(st.integers(1, 10**24))
def test_caps_are_coarse(wei: int) -> None:
    step = cap_step(wei)
    assert step >= wei
    assert str(step).rstrip("0") in ("1", "2", "5")
    check_cap(step)


@pytest.mark.parametrize("wei", [3 * 10**16, 10**16 + 1, 0, 123, 10**11])
def test_a_cap_that_would_be_a_mark_is_refused(wei: int) -> None:
    with pytest.raises(BadTerms, match="the next is"):
        check_cap(wei)


def test_nothing_in_a_voucher_is_the_drivers_own_but_the_key() -> None:
    plug = Plug(CONTRACT)
    offer = plug.offer(NOW)
    one, other = (
        voucher(offer, driver, plug.host, cap=10**16, hours=24, chain_id=CHAIN_ID, contract=CONTRACT, now=NOW)
        for driver in (b"\x01" * 20, b"\x02" * 20)
    )
    assert {name for name in vars(one) if getattr(one, name) != getattr(other, name)} == {"driver"}
    assert one.maxPowerW == 2875
    assert one.validUntil - one.issuedAt == 24 * 3600


@pytest.mark.parametrize(
    ("changes", "arguments", "error"),
    [
        ({"contract": "0x" + "00" * 20}, {}, WrongChain),
        ({"chain_id": 1}, {}, WrongChain),
        ({"rated_power_w": None}, {}, Malformed),
        ({"rated_power_w": 2300.5}, {}, Malformed),
        ({"nonce": -1}, {}, Malformed),
        ({"price_per_kwh": "1"}, {}, Malformed),
        ({"issued_at": NOW - 3000}, {}, LinkError),
        ({}, {"hours": 23}, BadTerms),
        ({}, {"cap": 11 * 10**15}, BadTerms),
    ],
)
def test_a_bad_offer_is_not_signed(changes: dict[str, object], arguments: dict[str, int], error: type[Exception]) -> None:
    plug = Plug(CONTRACT)
    with pytest.raises(error):
        voucher(
            plug.offer(NOW) | changes, b"\x01" * 20, plug.host, **({"cap": 10**16, "hours": HOURS[0]} | arguments),
            chain_id=CHAIN_ID, contract=CONTRACT, now=NOW,
        )  # fmt: skip


def test_a_price_above_the_drivers_limit() -> None:
    plug = Plug(CONTRACT)
    signed = voucher(plug.offer(NOW), b"\x01" * 20, plug.host, cap=10**16, hours=1, chain_id=CHAIN_ID, contract=CONTRACT, now=NOW)
    check_prices(signed, 10**14, None)
    with pytest.raises(BadTerms, match="a kWh"):
        check_prices(signed, 10**14 - 1, None)
    with pytest.raises(BadTerms, match="an hour"):
        check_prices(signed, None, 0)
