# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title PlugShares
@license MIT
@notice Shares in one plug's income: an ERC-20 token that is the host named in the drivers' vouchers.
@dev All shares are the founder's at first, who sells some at a fixed price. Income is what the escrow owes or has sent this contract, and
     whatever else arrives; a share's part of it belongs to whoever holds the share when it becomes visible here. Their number is fixed, so
     accounts are kept in coins times shares and no division loses anything. Nobody can change this contract. docs/shares.md has more.
"""

from ethereum.ercs import IERC20

import Registry
import Wattseal
import tokens
import typed_data

implements: IERC20


event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256


event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256


event Bought:
    buyer: indexed(address)
    shares: uint256
    price: uint256  # of all of them


event Claimed:
    holder: indexed(address)
    token: indexed(address)
    receiver: indexed(address)
    amount: uint256


event ProceedsWithdrawn:
    receiver: indexed(address)
    amount: uint256


MAX_TOKENS: constant(uint256) = 4

ESCROW: public(immutable(address))
REGISTRY: public(immutable(address))
PLUG: public(immutable(address))
FOUNDER: public(immutable(address))
PRICE: public(immutable(uint256))  # of a share, in wei

name: public(immutable(String[32]))
symbol: public(immutable(String[8]))
decimals: public(constant(uint8)) = 0
totalSupply: public(immutable(uint256))
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

income_tokens: public(DynArray[address, MAX_TOKENS])  # in which income is shared; the empty address is the native coin
for_sale: public(uint256)  # shares
proceeds: public(uint256)  # of sales, in wei: the founder's, no income
claimed: public(HashMap[address, uint256])  # token: by all holders so far
seen: HashMap[address, HashMap[address, uint256]]  # token, holder: the income up to which accrued is right
accrued: HashMap[address, HashMap[address, uint256]]  # token, holder: unclaimed, times totalSupply


@deploy
def __init__(
    registry: address,
    plug: address,
    founder: address,
    income_tokens: DynArray[address, MAX_TOKENS],
    shares: uint64,
    shares_for_sale: uint64,
    price: uint128,
    name_: String[32],
    symbol_: String[8],
):
    """
    @param registry The Registry, which knows the escrow.
    @param plug Whose income is shared; its owner enrols it for this contract's address.
    @param founder Who gets all shares, sells them, and does what a host does.
    @param income_tokens In which income is shared; the empty address is the native coin. Only tokens whose balances move by transfers alone.
    @param shares How many there are, for ever.
    @param shares_for_sale How many of them are for sale.
    @param price Of one share, in wei.
    @param name_ Of the token.
    @param symbol_ Of the token.
    """
    assert plug != empty(address) and founder != empty(address), "bad_terms"
    assert shares > 0 and shares_for_sale <= shares and price > 0 and len(income_tokens) > 0, "bad_terms"
    REGISTRY = registry
    ESCROW = staticcall Registry.__at__(registry).ESCROW()
    PLUG = plug
    FOUNDER = founder
    PRICE = convert(price, uint256)
    name = name_
    symbol = symbol_
    totalSupply = convert(shares, uint256)
    self.income_tokens = income_tokens
    self.for_sale = convert(shares_for_sale, uint256)
    self.balanceOf[founder] = totalSupply
    log Transfer(sender=empty(address), receiver=founder, value=totalSupply)


@external
@payable
def __default__():
    """
    @notice Take the escrow's payments; what anybody else sends is income too.
    """
    pass


@external
@nonreentrant
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Move shares. What they earned before stays with the sender.
    @param receiver Who gets them.
    @param amount How many.
    @return True.
    """
    self._transfer(msg.sender, receiver, amount)
    return True


@external
@nonreentrant
def transferFrom(owner: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Move an owner's shares within the caller's allowance.
    @param owner Whose shares.
    @param receiver Who gets them.
    @param amount How many.
    @return True.
    """
    allowed: uint256 = self.allowance[owner][msg.sender]
    assert amount <= allowed, "not_allowed"
    if allowed != max_value(uint256):
        self.allowance[owner][msg.sender] = allowed - amount
    self._transfer(owner, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Let a spender move the caller's shares.
    @param spender Who may.
    @param amount How many; the largest number is without end.
    @return True.
    """
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@external
@payable
@nonreentrant
def buy(amount: uint256):
    """
    @notice Buy shares of the founder's at PRICE each.
    @param amount How many.
    """
    assert amount > 0 and amount <= min(self.for_sale, self.balanceOf[FOUNDER]), "not_for_sale"
    assert msg.value == amount * PRICE, "wrong_value"
    self.for_sale -= amount
    self.proceeds += msg.value  # before _transfer counts the income
    self._transfer(FOUNDER, msg.sender, amount)
    log Bought(buyer=msg.sender, shares=amount, price=msg.value)


@external
@nonreentrant
def claim(token: address, receiver: address):
    """
    @notice Send the caller's whole income in a token to an address.
    @param token One of income_tokens; the empty address is the native coin.
    @param receiver Who gets it.
    """
    assert receiver != empty(address) and receiver != self, "bad_receiver"
    assert token in self.income_tokens, "unknown_token"
    self._accrue(token, msg.sender, self._income(token))
    amount: uint256 = self.accrued[token][msg.sender] // totalSupply
    assert amount > 0, "nothing_due"
    self.accrued[token][msg.sender] -= amount * totalSupply
    self.claimed[token] += amount
    log Claimed(holder=msg.sender, token=token, receiver=receiver, amount=amount)
    if self._held(token) < amount:
        extcall Wattseal.__at__(ESCROW).withdraw(self, token)
    if token == empty(address):
        self._send(receiver, amount)
    else:
        tokens._push(token, receiver, amount)


@external
@nonreentrant
def withdraw_proceeds(receiver: address):
    """
    @notice Send what the sold shares brought to an address. For the founder only.
    @param receiver Who gets it.
    """
    assert msg.sender == FOUNDER, "not_founder"
    assert receiver != empty(address) and receiver != self, "bad_receiver"
    amount: uint256 = self.proceeds
    assert amount > 0, "nothing_due"
    self.proceeds = 0
    log ProceedsWithdrawn(receiver=receiver, amount=amount)
    self._send(receiver, amount)


@external
def release(v: typed_data.Voucher):
    """
    @notice Wattseal.release as the host: close an open session early. For the founder only.
    @param v The voucher of the session.
    """
    assert msg.sender == FOUNDER, "not_founder"
    extcall Wattseal.__at__(ESCROW).release(v)


@external
def announce(listing: Registry.Listing):
    """
    @notice Registry.announce as the plug's host. For the founder only.
    @param listing Rating, tariff, and where the description is.
    """
    assert msg.sender == FOUNDER, "not_founder"
    extcall Registry.__at__(REGISTRY).announce(PLUG, listing)


@external
def revoke():
    """
    @notice Registry.revoke as the plug's host. For the founder only.
    """
    assert msg.sender == FOUNDER, "not_founder"
    extcall Registry.__at__(REGISTRY).revoke(PLUG)


@external
@payable
@nonreentrant
def post_bond():
    """
    @notice Registry.post_bond as the plug's host, with the founder's money. For the founder only.
    """
    assert msg.sender == FOUNDER, "not_founder"
    extcall Registry.__at__(REGISTRY).post_bond(PLUG, value=msg.value)


@external
def request_exit():
    """
    @notice Registry.request_exit as the plug's host. For the founder only.
    """
    assert msg.sender == FOUNDER, "not_founder"
    extcall Registry.__at__(REGISTRY).request_exit(PLUG)


@external
@nonreentrant
def exit(receiver: address):
    """
    @notice Registry.exit as the plug's host: the bond goes to an address, not to the shareholders. For the founder only.
    @param receiver Who gets it.
    """
    assert msg.sender == FOUNDER, "not_founder"
    extcall Registry.__at__(REGISTRY).exit(PLUG, receiver)


@external
@view
@nonreentrant
def claimable(token: address, holder: address) -> uint256:
    """
    @notice What a holder could claim now.
    @param token One of income_tokens.
    @param holder The holder.
    @return The amount.
    """
    assert token in self.income_tokens, "unknown_token"
    return (self.accrued[token][holder] + self._news(token, holder, self._income(token))) // totalSupply


@internal
def _transfer(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address) and receiver != self, "bad_receiver"
    assert amount <= self.balanceOf[sender], "too_few_shares"
    for token: address in self.income_tokens:
        income: uint256 = self._income(token)
        self._accrue(token, sender, income)
        self._accrue(token, receiver, income)
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, value=amount)


@internal
def _accrue(token: address, holder: address, income: uint256):
    self.accrued[token][holder] += self._news(token, holder, income)
    self.seen[token][holder] = max(income, self.seen[token][holder])


@internal
@view
def _news(token: address, holder: address, income: uint256) -> uint256:
    # a token that takes balances away again must not stop the transfer of shares
    seen: uint256 = self.seen[token][holder]
    if income <= seen:
        return 0
    return (income - seen) * self.balanceOf[holder]


@internal
@view
def _income(token: address) -> uint256:
    # all that there ever was: it does not matter who has moved it out of the escrow, and when
    return self.claimed[token] + self._held(token) + staticcall Wattseal.__at__(ESCROW).balance_of(self, token)


@internal
@view
def _held(token: address) -> uint256:
    if token == empty(address):
        return self.balance - self.proceeds
    return staticcall IERC20(token).balanceOf(self)


@internal
def _send(receiver: address, amount: uint256):
    received: bool = raw_call(receiver, b"", value=amount, revert_on_failure=False)
    assert received, "not_received"
