# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Wattseal
@license MIT
@notice Holds drivers' money for charging sessions and pays hosts what the plugs' signed receipts say.
@dev A session is the EIP-712 digest of its voucher, so nothing of the voucher is stored: whoever calls brings it along.
     Receipts are cumulative: settling one pays the difference to what is already paid. Nobody owns or can change this contract.
     docs/contracts.md has the state picture and the codes.
"""

import signatures
import tokens
import typed_data

initializes: signatures
exports: signatures.HAS_P256


event Opened:
    session: indexed(bytes32)
    driver: indexed(address)
    host: indexed(address)
    token: address
    cap: uint256


event Settled:
    session: indexed(bytes32)
    host: indexed(address)
    energyWh: uint256
    paid: uint256  # in total for this session
    closed: bool  # the rest of a lock is in the driver's balance


event Closed:
    session: indexed(bytes32)
    driver: indexed(address)
    paid: uint256


event Deposited:
    tab: indexed(bytes32)
    driver: indexed(address)
    host: indexed(address)
    plug: address
    token: address
    amount: uint256


event ExitRequested:
    tab: indexed(bytes32)
    exitAt: uint256  # 0: cancelled


event Exited:
    tab: indexed(bytes32)
    amount: uint256


event Withdrawn:
    owner: indexed(address)
    receiver: indexed(address)
    token: indexed(address)
    amount: uint256


# What settle takes: voucher and receipt as the words that were signed, which are copied, not decoded. Those of a lock were checked when it was opened.
# A plug's signature is r, s, v, 0 or r, s, x, y, a driver's r, s, v or zeros.
struct Claim:
    voucher: typed_data.VoucherWords
    receipt: typed_data.ReceiptWords
    plugSignature: uint256[4]
    driverSignature: uint256[3]


MAX_CLAIMS: constant(uint256) = 100

LOCK: constant(uint256) = 0
TAB: constant(uint256) = 1

OPEN: public(constant(uint256)) = 1
CLOSED: public(constant(uint256)) = 2
STATUS_SHIFT: constant(uint256) = 248
PAID_MASK: constant(uint256) = 2**248 - 1

BALANCE_SHIFT: constant(uint256) = 128
EXIT_MASK: constant(uint256) = 2**128 - 1

START_WINDOW: public(constant(uint256)) = typed_data.START_WINDOW
MAX_SESSION: public(constant(uint256)) = typed_data.MAX_SESSION
GRACE: public(constant(uint256)) = typed_data.GRACE
# longer than START_WINDOW + MAX_SESSION + GRACE: what was charged before an exit was announced can be claimed before it comes; the rest, almost
# six days, is for plugs that learn of the announcement late
EXIT_DELAY: public(constant(uint256)) = 30 * 86400

# a receipt with an unknown flag among these says something this contract does not understand
UNKNOWN_FLAGS: constant(uint256) = 2**16 - 1 - typed_data.KNOWN_FLAGS

MAX_AMOUNT: constant(uint256) = 2**128 - 1

# why a receipt is not settled: the text is the code
SETTLED: constant(bytes32) = empty(bytes32)
BAD_TERMS: constant(bytes32) = 0x6261645f7465726d730000000000000000000000000000000000000000000000
NOT_OPEN: constant(bytes32) = 0x6e6f745f6f70656e000000000000000000000000000000000000000000000000
WRONG_SESSION: constant(bytes32) = 0x77726f6e675f73657373696f6e00000000000000000000000000000000000000
BAD_SIGNATURE: constant(bytes32) = 0x6261645f7369676e617475726500000000000000000000000000000000000000
UNKNOWN_FLAG: constant(bytes32) = 0x756e6b6e6f776e5f666c61677300000000000000000000000000000000000000
TOO_LATE: constant(bytes32) = 0x746f6f5f6c617465000000000000000000000000000000000000000000000000
TOO_EARLY: constant(bytes32) = 0x746f6f5f6561726c790000000000000000000000000000000000000000000000
BAD_TIMES: constant(bytes32) = 0x6261645f74696d65730000000000000000000000000000000000000000000000
LOWER: constant(bytes32) = 0x6c6f776572000000000000000000000000000000000000000000000000000000
NOTHING_DUE: constant(bytes32) = 0x6e6f7468696e675f647565000000000000000000000000000000000000000000
TAB_EMPTY: constant(bytes32) = 0x7461625f656d7074790000000000000000000000000000000000000000000000

DIGEST_PREFIX: constant(bytes2) = 0x1901  # EIP-712
DOMAIN_TYPE_HASH: constant(bytes32) = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
# fixed at deployment: after a chain split with a new chain id, the sessions of both sides can still be settled
DOMAIN_SEPARATOR: public(immutable(bytes32))

sessions: HashMap[bytes32, uint256]  # status << 248 | paid
tabs: HashMap[bytes32, uint256]  # balance << 128 | exitAt
balances: HashMap[uint256, HashMap[uint256, uint256]]  # owner, token: addresses as words


@deploy
def __init__():
    signatures.__init__()
    DOMAIN_SEPARATOR = keccak256(
        abi_encode(DOMAIN_TYPE_HASH, keccak256(typed_data.DOMAIN_NAME), keccak256(typed_data.DOMAIN_VERSION), chain.id, self)
    )


@external
@payable
@nonreentrant
def open(v: typed_data.Voucher, signature: Bytes[65]):
    """
    @notice Lock exactly the voucher's cap for its session: the coins that are sent, or tokens that the driver has approved.
    @dev Once per voucher: it must be fresh, and its slot is not cleared before it is too old.
    @param v The voucher.
    @param signature The driver's over the voucher; not looked at when the driver is the caller.
    """
    session: bytes32 = self._open(v)
    assert msg.sender == v.driver or signatures._is_signed_by(v.driver, session, signature), "bad_signature"
    self._receive(v.driver, v.token, convert(v.cap, uint256))


@external
@nonreentrant
def open_with_permit(v: typed_data.Voucher, signature: Bytes[65], permit_signature: Bytes[65]):
    """
    @notice Lock exactly the voucher's cap in tokens that the driver approves by an EIP-2612 permit.
    @dev A permit that somebody used before does no harm: only the allowance counts.
    @param v The voucher.
    @param signature The driver's over the voucher; not looked at when the driver is the caller.
    @param permit_signature The driver's over a permit of the cap to this contract until validUntil.
    """
    session: bytes32 = self._open(v)
    assert msg.sender == v.driver or signatures._is_signed_by(v.driver, session, signature), "bad_signature"
    tokens._permit(v.token, v.driver, convert(v.cap, uint256), convert(v.validUntil, uint256), permit_signature)
    tokens._pull(v.token, v.driver, convert(v.cap, uint256))


@external
@nonreentrant
def open_with_authorization(v: typed_data.Voucher, authorization: Bytes[65]):
    """
    @notice Lock exactly the voucher's cap in tokens that the driver sends by an EIP-3009 authorization.
    @dev Its nonce is the session, so it says what the driver's signature over the voucher would.
    @param v The voucher.
    @param authorization The driver's signature over a ReceiveWithAuthorization of the cap to this contract, valid from 0 to validUntil.
    """
    session: bytes32 = self._open(v)
    tokens._pull_authorized(v.token, v.driver, convert(v.cap, uint256), convert(v.validUntil, uint256), session, authorization)


@external
def settle(c: Claim):
    """
    @notice Pay the host what the receipt adds to the receipts settled before; a final receipt that is paid in full also closes the session.
    @dev Anyone may call. Calls nothing but precompiles.
    @param c The claim. A driver's signature is looked at for a session on a tab only: a lock was signed for at its opening.
    """
    answer: bytes32 = self._settle(c)
    amount: uint256 = convert(answer, uint256)
    assert amount <= MAX_AMOUNT, self._text(answer)
    if amount > 0:
        self.balances[c.voucher.host][c.voucher.token] += amount


@external
def settle_many(claims: DynArray[Claim, MAX_CLAIMS]) -> DynArray[bytes32, MAX_CLAIMS]:
    """
    @notice Settle each claim in order. One that is refused changes nothing and does not stop the others.
    @param claims The claims.
    @return For each claim zero, or the code with which settle refuses it, as text.
    """
    codes: DynArray[bytes32, MAX_CLAIMS] = []
    # what a host gets from neighbouring claims is written once
    host: uint256 = 0
    token: uint256 = 0
    sum: uint256 = 0
    for i: uint256 in range(len(claims), bound=MAX_CLAIMS):
        answer: bytes32 = self._settle(claims[i])
        amount: uint256 = convert(answer, uint256)
        if amount > MAX_AMOUNT:
            codes.append(answer)
            continue
        codes.append(SETTLED)
        if claims[i].voucher.host != host or claims[i].voucher.token != token:
            if sum > 0:
                self.balances[host][token] += sum
            host = claims[i].voucher.host
            token = claims[i].voucher.token
            sum = 0
        sum = unsafe_add(sum, amount)  # a hundred amounts below 2^128
    if sum > 0:
        self.balances[host][token] += sum
    return codes


@external
def release(v: typed_data.Voucher):
    """
    @notice Close a session early. For the host only, who gives up what is not paid yet; the rest of a lock goes to the driver.
    @param v The voucher of the session.
    """
    assert msg.sender == v.host, "not_host"
    session: bytes32 = self._session_of(v)
    word: uint256 = self.sessions[session]
    paid: uint256 = word & PAID_MASK
    if convert(v.funding, uint256) == TAB:
        assert word >> STATUS_SHIFT != CLOSED, "not_open"
        self.sessions[session] = (CLOSED << STATUS_SHIFT) | paid
    else:
        assert word >> STATUS_SHIFT == OPEN, "not_open"
        self._close_lock(convert(v.driver, uint256), convert(v.token, uint256), convert(v.cap, uint256), convert(v.issuedAt, uint256), session, paid)
    log Closed(session=session, driver=v.driver, paid=paid)


@external
def refund(v: typed_data.Voucher):
    """
    @notice Close a lock after the time for claims and give the driver what is not paid. Anyone may call.
    @param v The voucher of the session.
    """
    # the complement of settle's guard
    assert block.timestamp > convert(v.validUntil, uint256) + GRACE, "too_early"
    session: bytes32 = self._session_of(v)
    word: uint256 = self.sessions[session]
    # money of a tab's session never left the tab
    assert convert(v.funding, uint256) == LOCK and word >> STATUS_SHIFT == OPEN, "not_open"
    paid: uint256 = word & PAID_MASK
    self._close_lock(convert(v.driver, uint256), convert(v.token, uint256), convert(v.cap, uint256), convert(v.issuedAt, uint256), session, paid)
    log Closed(session=session, driver=v.driver, paid=paid)


@external
@payable
@nonreentrant
def deposit(driver: address, host: address, plug: address, token: address, amount: uint128):
    """
    @notice Add money to a driver's tab at a host's plug: the coins that are sent, or tokens that the caller has approved. Anyone may call.
    @dev Not while an exit is announced.
    @param driver Whose tab.
    @param host Who is paid from it.
    @param plug Whose receipts are paid from it.
    @param token The token, or the empty address for the native coin.
    @param amount How much.
    """
    assert driver != empty(address) and host != empty(address) and plug != empty(address) and amount > 0, "bad_terms"
    tab: bytes32 = self._tab_of(driver, host, plug, token)
    word: uint256 = self.tabs[tab]
    # else a delay that is over already would count for money that comes later
    assert word & EXIT_MASK == 0, "exit_announced"
    assert (word >> BALANCE_SHIFT) + convert(amount, uint256) <= convert(max_value(uint128), uint256), "tab_full"
    self.tabs[tab] = word + (convert(amount, uint256) << BALANCE_SHIFT)
    log Deposited(tab=tab, driver=driver, host=host, plug=plug, token=token, amount=convert(amount, uint256))
    self._receive(msg.sender, token, convert(amount, uint256))


@external
def request_exit(host: address, plug: address, token: address):
    """
    @notice Announce that the caller's tab will be emptied, no earlier than EXIT_DELAY from now. Plugs give no more credit on it.
    @param host Who is paid from the tab.
    @param plug Whose receipts are paid from it.
    @param token The token.
    """
    tab: bytes32 = self._tab_of(msg.sender, host, plug, token)
    assert self.tabs[tab] >> BALANCE_SHIFT > 0, "tab_empty"
    self._set_exit(tab, block.timestamp + EXIT_DELAY)


@external
def cancel_exit(host: address, plug: address, token: address):
    """
    @notice Take the announcement back.
    @param host Who is paid from the tab.
    @param plug Whose receipts are paid from it.
    @param token The token.
    """
    self._set_exit(self._tab_of(msg.sender, host, plug, token), 0)


@external
def exit(host: address, plug: address, token: address):
    """
    @notice Move what is left of the caller's tab to the caller's balance, when the announced time has come.
    @param host Who is paid from the tab.
    @param plug Whose receipts are paid from it.
    @param token The token.
    """
    tab: bytes32 = self._tab_of(msg.sender, host, plug, token)
    word: uint256 = self.tabs[tab]
    exit_at: uint256 = word & EXIT_MASK
    assert exit_at != 0 and block.timestamp >= exit_at, "too_early"
    amount: uint256 = word >> BALANCE_SHIFT
    self.tabs[tab] = 0
    self.balances[convert(msg.sender, uint256)][convert(token, uint256)] += amount
    log Exited(tab=tab, amount=amount)


@external
@nonreentrant
def withdraw(owner: address, token: address):
    """
    @notice Send an owner's whole balance to that owner. Anyone may call.
    @param owner Whose balance.
    @param token The token, or the empty address for the native coin.
    """
    self._withdraw(owner, owner, token)


@external
@nonreentrant
def withdraw_to(receiver: address, token: address):
    """
    @notice Send the caller's whole balance to another address, for an owner that cannot receive.
    @param receiver Who gets it.
    @param token The token, or the empty address for the native coin.
    """
    assert receiver != empty(address), "bad_receiver"
    self._withdraw(msg.sender, receiver, token)


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
    @dev A lock closed later than START_WINDOW after issuedAt reads (0, 0) again.
    @param session The session.
    @return Status: 0, OPEN or CLOSED.
    @return What the host was paid so far.
    """
    word: uint256 = self.sessions[session]
    return word >> STATUS_SHIFT, word & PAID_MASK


@external
@view
def tab_of(driver: address, host: address, plug: address, token: address) -> (uint256, uint256):
    """
    @notice The state of a tab.
    @param driver Whose tab.
    @param host Who is paid from it.
    @param plug Whose receipts are paid from it.
    @param token The token.
    @return The balance.
    @return When the driver may empty it; 0 while that was not announced.
    """
    word: uint256 = self.tabs[self._tab_of(driver, host, plug, token)]
    return word >> BALANCE_SHIFT, word & EXIT_MASK


@external
@view
def balance_of(owner: address, token: address) -> uint256:
    """
    @notice What an owner can withdraw.
    @param owner The owner.
    @param token The token, or the empty address for the native coin.
    @return The amount.
    """
    return self.balances[convert(owner, uint256)][convert(token, uint256)]


@external
@pure
def due(v: typed_data.Voucher, r: typed_data.Receipt) -> uint256:
    """
    @notice What a receipt is worth in total under a voucher, neither of them checked.
    @param v The voucher.
    @param r The receipt.
    @return The amount, at most the cap.
    """
    return self._due(
        convert(v.pricePerKwh, uint256),
        convert(v.pricePerHour, uint256),
        convert(v.maxPowerW, uint256),
        convert(v.cap, uint256),
        convert(r.activeSeconds, uint256),
        convert(r.energyWh, uint256),
    )


@internal
@view
def _digest(struct_hash: bytes32) -> bytes32:
    return keccak256(concat(DIGEST_PREFIX, DOMAIN_SEPARATOR, struct_hash))


@internal
@view
def _session_of(v: typed_data.Voucher) -> bytes32:
    return self._digest(keccak256(abi_encode(typed_data.VOUCHER_TYPE_HASH, v)))


@internal
@pure
def _tab_of(driver: address, host: address, plug: address, token: address) -> bytes32:
    return keccak256(abi_encode(driver, host, plug, token))


@internal
@pure
def _are_terms_good(driver: uint256, host: uint256, plug: uint256, cap: uint256, issued_at: uint256, valid_until: uint256) -> bool:
    return (
        driver != 0
        and host != 0
        and plug != 0
        and cap > 0
        and issued_at < valid_until
        and valid_until <= unsafe_add(issued_at, MAX_SESSION)
    )


@internal
@pure
def _are_words_in_range(v: typed_data.VoucherWords) -> bool:
    return (
        (v.driver | v.host | v.plug | v.token) >> 160 == 0
        and (v.pricePerKwh | v.pricePerHour) >> 96 == 0
        and v.maxPowerW >> 32 == 0
        and v.cap >> 128 == 0
        and (v.issuedAt | v.validUntil | v.nonce) >> 64 == 0
    )


@internal
def _open(v: typed_data.Voucher) -> bytes32:
    issued_at: uint256 = convert(v.issuedAt, uint256)
    valid_until: uint256 = convert(v.validUntil, uint256)
    assert self._are_terms_good(
        convert(v.driver, uint256), convert(v.host, uint256), convert(v.plug, uint256), convert(v.cap, uint256), issued_at, valid_until
    ), "bad_terms"
    assert convert(v.funding, uint256) == LOCK, "unsupported_funding"
    # else a slip in issuedAt would lock the money for years
    assert issued_at <= unsafe_add(block.timestamp, START_WINDOW), "too_early"
    assert block.timestamp <= unsafe_add(issued_at, START_WINDOW) and block.timestamp < valid_until, "too_late"
    session: bytes32 = self._digest(keccak256(abi_encode(typed_data.VOUCHER_TYPE_HASH, v)))
    assert self.sessions[session] == 0, "not_new"
    self.sessions[session] = OPEN << STATUS_SHIFT
    log Opened(session=session, driver=v.driver, host=v.host, token=v.token, cap=convert(v.cap, uint256))
    return session


@internal
@payable
def _receive(payer: address, token: address, amount: uint256):
    if token == empty(address):
        assert msg.value == amount, "wrong_value"
    else:
        assert msg.value == 0, "wrong_value"
        tokens._pull(token, payer, amount)


@internal
def _settle(c: Claim) -> bytes32:
    # answers what the host gets, which the caller credits, or the code: a text is larger than any amount
    # batches spend their gas here, so _digest and _close_lock are written out
    session: bytes32 = keccak256(
        concat(DIGEST_PREFIX, DOMAIN_SEPARATOR, keccak256(abi_encode(typed_data.VOUCHER_TYPE_HASH, c.voucher)))
    )
    word: uint256 = self.sessions[session]
    if c.voucher.funding == TAB:
        if word >> STATUS_SHIFT == CLOSED:
            return NOT_OPEN
        # no call of the driver's has checked these
        if not self._are_words_in_range(c.voucher):
            return BAD_TERMS
        if not self._are_terms_good(
            c.voucher.driver, c.voucher.host, c.voucher.plug, c.voucher.cap, c.voucher.issuedAt, c.voucher.validUntil
        ):
            return BAD_TERMS
        by_driver: uint256[4] = [c.driverSignature[0], c.driverSignature[1], c.driverSignature[2], 0]
        if not signatures._is_signed_in_words_by(c.voucher.driver, session, by_driver):
            return BAD_SIGNATURE
    elif word >> STATUS_SHIFT != OPEN:
        return NOT_OPEN
    if c.receipt.session != session:
        return WRONG_SESSION
    if not signatures._is_signed_in_words_by(
        c.voucher.plug,
        keccak256(concat(DIGEST_PREFIX, DOMAIN_SEPARATOR, keccak256(abi_encode(typed_data.RECEIPT_TYPE_HASH, c.receipt)))),
        c.plugSignature,
    ):
        return BAD_SIGNATURE
    # who is paid by a receipt can be held to it: the registry takes only what its fields hold
    if ((c.receipt.sequence | c.receipt.activeSeconds | c.receipt.flags) >> 32) | ((c.receipt.registerWh | c.receipt.energyWh) >> 64) != 0:
        return BAD_TERMS
    if c.receipt.flags & UNKNOWN_FLAGS != 0:
        return UNKNOWN_FLAG
    # the complement of refund's guard, so that one of them is always possible and never both
    if block.timestamp > unsafe_add(c.voucher.validUntil, GRACE):
        return TOO_LATE
    # each word of the receipt that counts is bounded above, or here by words of the voucher, so nothing else wraps around
    if (
        unsafe_sub(c.receipt.startedAt, c.voucher.issuedAt) > START_WINDOW  # or before: then the difference wraps around
        or c.receipt.asOf > c.voucher.validUntil
        or c.receipt.asOf < unsafe_add(c.receipt.startedAt, c.receipt.activeSeconds)
    ):
        return BAD_TIMES
    if c.receipt.asOf > block.timestamp:
        return TOO_EARLY

    paid: uint256 = word & PAID_MASK
    due: uint256 = self._due(
        c.voucher.pricePerKwh, c.voucher.pricePerHour, c.voucher.maxPowerW, c.voucher.cap, c.receipt.activeSeconds, c.receipt.energyWh
    )
    closed: bool = c.receipt.flags & typed_data.FLAG_FINAL != 0
    if due < paid:
        return LOWER
    amount: uint256 = unsafe_sub(due, paid)
    if amount == 0:
        if not closed:
            return NOTHING_DUE
    if c.voucher.funding == TAB:
        tab: bytes32 = keccak256(abi_encode(c.voucher.driver, c.voucher.host, c.voucher.plug, c.voucher.token))
        tab_word: uint256 = self.tabs[tab]
        if amount > tab_word >> BALANCE_SHIFT:
            amount = tab_word >> BALANCE_SHIFT
            if amount == 0:
                return TAB_EMPTY
            closed = False  # the rest may be paid when the driver has filled the tab
        if amount > 0:
            self.tabs[tab] = tab_word - (amount << BALANCE_SHIFT)
        due = paid + amount
        # never forgotten: nothing was locked, so nothing else tells that this session was paid
        self.sessions[session] = ((CLOSED if closed else OPEN) << STATUS_SHIFT) | due
    elif closed:
        if due < c.voucher.cap:
            self.balances[c.voucher.driver][c.voucher.token] += unsafe_sub(c.voucher.cap, due)
        if block.timestamp > unsafe_add(c.voucher.issuedAt, START_WINDOW):
            self.sessions[session] = 0
        else:
            self.sessions[session] = (CLOSED << STATUS_SHIFT) | due
    else:
        self.sessions[session] = (OPEN << STATUS_SHIFT) | due
    log Settled(session=session, host=convert(c.voucher.host, address), energyWh=c.receipt.energyWh, paid=due, closed=closed)
    return convert(amount, bytes32)


@internal
@pure
def _due(price_per_kwh: uint256, price_per_hour: uint256, max_power_w: uint256, cap: uint256, active_seconds: uint256, energy_wh: uint256) -> uint256:
    # nothing here can wrap around: no product has more than 64 + 96 bits
    # a plug cannot have delivered more than its power allows in that time
    wh: uint256 = unsafe_div(unsafe_mul(max_power_w, active_seconds), 3600)
    if energy_wh < wh:
        wh = energy_wh
    due: uint256 = unsafe_add(
        unsafe_div(unsafe_mul(wh, price_per_kwh), 1000), unsafe_div(unsafe_mul(active_seconds, price_per_hour), 3600)
    )
    if due > cap:
        return cap
    return due


@internal
def _close_lock(driver: uint256, token: uint256, cap: uint256, issued_at: uint256, session: bytes32, paid: uint256):
    rest: uint256 = unsafe_sub(cap, paid)  # due is at most the cap
    if rest > 0:
        self.balances[driver][token] += rest
    # a voucher that could still be opened leaves a tombstone, so that no session is funded twice
    if block.timestamp > unsafe_add(issued_at, START_WINDOW):
        self.sessions[session] = 0
    else:
        self.sessions[session] = (CLOSED << STATUS_SHIFT) | paid


@internal
def _set_exit(tab: bytes32, exit_at: uint256):
    self.tabs[tab] = (self.tabs[tab] & ~EXIT_MASK) | exit_at
    log ExitRequested(tab=tab, exitAt=exit_at)


@internal
def _withdraw(owner: address, receiver: address, token: address):
    amount: uint256 = self.balances[convert(owner, uint256)][convert(token, uint256)]
    assert amount > 0, "no_balance"
    self.balances[convert(owner, uint256)][convert(token, uint256)] = 0
    log Withdrawn(owner=owner, receiver=receiver, token=token, amount=amount)
    if token == empty(address):
        received: bool = raw_call(receiver, b"", value=amount, revert_on_failure=False)
        assert received, "not_received"
    else:
        tokens._push(token, receiver, amount)


@internal
@pure
def _text(code: bytes32) -> String[32]:
    length: uint256 = 32
    for i: uint256 in range(32):
        if convert(code, uint256) << (8 * i) == 0:
            length = i
            break
    return convert(slice(concat(code, b""), 0, length), String[32])
