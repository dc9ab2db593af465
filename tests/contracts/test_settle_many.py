"""Wattseal.settle_many: as settle for each, and no claim spoils another."""

import boa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FINAL = 1
COIN = "0x" + "00" * 20
GRACE_S = 14 * 86_400
MAX_CLAIMS = 100


def text(code):
    return code.rstrip(b"\0").decode()


@pytest.fixture(scope="session")
def settle_many(wattseal, actors):
    """Return a function with which the relay settles claims; it returns the codes as text, empty for what was settled."""

    def settle_many(claims):
        return [text(code) for code in wattseal.settle_many(claims, sender=actors.relay)]

    return settle_many


@pytest.fixture
def sessions(make_voucher, open_session, deposit):
    """Return the vouchers of two open locks and of a session on a tab, two hours after they were issued."""
    locks = [make_voucher(nonce=nonce) for nonce in (1, 2)]
    for voucher in locks:
        open_session(voucher)
    on_tab = make_voucher(funding=1, nonce=3)
    deposit(on_tab, on_tab["cap"])
    boa.env.timestamp = on_tab["issuedAt"] + 7200
    return [*locks, on_tab]


def test_every_claim_is_settled(wattseal, sessions, make_receipt, claim, settle_many, due_of):
    receipts = [make_receipt(voucher, energyWh=1000 * number, flags=FINAL) for number, voucher in enumerate(sessions)]
    assert settle_many([claim(*pair) for pair in zip(sessions, receipts, strict=True)]) == ["", "", ""]
    dues = [due_of(*pair) for pair in zip(sessions, receipts, strict=True)]
    assert [event.paid for event in wattseal.get_logs()] == dues
    assert wattseal.balance_of(sessions[0]["host"], COIN) == sum(dues)
    assert wattseal.balance_of(sessions[0]["driver"], COIN) == 2 * sessions[0]["cap"] - sum(dues[:2])


@pytest.fixture
def refused(actors, sessions, make_voucher, make_receipt, claim, sign):
    """Return a claim for every code."""
    lock, other, on_tab = sessions
    receipt = make_receipt(lock)
    never = make_voucher(nonce=9)
    bare, elsewhere = on_tab | {"cap": 0}, on_tab | {"host": actors.other_host}
    started_at = lock["issuedAt"] - 1
    return {
        "not_open": claim(never, make_receipt(never)),
        "bad_terms": claim(bare, make_receipt(bare)),
        "wrong_session": claim(lock, make_receipt(other)),
        "bad_signature": claim(lock, receipt, sign(actors.other_plug, "Receipt", receipt)),
        "unknown_flags": claim(lock, make_receipt(lock, flags=1 << 8)),
        "bad_times": claim(lock, make_receipt(lock, startedAt=started_at)),
        "too_early": claim(lock, make_receipt(lock, asOf=boa.env.timestamp + 1)),
        "nothing_due": claim(lock, make_receipt(lock, energyWh=0, activeSeconds=0)),
        "tab_empty": claim(elsewhere, make_receipt(elsewhere)),
    }


def test_a_refused_claim_changes_nothing_and_stops_no_other(wattseal, sessions, make_receipt, claim, settle, settle_many, refused):
    good = claim(sessions[0], make_receipt(sessions[0]))
    with boa.env.anchor():
        assert settle_many([good]) == [""]
        alone = wattseal._storage.sessions.get(), wattseal._storage.tabs.get(), wattseal._storage.balances.get()
    half = list(refused.values())
    assert settle_many([*half[:5], good, *half[5:7]]) == [*list(refused)[:5], "", *list(refused)[5:7]]
    assert len(wattseal.get_logs()) == 1
    assert (wattseal._storage.sessions.get(), wattseal._storage.tabs.get(), wattseal._storage.balances.get()) == alone


def test_the_code_is_what_settle_reverts_with(wattseal, actors, refused, settle_many):
    for code, arguments in refused.items():
        assert settle_many([arguments]) == [code]
        with boa.reverts(code):
            wattseal.settle(arguments, sender=actors.relay)


def test_late_and_lower_claims_have_codes_too(sessions, make_receipt, claim, settle, settle_many):
    lock = sessions[0]
    settle(lock, make_receipt(lock))
    assert settle_many([claim(lock, make_receipt(lock, energyWh=1999))]) == ["lower"]
    boa.env.timestamp = lock["validUntil"] + GRACE_S + 1
    assert settle_many([claim(lock, make_receipt(lock, energyWh=3000))]) == ["too_late"]


def test_a_claim_that_somebody_else_was_faster_with_is_nothing_due(sessions, make_receipt, claim, settle, settle_many):
    receipts = [make_receipt(voucher) for voucher in sessions]
    settle(sessions[1], receipts[1])
    assert settle_many([claim(*pair) for pair in zip(sessions, receipts, strict=True)]) == ["", "nothing_due", ""]


def test_the_same_claim_twice_pays_once(wattseal, sessions, make_receipt, claim, settle_many, due_of):
    receipt = make_receipt(sessions[0])
    assert settle_many([claim(sessions[0], receipt)] * 3) == ["", "nothing_due", "nothing_due"]
    assert wattseal.balance_of(sessions[0]["host"], COIN) == due_of(sessions[0], receipt)


def test_hosts_and_tokens_in_any_order_get_their_own(wattseal, actors, token, make_voucher, make_receipt, open_session, claim, settle_many, due_of):
    """One host is a driver too, and one is paid in two tokens, next to each other and apart."""
    driver, host, other = actors.driver.address, actors.host, actors.other_host
    coin, tokens = COIN, token.address
    parties = [(host, coin), (host, coin), (host, tokens), (other, tokens), (driver, coin), (host, coin), (driver, coin)]
    vouchers = [make_voucher(nonce=nonce, host=payee, token=paid_in) for nonce, (payee, paid_in) in enumerate(parties)]
    token.approve(wattseal.address, 10**20, sender=driver)
    for voucher in vouchers:
        open_session(voucher)
    boa.env.timestamp = vouchers[0]["issuedAt"] + 7200
    receipts = [make_receipt(voucher, energyWh=500 + 3**number, flags=FINAL) for number, voucher in enumerate(vouchers)]
    expected = {}
    for voucher, receipt in zip(vouchers, receipts, strict=True):
        due = due_of(voucher, receipt)
        for owner, amount in ((voucher["host"], due), (driver, voucher["cap"] - due)):
            place = owner, voucher["token"]
            expected[place] = expected.get(place, 0) + amount
    assert settle_many([claim(*pair) for pair in zip(vouchers, receipts, strict=True)]) == [""] * len(vouchers)
    assert {place: wattseal.balance_of(*place) for place in expected} == expected


def test_no_claims_are_fine_and_too_many_are_not(wattseal, sessions, make_receipt, claim, settle_many):
    assert settle_many([]) == []
    arguments = claim(sessions[0], make_receipt(sessions[0]))
    assert settle_many([arguments] * MAX_CLAIMS)[0] == ""
    with boa.reverts():
        settle_many([arguments] * (MAX_CLAIMS + 1))


def test_a_refused_claim_costs_bounded_gas(wattseal, settle_many, refused):
    """Whatever it says: at most what one that is paid may cost."""
    gas = {}
    for code, arguments in refused.items():
        settle_many([arguments])
        one = wattseal._computation.get_gas_used()
        settle_many([arguments] * 11)
        gas[code] = (wattseal._computation.get_gas_used() - one) / 10
    assert max(gas.values()) < 20_000, gas


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_many_are_as_one_after_another(wattseal, actors, make_voucher, make_receipt, open_session, deposit, claim, settle, settle_many, data):
    """The same claims in the same order, good and bad, one session more than once."""
    vouchers = [make_voucher(nonce=nonce, funding=nonce % 2, cap=cap) for nonce, cap in enumerate((10**16, 10**15, 10**14, 10**16))]
    claims = []
    for _ in range(data.draw(st.integers(1, 6))):
        voucher = data.draw(st.sampled_from(vouchers))
        seconds, start = data.draw(st.integers(0, 3700)), data.draw(st.sampled_from([60, 60, 60, -1]))
        started_at = voucher["issuedAt"] + start
        times = {"startedAt": started_at, "asOf": started_at + seconds, "activeSeconds": seconds}
        flags = data.draw(st.sampled_from([0, 0, FINAL, 1 << 9]))
        claims.append(claim(voucher, make_receipt(voucher, **times, energyWh=data.draw(st.integers(0, 4000)), flags=flags)))
    outcomes = []
    for way in ("one by one", "at once"):
        with boa.env.anchor():
            for voucher in vouchers:
                if voucher["funding"]:
                    deposit(voucher, 10**15)
                else:
                    open_session(voucher)
            boa.env.timestamp = vouchers[0]["issuedAt"] + 7200
            if way == "at once":
                codes = settle_many(claims)
            else:
                codes = []
                for arguments in claims:
                    try:
                        wattseal.settle(arguments, sender=actors.relay)
                        codes.append("")
                    except boa.BoaError as error:
                        codes.append(error.stack_trace.last_frame.pretty_vm_reason)
            states = [wattseal.state_of(wattseal.session_of(tuple(voucher.values()))) for voucher in vouchers]
            balances = [wattseal.balance_of(owner, COIN) for owner in (actors.driver.address, actors.host)]
            outcomes.append((codes, states, balances))
    assert outcomes[0] == outcomes[1]
