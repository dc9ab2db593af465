"""Wattseal.due against Python integers, over everything the fields can hold."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

TERMS = {"pricePerKwh": 96, "pricePerHour": 96, "maxPowerW": 32, "cap": 128}
READINGS = {"activeSeconds": 32, "energyWh": 64}


def uint(width):
    """Return a strategy for the whole range that likes the edges and everyday sizes."""
    edges = st.sampled_from([0, 1, 2**width - 1, 2 ** (width - 1)])
    return edges | st.integers(0, min(100_000, 2**width - 1)) | st.integers(0, 2**width - 1)


terms = st.fixed_dictionaries({field: uint(width) for field, width in TERMS.items()})
readings = st.fixed_dictionaries({field: uint(width) for field, width in READINGS.items()})
LARGEST_TERMS = {field: 2**width - 1 for field, width in TERMS.items()}
LARGEST_READINGS = {field: 2**width - 1 for field, width in READINGS.items()}


@settings(max_examples=300, deadline=None)
@given(terms=terms, readings=readings)
@example(terms=LARGEST_TERMS, readings=LARGEST_READINGS)
@example(terms=LARGEST_TERMS | {"cap": 0}, readings=LARGEST_READINGS)
def test_due_is_the_protocols_formula_and_never_reverts(wattseal, make_voucher, make_receipt, due_of, terms, readings):
    voucher = make_voucher(**terms)
    receipt = make_receipt(make_voucher(), **readings)
    assert wattseal.due(tuple(voucher.values()), tuple(receipt.values())) == due_of(voucher, receipt)


@pytest.mark.parametrize(
    ("readings", "due"),
    [
        ({"activeSeconds": 3600, "energyWh": 0}, 700),
        ({"activeSeconds": 5, "energyWh": 0}, 0),  # 0.97 rounds down
        ({"activeSeconds": 6, "energyWh": 0}, 1),
        ({"activeSeconds": 3600, "energyWh": 3}, 700),  # 0.999 rounds down
        ({"activeSeconds": 3600, "energyWh": 4}, 701),
        ({"activeSeconds": 1800, "energyWh": 500}, 350 + 166),
        ({"activeSeconds": 1800, "energyWh": 501}, 350 + 166),  # clamped to 1000 W for half an hour
        ({"activeSeconds": 1800, "energyWh": 2**64 - 1}, 350 + 166),
        ({"activeSeconds": 36_000, "energyWh": 10_000}, 7000 + 3330),
        ({"activeSeconds": 72_000, "energyWh": 20_000}, 10_500),  # the cap
    ],
)
def test_due_by_hand(wattseal, make_voucher, make_receipt, readings, due):
    voucher = make_voucher(pricePerKwh=333, pricePerHour=700, maxPowerW=1000, cap=10_500)
    assert wattseal.due(tuple(voucher.values()), tuple(make_receipt(voucher, **readings).values())) == due
