# pragma version 0.4.3
"""
@title A wallet contract that calls what it is told to, and does what it is told to when it receives money.
"""

refuses: public(bool)
target: public(address)
call_on_receipt: public(Bytes[1024])
reentered: public(bool)


@external
@payable
def run(target: address, data: Bytes[1024]):
    raw_call(target, data, value=msg.value)


@external
def refuse():
    self.refuses = True


@external
def reenter(target: address, data: Bytes[1024]):
    self.target = target
    self.call_on_receipt = data


@external
@payable
def __default__():
    assert not self.refuses
    if self.target != empty(address):
        self.reentered = raw_call(self.target, self.call_on_receipt, revert_on_failure=False)
