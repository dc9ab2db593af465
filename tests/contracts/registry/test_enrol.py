"""Registry.enrol: only the plug says whose it is, and its newest word counts."""

import boa
import pytest

ZERO_ADDRESS = "0x" + "00" * 20


def test_anyone_submits_what_the_plug_signed(registry, enrol, actors, plug):
    enrol(plug, actors.host, epoch=7)
    (event,) = registry.get_logs()
    assert (event.plug, event.host, event.epoch) == (plug.address, actors.host, 7)
    assert (registry.host_of(plug.address), registry.epoch_of(plug.address)) == (actors.host, 7)


def test_it_knows_the_escrow(registry, wattseal):
    assert registry.ESCROW() == wattseal.address
    assert registry.DOMAIN_SEPARATOR() == wattseal.DOMAIN_SEPARATOR()
    assert registry.HAS_P256()


def test_an_address_without_an_escrow_is_no_escrow(registry_source, actors):
    with boa.reverts():
        registry_source.deploy(actors.stranger)


def test_a_plug_moves_with_a_higher_epoch(registry, enrol, enrolled, actors):
    enrol(enrolled, actors.other_host, epoch=2)
    assert registry.host_of(enrolled.address) == actors.other_host


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_epoch_that_does_not_rise_is_refused(registry, enrol, actors, epoch):
    enrol(actors.plug, actors.host, epoch=2)
    with boa.reverts("stale_epoch"):
        enrol(actors.plug, actors.other_host, epoch=epoch)


def test_epoch_zero_is_never_taken(enrol, actors):
    with boa.reverts("stale_epoch"):
        enrol(actors.plug, actors.host, epoch=0)


def test_the_largest_epoch_is_the_last(enrol, actors):
    enrol(actors.plug, actors.host, epoch=2**64 - 1)
    with boa.reverts("stale_epoch"):
        enrol(actors.plug, actors.other_host, epoch=2**64 - 1)


def test_no_host_is_refused(enrol, actors):
    with boa.reverts("bad_terms"):
        enrol(actors.plug, ZERO_ADDRESS)


def test_a_move_drops_the_listing_of_the_host_before(registry, enrol, enrolled, actors, make_listing):
    registry.announce(enrolled.address, make_listing(), sender=actors.host)
    enrol(enrolled, actors.other_host, epoch=2)
    assert registry.listing_of(enrolled.address) == bytes(32)


def test_a_retired_plug_is_not_enrolled_again(enrol, retire, enrolled, actors):
    retire(enrolled, actors.other_plug.address)
    with boa.reverts("retired"):
        enrol(enrolled, actors.host, epoch=3)
