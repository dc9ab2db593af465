"""post_bond, request_exit and exit: a bond is its host's, and leaves late."""

import boa
import pytest

BOND = 10**18
ZERO_ADDRESS = "0x" + "00" * 20
HOUR = 3600
CLAIMS_S = HOUR + 10 * 24 * HOUR + 14 * 24 * HOUR  # START_WINDOW + MAX_SESSION + GRACE
EXIT_DELAY_S = CLAIMS_S + 7 * 24 * HOUR


@pytest.fixture
def leaving(registry, bonded, actors):
    """Return a plug whose bond can be taken out now."""
    registry.request_exit(bonded.address, sender=actors.host)
    boa.env.timestamp += EXIT_DELAY_S
    return bonded


def test_bonds_add_up(registry, bonded, actors):
    registry.post_bond(bonded.address, value=5, sender=actors.host)
    (event,) = registry.get_logs()
    assert (event.plug, event.host, event.bond) == (bonded.address, actors.host, BOND + 5)
    assert registry.bond_of(bonded.address, actors.host) == BOND + 5 == boa.env.get_balance(registry.address)


def test_only_the_host_bonds(registry, enrolled, actors):
    with boa.reverts("not_host"):
        registry.post_bond(enrolled.address, value=1, sender=actors.other_host)


def test_a_bond_of_nothing_is_none(registry, enrolled, actors):
    with boa.reverts("wrong_value"):
        registry.post_bond(enrolled.address, sender=actors.host)


def test_the_delay_is_longer_than_any_receipt_can_be_claimed(registry, wattseal):
    assert registry.EXIT_DELAY() == EXIT_DELAY_S > wattseal.START_WINDOW() + wattseal.MAX_SESSION() + wattseal.GRACE() == CLAIMS_S


def test_a_request_says_when(registry, bonded, actors):
    registry.request_exit(bonded.address, sender=actors.host)
    (event,) = registry.get_logs()
    assert (event.plug, event.host, event.exitAt) == (bonded.address, actors.host, boa.env.timestamp + EXIT_DELAY_S)
    assert registry.exit_at(bonded.address, actors.host) == event.exitAt


def test_one_request_at_a_time(registry, bonded, actors):
    registry.request_exit(bonded.address, sender=actors.host)
    with boa.reverts("exit_requested"):
        registry.request_exit(bonded.address, sender=actors.host)


def test_without_a_bond_there_is_no_exit(registry, bonded, actors):
    with boa.reverts("no_bond"):
        registry.request_exit(bonded.address, sender=actors.other_host)
    with boa.reverts("too_early"):
        registry.exit(bonded.address, actors.other_host, sender=actors.other_host)


def test_a_bond_leaves_to_whom_its_host_says(registry, leaving, actors):
    before = boa.env.get_balance(actors.relay)
    registry.exit(leaving.address, actors.relay, sender=actors.host)
    (event,) = registry.get_logs()
    assert (event.plug, event.host, event.receiver, event.amount) == (leaving.address, actors.host, actors.relay, BOND)
    assert boa.env.get_balance(actors.relay) == before + BOND
    assert registry.bond_of(leaving.address, actors.host) == registry.exit_at(leaving.address, actors.host) == 0
    with boa.reverts("too_early"):
        registry.exit(leaving.address, actors.relay, sender=actors.host)


def test_not_a_second_early(registry, leaving, actors):
    boa.env.timestamp -= 1
    with boa.reverts("too_early"):
        registry.exit(leaving.address, actors.host, sender=actors.host)


def test_not_without_a_request(registry, bonded, actors):
    boa.env.timestamp += 100 * EXIT_DELAY_S
    with boa.reverts("too_early"):
        registry.exit(bonded.address, actors.host, sender=actors.host)


def test_who_adds_to_a_bond_stays(registry, leaving, actors):
    registry.post_bond(leaving.address, value=1, sender=actors.host)
    with boa.reverts("too_early"):
        registry.exit(leaving.address, actors.host, sender=actors.host)


def test_not_to_nobody(registry, leaving, actors):
    with boa.reverts("bad_receiver"):
        registry.exit(leaving.address, ZERO_ADDRESS, sender=actors.host)


def test_a_bond_stays_its_hosts_when_the_plug_moves_or_ends(registry, enrol, retire, bonded, actors):
    enrol(bonded, actors.other_host, epoch=2)
    registry.post_bond(bonded.address, value=7, sender=actors.other_host)
    retire(bonded, actors.other_plug.address, epoch=3)
    for host, bond in ((actors.host, BOND), (actors.other_host, 7)):
        assert registry.bond_of(bonded.address, host) == bond
        registry.request_exit(bonded.address, sender=host)
    boa.env.timestamp += EXIT_DELAY_S
    for host, bond in ((actors.host, BOND), (actors.other_host, 7)):
        before = boa.env.get_balance(host)
        registry.exit(bonded.address, host, sender=host)
        assert boa.env.get_balance(host) == before + bond


def test_a_host_that_cannot_receive_sends_its_bond_elsewhere(registry, enrol, wallet, actors):
    enrol(actors.plug, wallet.address)
    plug = actors.plug.address
    wallet.run(registry.address, registry.post_bond.prepare_calldata(plug), value=BOND, sender=actors.relay)
    wallet.run(registry.address, registry.request_exit.prepare_calldata(plug))
    boa.env.timestamp += EXIT_DELAY_S
    wallet.refuse()
    with boa.reverts("not_received"):
        wallet.run(registry.address, registry.exit.prepare_calldata(plug, wallet.address))
    assert registry.bond_of(plug, wallet.address) == BOND
    before = boa.env.get_balance(actors.stranger)
    wallet.run(registry.address, registry.exit.prepare_calldata(plug, actors.stranger))
    assert boa.env.get_balance(actors.stranger) == before + BOND


def test_a_receiver_that_calls_again_gets_nothing_more(registry, enrol, wallet, bonded, actors):
    """Another host's bond lies beside."""
    plug = actors.other_plug
    enrol(plug, wallet.address)
    wallet.run(registry.address, registry.post_bond.prepare_calldata(plug.address), value=5, sender=actors.relay)
    wallet.run(registry.address, registry.request_exit.prepare_calldata(plug.address))
    boa.env.timestamp += EXIT_DELAY_S
    again = registry.exit.prepare_calldata(plug.address, wallet.address)
    wallet.reenter(registry.address, again)
    wallet.run(registry.address, again)
    assert not wallet.reentered()
    assert boa.env.get_balance(wallet.address) == 5
    assert boa.env.get_balance(registry.address) == BOND


def test_a_receiver_being_paid_does_not_set_off_another_payment(registry, enrol, wallet, actors):
    plugs = [actors.plug, actors.other_plug]
    for plug in plugs:
        enrol(plug, wallet.address)
        wallet.run(registry.address, registry.post_bond.prepare_calldata(plug.address), value=5, sender=actors.relay)
        wallet.run(registry.address, registry.request_exit.prepare_calldata(plug.address))
    boa.env.timestamp += EXIT_DELAY_S
    first, second = (registry.exit.prepare_calldata(plug.address, wallet.address) for plug in plugs)
    wallet.reenter(registry.address, second)
    wallet.run(registry.address, first)
    assert not wallet.reentered()
    assert registry.bond_of(plugs[1].address, wallet.address) == 5
