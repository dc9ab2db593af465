# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Wattseal
@license MIT
@notice Locks a driver's money for one charging session and pays the host what the plug's signed receipts say.
@dev A session is the EIP-712 digest of its voucher, so nothing of the voucher is stored: whoever calls brings it along.
     Receipts are cumulative: settling one pays the difference to what is already paid. Nobody owns or can change this contract.
     docs/contracts.md has the state picture.
"""

import typed_data


event Opened:
    session: indexed(bytes32)
    driver: indexed(address)
    host: indexed(address)
    cap: uint256


event Settled:
    session: indexed(bytes32)
    host: indexed(address)
    energyWh: uint256
    paid: uint256  # in total for this session


event Closed:
    session: indexed(bytes32)
    driver: indexed(address)
    rest: uint256  # of the cap, now in the driver's balance


event Withdrawn:
    owner: indexed(address)
    receiver: indexed(address)
    amount: uint256


OPEN: public(constant(uint256)) = 1
CLOSED: public(constant(uint256)) = 2
STATUS_SHIFT: constant(uint256) = 248
PAID_MASK: constant(uint256) = 2**248 - 1

START_WINDOW: public(constant(uint256)) = typed_data.START_WINDOW
MAX_SESSION: public(constant(uint256)) = typed_data.MAX_SESSION
GRACE: public(constant(uint256)) = typed_data.GRACE

# a receipt with an unknown flag among these says something this contract does not understand
CRITICAL_FLAGS: constant(uint32) = 2**16 - 1

# the lower of the two values of s that make a valid signature (EIP-2)
MAX_S: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

DOMAIN_TYPE_HASH: constant(bytes32) = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
# fixed at deployment: after a chain split with a new chain id, the sessions of both sides can still be settled
DOMAIN_SEPARATOR: public(immutable(bytes32))

sessions: HashMap[bytes32, uint256]  # status << 248 | paid
balance_of: public(HashMap[address, uint256])


@deploy
def __init__():
    DOMAIN_SEPARATOR = keccak256(
        abi_encode(DOMAIN_TYPE_HASH, keccak256(typed_data.DOMAIN_NAME), keccak256(typed_data.DOMAIN_VERSION), chain.id, self)
    )


@external
@payable
def open(v: typed_data.Voucher, signature: Bytes[65]):
    """
    @notice Lock exactly the voucher's cap for its session.
    @dev Once per voucher: it must be fresh, and its slot is not cleared before it is too old.
    @param v The voucher.
    @param signature The driver's over the voucher; not looked at when the driver is the caller.
    """
    assert v.driver != empty(address) and v.host != empty(address) and v.plug != empty(address), "bad_terms"
    assert v.token == empty(address) and v.funding == 0, "unsupported_funding"
    assert v.cap > 0, "bad_terms"
    issued_at: uint256 = convert(v.issuedAt, uint256)
    valid_until: uint256 = convert(v.validUntil, uint256)
    assert issued_at < valid_until and valid_until <= issued_at + MAX_SESSION, "bad_terms"
    # else a slip in issuedAt would lock the money for years
    assert issued_at <= block.timestamp + START_WINDOW, "too_early"
    assert block.timestamp <= issued_at + START_WINDOW and block.timestamp < valid_until, "too_late"
    assert msg.value == convert(v.cap, uint256), "wrong_value"

    session: bytes32 = self._session_of(v)
    assert self.sessions[session] == 0, "not_new"
    assert msg.sender == v.driver or self._is_signed_by(v.driver, session, signature), "bad_signature"

    self.sessions[session] = OPEN << STATUS_SHIFT
    log Opened(session=session, driver=v.driver, host=v.host, cap=msg.value)


@external
def settle(v: typed_data.Voucher, r: typed_data.Receipt, plug_signature: Bytes[65]):
    """
    @notice Pay the host what the receipt adds to the receipts settled before; a final receipt also closes the session.
    @dev Anyone may call. Calls nothing but precompiles. The terms were checked when the session was opened.
    @param v The voucher of the session.
    @param r The receipt.
    @param plug_signature The plug's over the receipt.
    """
    session: bytes32 = self._session_of(v)
    paid: uint256 = self._paid_of_open(session)
    assert r.session == session, "wrong_session"
    assert self._is_signed_by(v.plug, self._digest(typed_data.hash_receipt(r)), plug_signature), "bad_signature"
    assert (r.flags & CRITICAL_FLAGS) | typed_data.KNOWN_FLAGS == typed_data.KNOWN_FLAGS, "unknown_flags"
    assert not self._is_past_claim(v.validUntil), "too_late"
    self._check_times(v, r)

    due: uint256 = self._due(v, r)
    final: bool = r.flags & typed_data.FLAG_FINAL != 0
    assert due >= paid, "lower"
    assert due > paid or final, "nothing_due"

    if due > paid:
        self.balance_of[v.host] += due - paid
    log Settled(session=session, host=v.host, energyWh=convert(r.energyWh, uint256), paid=due)
    if final:
        self._close(v, session, due)
    else:
        self.sessions[session] = (OPEN << STATUS_SHIFT) | due


@external
def release(v: typed_data.Voucher):
    """
    @notice Close an open session early and give the driver what is not paid yet. For the host only, who gives up that money.
    @param v The voucher of the session.
    """
    assert msg.sender == v.host, "not_host"
    session: bytes32 = self._session_of(v)
    self._close(v, session, self._paid_of_open(session))


@external
def refund(v: typed_data.Voucher):
    """
    @notice Close an open session after the time for claims and give the driver what is not paid. Anyone may call.
    @param v The voucher of the session.
    """
    assert self._is_past_claim(v.validUntil), "too_early"
    session: bytes32 = self._session_of(v)
    self._close(v, session, self._paid_of_open(session))


@external
@nonreentrant
def withdraw(owner: address):
    """
    @notice Send an owner's whole balance to that owner. Anyone may call.
    @param owner Whose balance.
    """
    self._withdraw(owner, owner)


@external
@nonreentrant
def withdraw_to(receiver: address):
    """
    @notice Send the caller's whole balance to another address, for an owner that cannot receive.
    @param receiver Who gets it.
    """
    assert receiver != empty(address), "bad_receiver"
    self._withdraw(msg.sender, receiver)


@external
@view
def session_of(v: typed_data.Voucher) -> bytes32:
    """
    @notice The session of a voucher: its EIP-712 digest, which the driver signs.
    @param v The voucher.
    @return The digest.
    """
    return self._session_of(v)


@external
@view
def state_of(session: bytes32) -> (uint256, uint256):
    """
    @notice The state of a session.
    @dev A session closed later than START_WINDOW after issuedAt reads (0, 0) again.
    @param session The session.
    @return Status: 0, OPEN or CLOSED.
    @return What the host was paid so far.
    """
    slot: uint256 = self.sessions[session]
    return slot >> STATUS_SHIFT, slot & PAID_MASK


@external
@pure
def due(v: typed_data.Voucher, r: typed_data.Receipt) -> uint256:
    """
    @notice What a receipt is worth in total under a voucher, neither of them checked.
    @param v The voucher.
    @param r The receipt.
    @return The amount, at most the cap.
    """
    return self._due(v, r)


@internal
@view
def _digest(struct_hash: bytes32) -> bytes32:
    return keccak256(concat(x"1901", DOMAIN_SEPARATOR, struct_hash))


@internal
@view
def _session_of(v: typed_data.Voucher) -> bytes32:
    return self._digest(typed_data.hash_voucher(v))


@internal
@view
def _paid_of_open(session: bytes32) -> uint256:
    slot: uint256 = self.sessions[session]
    assert slot >> STATUS_SHIFT == OPEN, "not_open"
    return slot & PAID_MASK


@internal
@view
def _is_past_claim(valid_until: uint64) -> bool:
    # the one guard between settle and refund, so that one of them is always possible and never both
    return block.timestamp > convert(valid_until, uint256) + GRACE


@internal
@view
def _check_times(v: typed_data.Voucher, r: typed_data.Receipt):
    assert v.issuedAt <= r.startedAt and r.startedAt <= r.asOf and r.asOf <= v.validUntil, "bad_times"
    assert convert(r.startedAt, uint256) <= convert(v.issuedAt, uint256) + START_WINDOW, "bad_times"
    assert convert(r.activeSeconds, uint64) <= r.asOf - r.startedAt, "bad_times"
    assert convert(r.asOf, uint256) <= block.timestamp, "too_early"


@internal
@pure
def _due(v: typed_data.Voucher, r: typed_data.Receipt) -> uint256:
    # no product can overflow: at most 64 + 96 bits
    active_seconds: uint256 = convert(r.activeSeconds, uint256)
    # a plug cannot have delivered more than its power allows in that time
    energy_wh: uint256 = min(convert(r.energyWh, uint256), convert(v.maxPowerW, uint256) * active_seconds // 3600)
    for_energy: uint256 = energy_wh * convert(v.pricePerKwh, uint256) // 1000
    for_time: uint256 = active_seconds * convert(v.pricePerHour, uint256) // 3600
    return min(convert(v.cap, uint256), for_energy + for_time)


@internal
def _close(v: typed_data.Voucher, session: bytes32, paid: uint256):
    rest: uint256 = convert(v.cap, uint256) - paid
    if rest > 0:
        self.balance_of[v.driver] += rest
    # a voucher that could still be opened leaves a tombstone, so that no session is funded twice
    if block.timestamp > convert(v.issuedAt, uint256) + START_WINDOW:
        self.sessions[session] = 0
    else:
        self.sessions[session] = (CLOSED << STATUS_SHIFT) | paid
    log Closed(session=session, driver=v.driver, rest=rest)


@internal
def _withdraw(owner: address, receiver: address):
    amount: uint256 = self.balance_of[owner]
    assert amount > 0, "no_balance"
    self.balance_of[owner] = 0
    log Withdrawn(owner=owner, receiver=receiver, amount=amount)
    received: bool = raw_call(receiver, b"", value=amount, revert_on_failure=False)
    assert received, "not_received"


@internal
@pure
def _is_signed_by(signer: address, digest: bytes32, signature: Bytes[65]) -> bool:
    if len(signature) != 65:
        return False
    s: uint256 = convert(extract32(signature, 32), uint256)
    recovery: uint256 = convert(slice(signature, 64, 1), uint256)
    if s > MAX_S or recovery > 1:
        return False
    # ecrecover answers the empty address when there is no signer
    return signer != empty(address) and ecrecover(digest, recovery + 27, convert(extract32(signature, 0), uint256), s) == signer
