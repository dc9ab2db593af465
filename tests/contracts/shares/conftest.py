"""A plug whose income is shared: 1000 shares, 400 of them for sale at 7 wei; and ways to earn."""

from pathlib import Path
from types import SimpleNamespace

import boa
import pytest
from boa.util.abi import Address

ROOT = Path(__file__).resolve().parents[3]
COIN = "0x" + "00" * 20
SHARES, FOR_SALE, PRICE = 1000, 400, 7


@pytest.fixture(scope="session")
def shares_source():
    return boa.load_partial(str(ROOT / "contracts/src/PlugShares.vy"))


@pytest.fixture(scope="session")
def people():
    """The founder, two buyers and somebody without shares."""
    people = SimpleNamespace(**{name: Address("0x" + byte * 20) for name, byte in (("founder", "f0"), ("ann", "a1"), ("ben", "b1"), ("carl", "c1"))})
    for person in vars(people).values():
        boa.env.set_balance(person, 10**30)
    return people


@pytest.fixture(scope="session")
def deploy_shares(shares_source, registry, actors, people, token, hostile_token):
    """Return a function that deploys with changes."""

    def deploy_shares(**changes):
        arguments = {
            "registry": registry.address,
            "plug": actors.plug.address,
            "founder": people.founder,
            "income_tokens": [COIN, token.address, hostile_token.address],
            "shares": SHARES,
            "shares_for_sale": FOR_SALE,
            "price": PRICE,
            "name": "Wattseal plug 7",
            "symbol": "WS7",
        }
        return shares_source.deploy(*(arguments | changes).values())

    return deploy_shares


@pytest.fixture(scope="session")
def shares(deploy_shares):
    return deploy_shares()


@pytest.fixture(scope="session")
def earn(wattseal, shares, actors, token, make_voucher, make_receipt, settle):
    """Return a function with which a driver's session leaves an amount in the escrow's balance of the shares."""
    count = iter(range(10**6))

    def earn(amount, of=COIN, host=None):
        now = boa.env.timestamp
        voucher = make_voucher(
            host=host or shares.address, token=of, cap=amount, pricePerKwh=10**27, nonce=next(count), issuedAt=now, validUntil=now + 86_400
        )
        if of == COIN:
            wattseal.open(tuple(voucher.values()), b"", value=amount, sender=voucher["driver"])
        else:
            token.mint(voucher["driver"], amount)
            token.approve(wattseal.address, amount, sender=voucher["driver"])
            wattseal.open(tuple(voucher.values()), b"", sender=voucher["driver"])
        boa.env.timestamp = now + 4000
        settle(voucher, make_receipt(voucher, flags=1))

    return earn


@pytest.fixture
def sold(shares, people):
    """Ann has 300 shares, Ben 100, the founder 600."""
    shares.buy(300, value=300 * PRICE, sender=people.ann)
    shares.buy(100, value=100 * PRICE, sender=people.ben)
    return shares
