"""Plugs of both curves, and makers of what they sign."""

import pytest

BOND = 10**18


@pytest.fixture(params=["secp256k1", "P-256"])
def plug(request, actors):
    """Return a plug of either curve."""
    return actors.plug if request.param == "secp256k1" else actors.p256_plug


@pytest.fixture(scope="session")
def retire(registry, sign, actors):
    """Return a function with which a stranger submits a plug's statement that its key is given up."""

    def retire(plug, successor, epoch=2):
        values = {"plug": plug.address, "successor": successor, "epoch": epoch}
        registry.retire(tuple(values.values()), sign(plug, "Retire", values), sender=actors.stranger)

    return retire


@pytest.fixture(scope="session")
def make_evidence(make_voucher, make_receipt, sign, actors):
    """Return a function that makes one half of an equivocation: voucher, receipt and signature; `of` are the voucher's changes."""

    def make_evidence(plug=None, of=None, **changes):
        plug = plug or actors.plug
        voucher = make_voucher(plug=plug.address, **(of or {}))
        receipt = make_receipt(voucher, **changes)
        return tuple(voucher.values()), tuple(receipt.values()), sign(plug, "Receipt", receipt)

    return make_evidence


@pytest.fixture
def enrolled(enrol, actors):
    """Return a plug that is enrolled for the host."""
    enrol(actors.plug, actors.host)
    return actors.plug


@pytest.fixture
def bonded(registry, enrolled, actors):
    """Return an enrolled plug with a bond of the host's."""
    registry.post_bond(enrolled.address, value=BOND, sender=actors.host)
    return enrolled
