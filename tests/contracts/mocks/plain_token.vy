# pragma version 0.4.3
"""
@title An ERC-20 token as simple as they come, with faults that a test can switch on.
"""

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
refuses: public(bool)
target: public(address)
call_on_transfer: public(Bytes[1024])
reentered: public(bool)


@external
def mint(owner: address, amount: uint256):
    self.balanceOf[owner] += amount


@external
def burn(owner: address, amount: uint256):
    self.balanceOf[owner] -= amount


@external
def refuse(refuses: bool):
    self.refuses = refuses


@external
def call_back(target: address, data: Bytes[1024]):
    self.target = target
    self.call_on_transfer = data


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    return self._transfer(msg.sender, receiver, amount)


@external
def transferFrom(owner: address, receiver: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    return self._transfer(owner, receiver, amount)


@internal
def _transfer(sender: address, receiver: address, amount: uint256) -> bool:
    if self.refuses:
        return False
    if self.target != empty(address):
        self.reentered = raw_call(self.target, self.call_on_transfer, revert_on_failure=False)
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    return True
