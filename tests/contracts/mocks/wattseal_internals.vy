# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Makes Wattseal's hashes and signature check callable.
"""

import Wattseal
import signatures
import typed_data

initializes: Wattseal
uses: signatures


@deploy
def __init__():
    Wattseal.__init__()


@external
@view
def domain_separator() -> bytes32:
    return Wattseal.DOMAIN_SEPARATOR


@external
@pure
def hash_voucher(values: typed_data.Voucher) -> bytes32:
    return typed_data.hash_voucher(values)


@external
@pure
def hash_receipt(values: typed_data.Receipt) -> bytes32:
    return typed_data.hash_receipt(values)


@external
@view
def digest(struct_hash: bytes32) -> bytes32:
    return Wattseal._digest(struct_hash)


@external
@view
def is_signed_by(signer: address, digest: bytes32, signature: Bytes[128]) -> bool:
    return signatures._is_signed_by(signer, digest, signature)
