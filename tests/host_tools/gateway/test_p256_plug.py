"""A plug with a P-256 key is paid by the real precompile, on a chain with the rules of Osaka; not on one with those of Prague."""

import dataclasses

import pytest
from wattseal.errors import Reverted
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.submit import deploy
from wattseal.protocol import signatures

from tests.contracts.p256 import P256Account
from tests.host_tools.gateway.conftest import Charge, trusting


def receipt_of(charge, plug, energy_wh):
    """Return the arguments of `settle`, signed by a P-256 plug."""
    voucher, receipt, _ = charge.receipt(energy_wh, final=True)
    return voucher, receipt, plug.sign_digest(receipt.digest(charge.wallet.domain))


@pytest.fixture
def plug():
    return P256Account(1234567)


def test_paid_where_the_precompile_is(charge, plug):
    charge.with_voucher(plug=bytes.fromhex(plug.address[2:])).open()
    charge.pass_time(3700)
    arguments = receipt_of(charge, plug, 900)
    voucher, receipt, signature = arguments
    with pytest.raises(Reverted, match="bad_signature"):
        charge.gateway().settle(voucher, dataclasses.replace(receipt, energyWh=901), signature)
    settlement = charge.gateway().settle(*arguments)
    assert settlement.paid == settlement.total_paid > 0
    assert settlement.proof_verified


def test_refused_where_it_is_not(start_anvil, plug):
    with start_anvil("prague") as url:

        def funded_key():
            key = bytes([7]) * 31 + bytes([len(keys)])
            keys.append(key)
            Rpc(url).call("anvil_setBalance", to_hex(signatures.address(key)), to_hex(100 * 10**18))
            Rpc(url).call("evm_mine")
            return key

        keys = []
        charge = Charge(url, deploy(trusting(url), funded_key()), funded_key).with_voucher(plug=bytes.fromhex(plug.address[2:])).open()
        charge.pass_time(3700)
        with pytest.raises(Reverted, match="bad_signature"):
            charge.gateway().settle(*receipt_of(charge, plug, 900))
