"""One test for each attack of docs/contracts.md that the contract answers, named after its row. Details are in the other files."""

import boa
import pytest

NONE, OPEN, CLOSED = 0, 1, 2
FINAL = 1
COIN = "0x" + "00" * 20
START_WINDOW_S = 3600
GRACE_S = 14 * 86_400


def state(wattseal, voucher):
    return wattseal.state_of(wattseal.session_of(tuple(voucher.values())))


# -- locks and tabs -------------------------------------------------------------------------------------------------------------------


def test_driver_charges_and_then_cancels_the_unused_voucher(wattseal, opened, make_receipt, settle, due_of):
    """No call of the driver's changes an open lock before the time for claims is over."""
    for timestamp in (boa.env.timestamp, opened["validUntil"], opened["validUntil"] + GRACE_S):
        boa.env.timestamp = timestamp
        for call, code in ((wattseal.release, "not_host"), (wattseal.refund, "too_early")):
            with boa.reverts(code):
                call(tuple(opened.values()), sender=opened["driver"])
    assert not {name for name in dir(wattseal) if "cancel" in name} - {"cancel_exit"}
    receipt = make_receipt(opened)
    settle(opened, receipt)
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt)


def test_permit_front_run_with_another_host(wattseal, actors, token, make_voucher, sign, sign_for_token):
    voucher = make_voucher(token=token.address)
    permit, signature = sign_for_token(actors.driver, "Permit", voucher), sign(actors.driver, "Voucher", voucher)
    stolen = voucher | {"host": actors.stranger}
    with boa.reverts("bad_signature"):
        wattseal.open_with_permit(tuple(stolen.values()), signature, permit, sender=actors.stranger)
    r, s, v = permit[:32], permit[32:64], permit[64] + 27
    token.permit(actors.driver.address, wattseal.address, voucher["cap"], voucher["validUntil"], v, r, s, sender=actors.stranger)
    wattseal.open_with_permit(tuple(voucher.values()), signature, permit, sender=actors.relay)
    assert state(wattseal, voucher) == (OPEN, 0)


def test_slot_cleared_at_close_and_session_funded_again(wattseal, voucher, open_session):
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + START_WINDOW_S
    wattseal.release(tuple(voucher.values()), sender=voucher["host"])
    assert state(wattseal, voucher) == (CLOSED, 0)
    with boa.reverts("not_new"):
        open_session(voucher)
    boa.env.timestamp += 1
    with boa.reverts("too_late"):
        open_session(voucher)


def test_register_monotony_blocks_a_session(wattseal, make_voucher, open_session, make_receipt, settle, due_of):
    """A tiny second session with a higher register that settles first blocks nothing: the register is not on the money path."""
    first, second = make_voucher(nonce=1), make_voucher(nonce=2)
    for voucher in (first, second):
        open_session(voucher)
    boa.env.timestamp = first["issuedAt"] + 7200
    receipts = make_receipt(second, registerWh=2**64 - 1, energyWh=1, flags=FINAL), make_receipt(first, registerWh=0, flags=FINAL)
    settle(second, receipts[0])
    settle(first, receipts[1])
    assert wattseal.balance_of(first["host"], COIN) == due_of(second, receipts[0]) + due_of(first, receipts[1])


def test_clock_unset_or_session_left_open_bills_decades(wattseal, opened, make_receipt, settle, due_of):
    decades = {"asOf": opened["issuedAt"] + 10**9, "activeSeconds": 10**9}
    boa.env.timestamp = opened["validUntil"] + GRACE_S
    with boa.reverts("bad_times"):
        settle(opened, make_receipt(opened, **decades))
    with boa.reverts("bad_times"):
        settle(opened, make_receipt(opened, startedAt=0, activeSeconds=10**9))
    receipt = make_receipt(opened, asOf=opened["validUntil"], activeSeconds=60)  # left open, but only active time counts
    settle(opened, receipt)
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt) < due_of(opened, make_receipt(opened)) // 10


def test_stale_bundle_for_a_lock_refunded_long_ago(wattseal, opened, make_receipt, settle):
    boa.env.timestamp = opened["validUntil"] + GRACE_S + 1
    wattseal.refund(tuple(opened.values()))
    with boa.reverts("not_open"):
        settle(opened, make_receipt(opened))
    assert wattseal.balance_of(opened["host"], COIN) == 0


def test_one_balance_promised_to_many_plugs(wattseal, actors, make_voucher, deposit, make_receipt, settle, sign, tab_of):
    voucher = make_voucher(funding=1)
    deposit(voucher, voucher["cap"])
    boa.env.timestamp = voucher["issuedAt"] + 7200
    elsewhere = voucher | {"plug": actors.other_plug.address}
    receipt = make_receipt(elsewhere)
    with boa.reverts("tab_empty"):
        settle(elsewhere, receipt, sign(actors.other_plug, "Receipt", receipt))
    assert tab_of(voucher) == (voucher["cap"], 0)


def test_relay_acknowledges_and_drops(wattseal, actors, opened, make_receipt, claim, due_of):
    """Anyone may settle, until the deadline."""
    boa.env.timestamp = opened["validUntil"] + GRACE_S
    receipt = make_receipt(opened)
    wattseal.settle(claim(opened, receipt), sender=actors.stranger)
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt)


def callees(computation):
    """Return every address that a computation called, however deep."""
    for child in computation.children:
        yield child.msg.code_address
        yield from callees(child)


def test_a_drivers_wallet_repudiates_or_kills_a_batch(wattseal, actors, wallet, make_voucher, open_session, make_receipt, claim, sign):
    """Invariant 9: settling calls nothing but ecrecover and the P-256 precompile, whatever driver and host are."""
    wallet.refuse()
    voucher = make_voucher(driver=wallet.address, host=wallet.address)
    wallet.run(wattseal.address, wattseal.open.prepare_calldata(tuple(voucher.values()), b""), value=voucher["cap"], sender=actors.relay)
    at_p256_plug = make_voucher(plug=actors.p256_plug.address)
    open_session(at_p256_plug)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    receipt = make_receipt(at_p256_plug, flags=FINAL)
    claims = [claim(voucher, make_receipt(voucher, flags=FINAL)), claim(at_p256_plug, receipt, sign(actors.p256_plug, "Receipt", receipt))]
    assert wattseal.settle_many(claims) == [bytes(32)] * 2
    assert {int.from_bytes(address, "big") for address in callees(wattseal._computation)} == {1, 0x100}


def test_low_power_bound_makes_the_receipt_revert(wattseal, make_voucher, open_session, make_receipt, settle, due_of):
    voucher = make_voucher(maxPowerW=1)
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    settle(voucher, make_receipt(voucher, energyWh=2**64 - 1))
    assert wattseal.balance_of(voucher["host"], COIN) == due_of(voucher, make_receipt(voucher, energyWh=1))


def test_one_bad_item_reverts_a_batch(wattseal, opened, make_voucher, make_receipt, claim):
    largest = make_voucher(funding=1, pricePerKwh=2**96 - 1, pricePerHour=2**96 - 1, cap=2**128 - 1, issuedAt=2**64 - 1, validUntil=2**64 - 1)
    never = make_voucher(nonce=1)
    claims = [
        claim(largest, make_receipt(largest, energyWh=2**64 - 1, activeSeconds=2**32 - 1, startedAt=2**64 - 1, asOf=2**64 - 1)),
        claim(opened, make_receipt(opened), b""),
        claim(never, make_receipt(never)),
        claim(opened, make_receipt(opened)),
        claim(opened, make_receipt(opened)),  # somebody was faster
    ]
    codes = [code.rstrip(b"\0").decode() for code in wattseal.settle_many(claims)]
    assert codes == ["bad_terms", "bad_signature", "not_open", "", "nothing_due"]


def test_no_p256_precompile(wattseal, actors, make_voucher, open_session, make_receipt, settle, sign):
    """With the precompile a receipt is paid; what happens without it and with something else in its place is in test_p256.py."""
    assert wattseal.HAS_P256()
    voucher = make_voucher(plug=actors.p256_plug.address)
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    receipt = make_receipt(voucher)
    with boa.reverts("bad_signature"):
        settle(voucher, receipt, sign(actors.p256_plug, "Receipt", receipt | {"energyWh": 1}))
    settle(voucher, receipt, sign(actors.p256_plug, "Receipt", receipt))


def test_fee_on_transfer_reentrant_and_blacklisting_tokens(wattseal, actors, hostile_token, make_voucher, open_session):
    voucher = make_voucher(token=hostile_token.address)
    hostile_token.charge(1, 0)
    with boa.reverts("wrong_value"):
        open_session(voucher)
    hostile_token.charge(0, 0)
    hostile_token.reenter(wattseal.address, wattseal.withdraw.prepare_calldata(voucher["driver"], hostile_token))
    open_session(voucher)
    assert not hostile_token.reentered()
    wattseal.release(tuple(voucher.values()), sender=voucher["host"])
    hostile_token.block_account(voucher["driver"])
    with boa.reverts():
        wattseal.withdraw(voucher["driver"], hostile_token)
    wattseal.withdraw_to(actors.stranger, hostile_token, sender=voucher["driver"])
    assert hostile_token.balanceOf(actors.stranger) == voucher["cap"]


def test_linkage_of_driver_and_register(wattseal, opened, make_receipt, settle):
    """Of a receipt the chain keeps and tells what was paid and the energy; neither register nor times nor evidence."""
    receipt = make_receipt(opened, flags=FINAL)
    settle(opened, receipt)
    (event,) = wattseal.get_logs()
    assert set(event._fields) - {"address"} == {"session", "host", "energyWh", "paid", "closed"}


# -- receipts and chain ---------------------------------------------------------------------------------------------------------------


def test_host_edits_calibration(wattseal, make_voucher, open_session, make_receipt, settle):
    """Whatever energy a manipulated plug signs: no more than the cap, and no more than the power bound over the time."""
    voucher = make_voucher(cap=10**9)
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    settle(voucher, make_receipt(voucher, energyWh=2**64 - 1, flags=FINAL))
    assert wattseal.balance_of(voucher["host"], COIN) == 10**9


@pytest.mark.parametrize("domain", [{"chain_id": 5}, {"contract": "0x" + "77" * 20}], ids=["chain", "contract"])
def test_replay_on_another_chain_or_contract(actors, opened, make_receipt, settle, sign, domain):
    receipt = make_receipt(opened)
    with boa.reverts("bad_signature"):
        settle(opened, receipt, sign(actors.plug, "Receipt", receipt, **domain))


def test_replay_of_a_receipt(wattseal, opened, make_voucher, open_session, make_receipt, claim, settle, due_of):
    receipt = make_receipt(opened)
    settle(opened, receipt)
    with boa.reverts("nothing_due"):
        settle(opened, receipt)
    other = make_voucher(nonce=1, issuedAt=boa.env.timestamp)
    open_session(other)
    with boa.reverts("wrong_session"):
        settle(other, receipt)
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt)


def test_stale_receipt_in_the_drivers_favour(wattseal, opened, make_receipt, settle, due_of):
    """Whoever settles an old one first: the difference is payable until the deadline."""
    settle(opened, make_receipt(opened, energyWh=10))
    boa.env.timestamp = opened["validUntil"] + GRACE_S
    receipt = make_receipt(opened, energyWh=3000, flags=FINAL)
    settle(opened, receipt)
    assert wattseal.balance_of(opened["host"], COIN) == due_of(opened, receipt)


def test_driver_denies_the_session(opened, make_receipt, settle):
    """The receipt names the voucher's digest: no other terms fit it."""
    for change in ({"pricePerKwh": 1}, {"cap": 10**18}, {"host": opened["plug"]}):
        with boa.reverts("not_open"):
            settle(opened | change, make_receipt(opened))


def test_plug_dies_in_a_session(wattseal, opened, make_receipt, settle, due_of):
    receipt = make_receipt(opened)
    settle(opened, receipt)
    boa.env.timestamp = opened["validUntil"] + GRACE_S + 1
    wattseal.refund(tuple(opened.values()))
    assert wattseal.balance_of(opened["driver"], COIN) == opened["cap"] - due_of(opened, receipt)


def test_clock_manipulation(opened, make_receipt, settle):
    """A receipt lies within its voucher's times and not ahead of the chain's."""
    ahead = boa.env.timestamp + 1
    for changes, code in (
        ({"startedAt": opened["issuedAt"] - 1}, "bad_times"),
        ({"startedAt": opened["issuedAt"] + START_WINDOW_S + 1, "activeSeconds": 0}, "bad_times"),
        ({"activeSeconds": 3601}, "bad_times"),
        ({"asOf": ahead}, "too_early"),
        ({"asOf": opened["validUntil"] + 1}, "bad_times"),
    ):
        with boa.reverts(code):
            settle(opened, make_receipt(opened, **changes))


def test_flash_rolled_back(opened, make_receipt, settle):
    """A plug that forgot what it signed cannot take back what is paid."""
    settle(opened, make_receipt(opened))
    with boa.reverts("lower"):
        settle(opened, make_receipt(opened, energyWh=100, flags=FINAL))


def test_key_extraction(wattseal, actors, make_voucher, open_session, make_receipt, settle, sign):
    """A plug's key is worth its own open sessions up to their caps, nobody else's."""
    voucher = make_voucher(plug=actors.other_plug.address, cap=1000)
    other = make_voucher()
    for each in (voucher, other):
        open_session(each)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    for each, outcome in ((voucher, None), (other, "bad_signature")):
        receipt = make_receipt(each, energyWh=2**64 - 1)
        signature = sign(actors.other_plug, "Receipt", receipt)
        if outcome:
            with boa.reverts(outcome):
                settle(each, receipt, signature)
        else:
            settle(each, receipt, signature)
    assert wattseal.balance_of(voucher["host"], COIN) == 1000


def test_front_run_open(wattseal, actors, sign, voucher):
    """The session is the terms, the driver included: whoever opens first opens the same session, with own money."""
    wattseal.open(tuple(voucher.values()), sign(actors.driver, "Voucher", voucher), value=voucher["cap"], sender=actors.stranger)
    with boa.reverts("not_new"):
        wattseal.open(tuple(voucher.values()), b"", value=voucher["cap"], sender=voucher["driver"])
    assert state(wattseal, voucher) == (OPEN, 0)


def test_zero_energy_griefing(wattseal, opened, make_receipt, settle):
    """An empty final receipt gives the driver everything at once; an empty interim one is refused."""
    empty = {"energyWh": 0, "activeSeconds": 0}
    with boa.reverts("nothing_due"):
        settle(opened, make_receipt(opened, **empty))
    settle(opened, make_receipt(opened, **empty, flags=FINAL))
    assert wattseal.balance_of(opened["driver"], COIN) == opened["cap"]


def test_payee_reverts(wattseal, actors, wallet, make_voucher, open_session, make_receipt, settle, due_of):
    wallet.refuse()
    voucher = make_voucher(host=wallet.address)
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    receipt = make_receipt(voucher, flags=FINAL)
    settle(voucher, receipt)
    wattseal.withdraw(voucher["driver"], COIN)
    with boa.reverts("not_received"):
        wattseal.withdraw(wallet.address, COIN)
    before = boa.env.get_balance(actors.stranger)
    wallet.run(wattseal.address, wattseal.withdraw_to.prepare_calldata(actors.stranger, COIN))
    assert boa.env.get_balance(actors.stranger) == before + due_of(voucher, receipt)
