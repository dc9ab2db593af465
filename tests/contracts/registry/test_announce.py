"""Registry.announce: the host says what its plug offers; the newest word can be proven by one slot."""

import boa
import pytest
from eth.exceptions import Revert
from eth_abi import encode
from eth_utils import keccak

LISTING = "(uint32,address,uint96,uint96,bool,bytes32,string)"


def test_the_event_says_all_and_the_slot_commits_to_it(registry, enrolled, actors, make_listing):
    listing = make_listing(uri="u" * 256)
    registry.announce(enrolled.address, listing, sender=actors.host)
    (event,) = registry.get_logs()
    assert (event.plug, event.host) == (enrolled.address, actors.host)
    assert tuple(event.listing) == listing
    assert registry.listing_of(enrolled.address) == keccak(encode([LISTING], [listing]))


def test_the_newest_counts(registry, enrolled, actors, make_listing):
    for listing in (make_listing(), make_listing(pricePerKwh=1, isOffered=False, uri="")):
        registry.announce(enrolled.address, listing, sender=actors.host)
    assert registry.listing_of(enrolled.address) == keccak(encode([LISTING], [make_listing(pricePerKwh=1, isOffered=False, uri="")]))


@pytest.mark.parametrize("sender", ["stranger", "other_host"])
def test_only_the_host(registry, enrolled, actors, make_listing, sender):
    with boa.reverts("not_host"):
        registry.announce(enrolled.address, make_listing(), sender=getattr(actors, sender))


def test_not_after_the_key_has_ended(registry, enrolled, retire, actors, make_listing):
    retire(enrolled, actors.other_plug.address)
    with boa.reverts("not_host"):
        registry.announce(enrolled.address, make_listing(), sender=actors.host)


def test_a_plug_without_power_is_none(registry, enrolled, actors, make_listing):
    with boa.reverts("bad_terms"):
        registry.announce(enrolled.address, make_listing(ratedPowerW=0), sender=actors.host)


def test_a_longer_address_is_refused(registry, enrolled, actors, make_listing):
    selector = registry.announce.prepare_calldata(enrolled.address, make_listing())[:4]
    longest, longer = (selector + encode(["address", LISTING], [enrolled.address, make_listing(uri="u" * length)]) for length in (256, 257))
    with pytest.raises(Revert):
        boa.env.raw_call(registry.address, sender=actors.host, data=longer)
    boa.env.raw_call(registry.address, sender=actors.host, data=longest)
