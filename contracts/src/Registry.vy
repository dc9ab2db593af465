# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Registry
@license MIT
@notice Which plug charges for which host, at what price, and the bond that a host loses if the plug signs the same energy twice.
@dev The plug's key is its identity: a plug is enrolled, moved and retired only by its own signed statements, so anyone may submit them.
     Statements and receipts are checked under the domain of the escrow, the one contract that a plug knows. Nobody owns or can change
     this contract, and the escrow does not read it. docs/registry.md has the state picture.
"""

import signatures
import typed_data

initializes: signatures
exports: signatures.HAS_P256


interface Escrow:
    def DOMAIN_SEPARATOR() -> bytes32: view


struct Listing:
    ratedPowerW: uint32
    token: address  # empty: the native coin
    pricePerKwh: uint96
    pricePerHour: uint96
    isOffered: bool  # drivers may ask now
    metadataHash: bytes32  # SHA-256 of what uri names
    uri: String[256]


event Enrolled:
    plug: indexed(address)
    host: indexed(address)
    epoch: uint64


event Retired:
    plug: indexed(address)
    successor: indexed(address)  # empty: none


event Announced:
    plug: indexed(address)
    host: indexed(address)
    listing: Listing


event BondPosted:
    plug: indexed(address)
    host: indexed(address)
    bond: uint256  # in total


event ExitRequested:
    plug: indexed(address)
    host: indexed(address)
    exitAt: uint256


event BondReturned:
    plug: indexed(address)
    host: indexed(address)
    receiver: indexed(address)
    amount: uint256


event Equivocated:
    plug: indexed(address)
    host: indexed(address)
    reporter: indexed(address)
    reward: uint256
    burnt: uint256  # stays here for ever


# what a plug signed when the exit was requested can be claimed for START_WINDOW + MAX_SESSION + GRACE; then a reporter has REPORT_WINDOW
REPORT_WINDOW: constant(uint256) = 7 * 86400
EXIT_DELAY: public(constant(uint256)) = typed_data.START_WINDOW + typed_data.MAX_SESSION + typed_data.GRACE + REPORT_WINDOW
# a host that reports itself must not get off cheaply
REWARD_DIVISOR: public(constant(uint256)) = 10

ESCROW: public(immutable(address))
DOMAIN_SEPARATOR: public(immutable(bytes32))

host_of: public(HashMap[address, address])  # of a plug; empty: not enrolled
epoch_of: public(HashMap[address, uint64])  # of a plug's newest statement
is_retired: public(HashMap[address, bool])  # for ever
successor_of: public(HashMap[address, address])
listing_of: public(HashMap[address, bytes32])  # keccak256 of the ABI encoding of a plug's newest Listing
bond_of: public(HashMap[address, HashMap[address, uint256]])  # plug, host
exit_at: public(HashMap[address, HashMap[address, uint256]])  # plug, host; 0: no exit requested


@deploy
def __init__(escrow: address):
    """
    @param escrow The Wattseal contract whose vouchers and receipts these plugs sign.
    """
    signatures.__init__()
    ESCROW = escrow
    DOMAIN_SEPARATOR = staticcall Escrow(escrow).DOMAIN_SEPARATOR()


@external
def enrol(e: typed_data.Enrol, signature: Bytes[128]):
    """
    @notice Enrol a plug for the host that it names, or move it to that host. Anyone may call.
    @dev The bond of the host before stays that host's, and at risk.
    @param e The statement; its epoch is above that of every earlier one.
    @param signature The plug's over the statement.
    """
    assert e.host != empty(address), "bad_terms"
    self._take_statement(e.plug, e.epoch, typed_data.hash_enrol(e), signature)
    self.host_of[e.plug] = e.host
    self.listing_of[e.plug] = empty(bytes32)
    log Enrolled(plug=e.plug, host=e.host, epoch=e.epoch)


@external
def retire(r: typed_data.Retire, signature: Bytes[128]):
    """
    @notice Retire a plug's key for ever and name the key that follows it. Anyone may call.
    @dev The successor enrols itself with a statement of its own.
    @param r The statement; its epoch is above that of every earlier one. No successor is the empty address.
    @param signature Of the key that is given up, over the statement.
    """
    assert r.successor != r.plug, "bad_terms"
    self._take_statement(r.plug, r.epoch, typed_data.hash_retire(r), signature)
    self._retire(r.plug, r.successor)


@external
def revoke(plug: address):
    """
    @notice Retire a plug's key for ever without the plug, when it is lost, stolen or broken. For its host only.
    @param plug The plug.
    """
    assert msg.sender == self.host_of[plug], "not_host"
    self._retire(plug, empty(address))


@external
def announce(plug: address, listing: Listing):
    """
    @notice Say what a plug offers, in place of what was said before. For its host only.
    @param plug The plug.
    @param listing Rating, tariff, and where its description is.
    """
    assert msg.sender == self.host_of[plug], "not_host"
    assert listing.ratedPowerW > 0, "bad_terms"
    self.listing_of[plug] = keccak256(abi_encode(listing))
    log Announced(plug=plug, host=msg.sender, listing=listing)


@external
@payable
def post_bond(plug: address):
    """
    @notice Add to the caller's bond on a plug. For its host only. Takes back a requested exit.
    @param plug The plug.
    """
    assert msg.sender == self.host_of[plug], "not_host"
    assert msg.value > 0, "wrong_value"
    bond: uint256 = self.bond_of[plug][msg.sender] + msg.value
    self.bond_of[plug][msg.sender] = bond
    self.exit_at[plug][msg.sender] = 0
    log BondPosted(plug=plug, host=msg.sender, bond=bond)


@external
def request_exit(plug: address):
    """
    @notice Announce that the caller takes its bond on a plug back after EXIT_DELAY; it can be lost until it is gone.
    @param plug The plug, which need not be the caller's any more.
    """
    assert self.bond_of[plug][msg.sender] > 0, "no_bond"
    assert self.exit_at[plug][msg.sender] == 0, "exit_requested"
    exit_at: uint256 = block.timestamp + EXIT_DELAY
    self.exit_at[plug][msg.sender] = exit_at
    log ExitRequested(plug=plug, host=msg.sender, exitAt=exit_at)


@external
@nonreentrant
def exit(plug: address, receiver: address):
    """
    @notice Send the caller's whole bond on a plug to an address, EXIT_DELAY after the request.
    @param plug The plug.
    @param receiver Who gets it.
    """
    assert receiver != empty(address), "bad_receiver"
    exit_at: uint256 = self.exit_at[plug][msg.sender]
    assert exit_at != 0 and block.timestamp >= exit_at, "too_early"
    amount: uint256 = self._take_bond(plug, msg.sender)
    log BondReturned(plug=plug, host=msg.sender, receiver=receiver, amount=amount)
    self._send(receiver, amount)


@external
@nonreentrant
def equivocate(
    earlier: typed_data.Voucher,
    earlier_receipt: typed_data.Receipt,
    earlier_signature: Bytes[128],
    later: typed_data.Voucher,
    later_receipt: typed_data.Receipt,
    later_signature: Bytes[128],
):
    """
    @notice Prove that a plug signed what no honest plug does: the same energy in two sessions, or two starts of one session.
    @dev Retires the plug. The host of the session that started later loses its bond: a tenth to the caller, the rest to nobody.
         Anyone may call. No voucher needs a driver's signature: a host answers for what its plug signs, not for who asked.
    @param earlier The voucher of the session that started earlier, or at the same second.
    @param earlier_receipt A receipt of that session.
    @param earlier_signature The plug's over that receipt.
    @param later The voucher of the other session; of the same one if that has two starts.
    @param later_receipt A receipt of that session.
    @param later_signature The plug's over that receipt.
    """
    plug: address = later.plug
    assert earlier.plug == plug, "other_plug"
    self._check_receipt(earlier, earlier_receipt, earlier_signature)
    self._check_receipt(later, later_receipt, later_signature)
    assert earlier_receipt.startedAt <= later_receipt.startedAt, "bad_order"
    assert self._contradict(earlier_receipt, later_receipt), "no_contradiction"

    bond: uint256 = self._take_bond(plug, later.host)
    assert bond > 0 or not self.is_retired[plug], "no_bond"
    if not self.is_retired[plug]:
        self._retire(plug, empty(address))
    reward: uint256 = bond // REWARD_DIVISOR
    log Equivocated(plug=plug, host=later.host, reporter=msg.sender, reward=reward, burnt=bond - reward)
    if reward > 0:
        self._send(msg.sender, reward)


@internal
@view
def _digest(struct_hash: bytes32) -> bytes32:
    return keccak256(concat(x"1901", DOMAIN_SEPARATOR, struct_hash))


@internal
def _take_statement(plug: address, epoch: uint64, struct_hash: bytes32, signature: Bytes[128]):
    assert not self.is_retired[plug], "retired"
    assert epoch > self.epoch_of[plug], "stale_epoch"
    assert signatures._is_signed_by(plug, self._digest(struct_hash), signature), "bad_signature"
    self.epoch_of[plug] = epoch


@internal
def _retire(plug: address, successor: address):
    self.is_retired[plug] = True
    self.host_of[plug] = empty(address)
    self.listing_of[plug] = empty(bytes32)
    self.successor_of[plug] = successor
    log Retired(plug=plug, successor=successor)


@internal
@view
def _check_receipt(v: typed_data.Voucher, r: typed_data.Receipt, signature: Bytes[128]):
    assert r.session == self._digest(typed_data.hash_voucher(v)), "wrong_session"
    assert signatures._is_signed_by(v.plug, self._digest(typed_data.hash_receipt(r)), signature), "bad_signature"


@internal
@pure
def _contradict(a: typed_data.Receipt, b: typed_data.Receipt) -> bool:
    if a.session == b.session:
        # the totals of a session grow, its start does not change
        return a.startedAt != b.startedAt or a.registerWh != b.registerWh
    a_start: uint256 = convert(a.registerWh, uint256)
    b_start: uint256 = convert(b.registerWh, uint256)
    # a start is rounded up and an end down, so an honest plug's sessions at most touch; one without energy overlaps nothing
    return max(a_start, b_start) < min(a_start + convert(a.energyWh, uint256), b_start + convert(b.energyWh, uint256))


@internal
def _take_bond(plug: address, host: address) -> uint256:
    bond: uint256 = self.bond_of[plug][host]
    self.bond_of[plug][host] = 0
    self.exit_at[plug][host] = 0
    return bond


@internal
def _send(receiver: address, amount: uint256):
    received: bool = raw_call(receiver, b"", value=amount, revert_on_failure=False)
    assert received, "not_received"
