"""Every row of the two tables of attacks (docs/registry.md) that the registry or the bond answers."""

import boa
import pytest
from boa.vm.py_evm import deregister_raw_precompile, register_raw_precompile

from tests.contracts import p256

BOND = 10**18
ZERO_ADDRESS = "0x" + "00" * 20


def test_nobody_squats_a_plug(registry, actors, sign):
    values = {"plug": actors.plug.address, "host": actors.stranger, "epoch": 1}
    for signature in (sign(actors.other_plug, "Enrol", values), bytes(65), bytes(128)):
        with boa.reverts("bad_signature"):
            registry.enrol(tuple(values.values()), signature, sender=actors.stranger)


def test_enrolment_front_run(registry, enrol, actors):
    """Whoever is first only pays the gas: the statement names the host."""
    enrol(actors.plug, actors.host, sender=actors.stranger)
    assert registry.host_of(actors.plug.address) == actors.host
    with boa.reverts("stale_epoch"):
        enrol(actors.plug, actors.host, sender=actors.host)


def test_re_keying_or_sale_of_a_plug_replayed(registry, enrol, retire, bonded, actors):
    enrol(bonded, actors.other_host, epoch=2)
    with boa.reverts("stale_epoch"):
        enrol(bonded, actors.host, epoch=1)
    retire(bonded, actors.other_plug.address, epoch=3)
    with boa.reverts("retired"):
        enrol(bonded, actors.other_host, epoch=2)
    assert registry.host_of(bonded.address) == ZERO_ADDRESS
    with boa.reverts("too_early"):
        registry.exit(bonded.address, actors.host, sender=actors.host)


def test_replay_on_another_chain(registry, actors, sign):
    values = {"plug": actors.plug.address, "host": actors.host, "epoch": 1}
    with boa.reverts("bad_signature"):
        registry.enrol(tuple(values.values()), sign(actors.plug, "Enrol", values, chain_id=10))


def test_register_monotony_is_not_on_the_money_path_but_costs_the_bond(
    registry, wattseal, open_session, make_voucher, make_receipt, settle, sign, bonded, actors
):
    """A tiny second session that settles first blocks nothing; that it bills the same energy costs the bond."""
    evidence = []
    for nonce, energy_wh in ((1, 1), (2, 2000)):
        voucher = make_voucher(nonce=nonce)
        receipt = make_receipt(voucher, energyWh=energy_wh)
        open_session(voucher)
        evidence.append((voucher, receipt))
    boa.env.timestamp += 7200
    for voucher, receipt in evidence:
        settle(voucher, receipt)
    parts = [(tuple(v.values()), tuple(r.values()), sign(actors.plug, "Receipt", r)) for v, r in evidence]
    registry.equivocate(*parts[0], *parts[1], sender=actors.stranger)
    assert registry.bond_of(bonded.address, actors.host) == 0


def test_flash_rolled_back(registry, make_evidence, bonded, actors):
    """A register that went back bills energy twice."""
    first = make_evidence(registerWh=5000, energyWh=3000)
    rolled_back = make_evidence(of={"nonce": 2}, registerWh=5000, energyWh=1)
    registry.equivocate(*first, *rolled_back, sender=actors.stranger)
    assert registry.bond_of(bonded.address, actors.host) == 0


def test_key_extracted(registry, enrol, bonded, actors, make_listing):
    """The host revokes: the thief neither enrols nor lists the key again."""
    registry.revoke(bonded.address, sender=actors.host)
    with boa.reverts("retired"):
        enrol(bonded, actors.stranger, epoch=2**63)
    with boa.reverts("not_host"):
        registry.announce(bonded.address, make_listing(), sender=actors.stranger)


def test_host_bills_untruly_and_leaves_with_the_bond(registry, make_evidence, bonded, actors):
    """The evidence counts as long as receipts of the time before the request can be claimed, and a week more."""
    first, second = make_evidence(), make_evidence(of={"nonce": 2})
    registry.request_exit(bonded.address, sender=actors.host)
    boa.env.timestamp += registry.EXIT_DELAY() - 1
    with boa.reverts("too_early"):
        registry.exit(bonded.address, actors.host, sender=actors.host)
    registry.equivocate(*first, *second, sender=actors.stranger)


def test_host_slashes_itself_to_get_the_bond_early(registry, make_evidence, bonded, actors):
    before = boa.env.get_balance(actors.host)
    registry.equivocate(*make_evidence(), *make_evidence(of={"nonce": 2}), sender=actors.host)
    assert boa.env.get_balance(actors.host) - before == BOND // 10


def test_host_bonds_again_for_a_key_that_equivocated(registry, enrol, make_evidence, bonded, actors):
    registry.equivocate(*make_evidence(), *make_evidence(of={"nonce": 2}), sender=actors.stranger)
    with boa.reverts("retired"):
        enrol(bonded, actors.host, epoch=2)
    with boa.reverts("not_host"):
        registry.post_bond(bonded.address, value=1, sender=actors.host)


def test_someone_slashes_a_host_by_a_session_of_another_host(registry, enrol, make_evidence, bonded, actors):
    """The buyer's double billing costs the buyer, not the seller."""
    enrol(bonded, actors.other_host, epoch=2)
    theirs = [make_evidence(of={"host": actors.other_host, "nonce": nonce}) for nonce in (1, 2)]
    registry.equivocate(*theirs[0], *theirs[1], sender=actors.stranger)
    assert registry.bond_of(bonded.address, actors.host) == BOND


@pytest.mark.parametrize("answer", [b"", b"\x01", (1).to_bytes(32, "big") + b"\0", (2).to_bytes(32, "big"), bytes(32)])
def test_no_p256_precompile(registry_source, wattseal, sign, actors, answer):
    """A chain whose address 0x100 answers anything else than the precompile would takes no P-256 plug."""
    code = b"".join(b"\x60" + bytes([byte, 0x60, i, 0x53]) for i, byte in enumerate(answer)) + bytes([0x60, len(answer), 0x60, 0, 0xF3])
    deregister_raw_precompile(p256.PRECOMPILE)
    try:
        boa.env.set_code(p256.PRECOMPILE, code)
        without = registry_source.deploy(wattseal.address)
        assert not without.HAS_P256()
        values = {"plug": actors.p256_plug.address, "host": actors.host, "epoch": 1}
        with boa.reverts("bad_signature"):
            without.enrol(tuple(values.values()), sign(actors.p256_plug, "Enrol", values))
    finally:
        register_raw_precompile(p256.PRECOMPILE, p256.precompile, force=True)


def test_the_escrow_does_not_know_the_registry(wattseal, open_session, voucher, make_receipt, settle):
    """A plug that is nowhere enrolled is paid all the same."""
    open_session(voucher)
    boa.env.timestamp += 7200
    settle(voucher, make_receipt(voucher))
