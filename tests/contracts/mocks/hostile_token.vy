# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A token that does what a test tells it to; it returns nothing, as some old tokens do.
"""

balanceOf: public(HashMap[address, uint256])
receiver_fee: public(uint256)  # taken from what the receiver gets
sender_fee: public(uint256)  # taken from the sender beside the amount
blocked: public(HashMap[address, bool])
answers_false: public(bool)
target: public(address)
call_on_transfer: public(Bytes[1024])
called: public(bool)
reentered: public(bool)


@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount


@external
def charge(receiver_fee: uint256, sender_fee: uint256):
    self.receiver_fee = receiver_fee
    self.sender_fee = sender_fee


@external
def block_account(account: address):
    self.blocked[account] = True


@external
def answer_false():
    self.answers_false = True


@external
def reenter(target: address, data: Bytes[1024]):
    self.target = target
    self.call_on_transfer = data


@external
def run(target: address, data: Bytes[1024]):
    raw_call(target, data)


@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    raise "no permit"


@external
@raw_return
def transfer(receiver: address, amount: uint256) -> Bytes[32]:
    return self._transfer(msg.sender, receiver, amount)


@external
@raw_return
def transferFrom(sender: address, receiver: address, amount: uint256) -> Bytes[32]:
    return self._transfer(sender, receiver, amount)


@external
def receiveWithAuthorization(
    sender: address, receiver: address, amount: uint256, valid_after: uint256, valid_before: uint256, nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    self._transfer(sender, receiver, amount)


@internal
def _transfer(sender: address, receiver: address, amount: uint256) -> Bytes[32]:
    assert not self.blocked[sender] and not self.blocked[receiver], "blocked"
    if self.target != empty(address):
        self.called = True
        self.reentered = raw_call(self.target, self.call_on_transfer, revert_on_failure=False)
    if self.answers_false:
        return slice(concat(empty(bytes32), b""), 0, 32)
    self.balanceOf[sender] -= amount + self.sender_fee
    self.balanceOf[receiver] += amount - self.receiver_fee
    return b""
