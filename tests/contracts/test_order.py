"""One session's receipts, in any order and however often, give the same balances once the final one was among them."""

import boa
from hypothesis import given, settings
from hypothesis import strategies as st

COIN = "0x" + "00" * 20  # the token of the native coin
FINAL = 1
REVERTS = {"lower", "nothing_due", "not_open"}


@st.composite
def readings(draw):
    """Draw an honest session: (activeSeconds, energyWh) that never fall."""
    steps = draw(st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 3000)), min_size=1, max_size=4))
    seconds, energy_wh, out = 0, 0, []
    for more_seconds, more_energy_wh in steps:
        seconds, energy_wh = seconds + more_seconds, energy_wh + more_energy_wh
        out.append((seconds, energy_wh))
    return out


@settings(max_examples=40, deadline=None)
@given(readings=readings(), cap=st.sampled_from([1, 10**14, 10**15, 10**17]), data=st.data())
def test_order_and_duplicates_do_not_matter(wattseal, make_voucher, make_receipt, open_session, settle, due_of, readings, cap, data):
    voucher = make_voucher(cap=cap)
    receipts = [
        make_receipt(voucher, sequence=number, asOf=voucher["issuedAt"] + 60 + seconds, activeSeconds=seconds, energyWh=energy_wh, flags=0)
        for number, (seconds, energy_wh) in enumerate(readings)
    ]
    receipts[-1]["flags"] = FINAL
    extra = data.draw(st.lists(st.sampled_from(receipts), max_size=3))
    order = data.draw(st.permutations(receipts + extra))
    reasons = []
    with boa.env.anchor():
        open_session(voucher)
        boa.env.timestamp = voucher["issuedAt"] + 10_000
        for receipt in order:
            try:
                settle(voucher, receipt)
            except boa.BoaError as error:
                reasons.append(str(error))
        assert all(any(code in reason for code in REVERTS) for reason in reasons)
        due = due_of(voucher, receipts[-1])
        assert wattseal.balance_of(voucher["host"], COIN) == due
        assert wattseal.balance_of(voucher["driver"], COIN) == cap - due
