"""Wattseal.due against Python integers, over everything the fields can hold."""

import itertools
import random
from pathlib import Path

import boa
import pytest
from eth_abi import decode, encode
from eth_utils import function_signature_to_4byte_selector
from wattseal.demo.processes import Chain
from wattseal.gateway.rpc import to_hex

WIDTHS = {"pricePerKwh": 96, "pricePerHour": 96, "maxPowerW": 32, "cap": 128, "activeSeconds": 32, "energyWh": 64}
CASE = f"({','.join(f'uint{width}' for width in WIDTHS.values())})"
CASES = 100_000
BATCH = 1000
START = 1_772_000_000
DEPLOYER = "0x" + "de" * 20


def edges(width):
    """Return values of a field at which something can overflow or round: its bounds, and what makes 3600 and 1000 divide evenly or not."""
    return [0, 1, 999, 1000, 3599, 3600, 3601, 2 ** (width - 1), 2**width - 2, 2**width - 1]


def drawn(random_bits, width):
    """Return an edge, a value of any size, or one of everyday size."""
    kind = random_bits.randrange(4)
    if kind == 0:
        return random_bits.choice(edges(width))
    bits = random_bits.randint(1, width) if kind < 3 else min(width, 17)
    return random_bits.getrandbits(bits)


def make_cases():
    """Return every combination of the fields' bounds, then random ones: the same in every run."""
    bounds = list(itertools.product(*([0, 2**width - 1] for width in WIDTHS.values())))
    source = random.Random(20_260_301)
    return bounds + [tuple(drawn(source, width) for width in WIDTHS.values()) for _ in range(CASES - len(bounds))]


@pytest.fixture(scope="module")
def due_many(tmp_path_factory, internals_source):
    """Return a function that gives the contract's results for up to 1000 cases, computed by anvil, which is fast."""
    code = boa.load_partial(str(Path(__file__).parent / "mocks/due_many.vy")).compiler_data.bytecode
    selector = function_signature_to_4byte_selector(f"due_many({CASE}[])")
    with Chain(tmp_path_factory.mktemp("anvil"), START) as chain:
        chain.fund(bytes.fromhex(DEPLOYER[2:]), 10**18)
        chain.rpc.call("anvil_impersonateAccount", DEPLOYER)
        sent = chain.rpc.call("eth_sendTransaction", {"from": DEPLOYER, "data": to_hex(code), "gas": hex(10_000_000)})
        chain.mine()
        contract = chain.rpc.call("eth_getTransactionReceipt", sent)["contractAddress"]

        def due_many(cases):
            call = {"to": contract, "data": to_hex(selector + encode([f"{CASE}[]"], [cases]))}
            return decode(["uint256[]"], bytes.fromhex(chain.rpc.call("eth_call", call, "latest")[2:]))[0]

        yield due_many


def test_due_is_the_protocols_formula_and_never_reverts(due_many, due_of):
    cases = make_cases()
    assert len(set(cases)) > 0.9 * CASES
    for start in range(0, CASES, BATCH):
        batch = cases[start : start + BATCH]
        fields = [dict(zip(WIDTHS, case, strict=True)) for case in batch]
        assert list(due_many(batch)) == [due_of(field, field) for field in fields]


@pytest.mark.parametrize(
    ("readings", "due"),
    [
        ({"activeSeconds": 3600, "energyWh": 0}, 700),
        ({"activeSeconds": 5, "energyWh": 0}, 0),  # 0.97 rounds down
        ({"activeSeconds": 6, "energyWh": 0}, 1),
        ({"activeSeconds": 3600, "energyWh": 3}, 700),  # 0.999 rounds down
        ({"activeSeconds": 3600, "energyWh": 4}, 701),
        ({"activeSeconds": 1800, "energyWh": 500}, 350 + 166),
        ({"activeSeconds": 1800, "energyWh": 501}, 350 + 166),  # clamped to 1000 W for half an hour
        ({"activeSeconds": 1800, "energyWh": 2**64 - 1}, 350 + 166),
        ({"activeSeconds": 36_000, "energyWh": 10_000}, 7000 + 3330),
        ({"activeSeconds": 72_000, "energyWh": 20_000}, 10_500),  # the cap
    ],
)
def test_due_by_hand(wattseal, make_voucher, make_receipt, readings, due):
    voucher = make_voucher(pricePerKwh=333, pricePerHour=700, maxPowerW=1000, cap=10_500)
    assert wattseal.due(tuple(voucher.values()), tuple(make_receipt(voucher, **readings).values())) == due
