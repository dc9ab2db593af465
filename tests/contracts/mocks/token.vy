# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A token with EIP-2612 permits and EIP-3009 authorizations.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256


PERMIT_TYPE_HASH: constant(bytes32) = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
RECEIVE_TYPE_HASH: constant(bytes32) = keccak256("ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)")
DOMAIN: immutable(bytes32)

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])
used: HashMap[address, HashMap[bytes32, bool]]


@deploy
def __init__():
    type_hash: bytes32 = keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)")
    DOMAIN = keccak256(abi_encode(type_hash, keccak256("Token"), chain.id, self))


@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._transfer(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    self._transfer(sender, receiver, amount)
    return True


@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    assert block.timestamp <= deadline, "expired"
    self._check(owner, keccak256(abi_encode(PERMIT_TYPE_HASH, owner, spender, amount, self.nonces[owner], deadline)), v, r, s)
    self.nonces[owner] += 1
    self.allowance[owner][spender] = amount


@external
def receiveWithAuthorization(
    sender: address, receiver: address, amount: uint256, valid_after: uint256, valid_before: uint256, nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    assert msg.sender == receiver and valid_after < block.timestamp and block.timestamp < valid_before, "not now"
    assert not self.used[sender][nonce], "used"
    self._check(sender, keccak256(abi_encode(RECEIVE_TYPE_HASH, sender, receiver, amount, valid_after, valid_before, nonce)), v, r, s)
    self.used[sender][nonce] = True
    self._transfer(sender, receiver, amount)


@internal
@view
def _check(signer: address, struct_hash: bytes32, v: uint8, r: bytes32, s: bytes32):
    assert ecrecover(keccak256(concat(x"1901", DOMAIN, struct_hash)), v, r, s) == signer, "bad signature"


@internal
def _transfer(sender: address, receiver: address, amount: uint256):
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, amount=amount)
