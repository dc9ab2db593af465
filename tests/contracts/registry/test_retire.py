"""Registry.retire and Registry.revoke: a key ends by its own word or its host's, for ever."""

import boa
import pytest

ZERO_ADDRESS = "0x" + "00" * 20


def test_a_key_names_the_one_that_follows(registry, retire, enrol, actors, plug):
    enrol(plug, actors.host)
    retire(plug, actors.other_plug.address)
    (event,) = registry.get_logs()
    assert (event.plug, event.successor) == (plug.address, actors.other_plug.address)
    assert registry.is_retired(plug.address)
    assert registry.host_of(plug.address) == ZERO_ADDRESS
    assert registry.successor_of(plug.address) == actors.other_plug.address
    enrol(actors.other_plug, actors.host)
    assert registry.host_of(actors.other_plug.address) == actors.host


def test_a_key_that_never_was_enrolled_can_end(registry, retire, actors):
    retire(actors.plug, ZERO_ADDRESS, epoch=1)
    assert registry.is_retired(actors.plug.address)


def test_it_drops_the_listing(registry, retire, enrolled, actors, make_listing):
    registry.announce(enrolled.address, make_listing(), sender=actors.host)
    retire(enrolled, ZERO_ADDRESS)
    assert registry.listing_of(enrolled.address) == bytes(32)


def test_epochs_rise_over_both_statements(retire, enrolled, actors):
    with boa.reverts("stale_epoch"):
        retire(enrolled, actors.other_plug.address, epoch=1)


def test_once(retire, enrolled, actors):
    retire(enrolled, actors.other_plug.address)
    with boa.reverts("retired"):
        retire(enrolled, actors.stranger, epoch=3)


def test_no_key_follows_itself(retire, enrolled):
    with boa.reverts("bad_terms"):
        retire(enrolled, enrolled.address)


def test_a_host_revokes(registry, enrolled, actors):
    registry.revoke(enrolled.address, sender=actors.host)
    (event,) = registry.get_logs()
    assert (event.plug, event.successor) == (enrolled.address, ZERO_ADDRESS)
    assert registry.is_retired(enrolled.address)
    assert registry.host_of(enrolled.address) == ZERO_ADDRESS


@pytest.mark.parametrize("sender", ["stranger", "other_host"])
def test_nobody_else_revokes(registry, enrolled, actors, sender):
    with boa.reverts("not_host"):
        registry.revoke(enrolled.address, sender=getattr(actors, sender))


def test_a_host_that_has_given_the_plug_away_does_not_revoke(registry, enrol, enrolled, actors):
    enrol(enrolled, actors.other_host, epoch=2)
    with boa.reverts("not_host"):
        registry.revoke(enrolled.address, sender=actors.host)


def test_what_is_not_enrolled_is_not_revoked_by_the_empty_address(registry, actors):
    with boa.reverts("not_host"):
        registry.revoke(actors.plug.address, sender=actors.host)
