# pragma version 0.4.3
"""
@title Tokens in and out
@license MIT
@notice Exactly the amount comes or goes, or the call reverts: fees on transfers are refused by the difference of this contract's own balance.
@dev Tokens that return nothing are served. Balances that change by themselves (rebasing) are not. Callers hold the reentrancy lock.
"""

from ethereum.ercs import IERC20


interface IAuthorization:
    def receiveWithAuthorization(
        sender: address,
        receiver: address,
        amount: uint256,
        valid_after: uint256,
        valid_before: uint256,
        nonce: bytes32,
        v: uint8,
        r: bytes32,
        s: bytes32,
    ): nonpayable


@internal
def _pull(token: address, sender: address, amount: uint256):
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(sender, self, amount, default_return_value=True), "not_received"
    assert staticcall IERC20(token).balanceOf(self) == before + amount, "wrong_value"


@internal
def _pull_authorized(token: address, sender: address, amount: uint256, valid_before: uint256, nonce: bytes32, authorization: Bytes[65]):
    r: bytes32 = empty(bytes32)
    s: bytes32 = empty(bytes32)
    v: uint8 = 0
    r, s, v = self._parts(authorization)
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    extcall IAuthorization(token).receiveWithAuthorization(sender, self, amount, 0, valid_before, nonce, v, r, s)
    assert staticcall IERC20(token).balanceOf(self) == before + amount, "wrong_value"


@internal
def _permit(token: address, owner: address, amount: uint256, deadline: uint256, signature: Bytes[65]):
    r: bytes32 = empty(bytes32)
    s: bytes32 = empty(bytes32)
    v: uint8 = 0
    r, s, v = self._parts(signature)
    # whoever saw the permit may have used it already: only the allowance counts
    success: bool = raw_call(
        token, abi_encode(owner, self, amount, deadline, v, r, s, method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")), revert_on_failure=False
    )


@internal
def _push(token: address, receiver: address, amount: uint256):
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transfer(receiver, amount, default_return_value=True), "not_received"
    # a token that takes more from the sender would take what belongs to others
    assert staticcall IERC20(token).balanceOf(self) + amount == before, "wrong_value"


@internal
@pure
def _parts(signature: Bytes[65]) -> (bytes32, bytes32, uint8):
    assert len(signature) == 65, "bad_signature"
    # tokens take the v of Ethereum's own transactions
    return extract32(signature, 0), extract32(signature, 32), convert(slice(signature, 64, 1), uint8) + 27
