"""What the relay refuses (docs/protocol.md, section 2). Pure functions: nothing is read but the arguments."""

from wattseal.errors import BadSignature, BadTerms, Implausible, Malformed, NotMonotone, StartChanged, UnknownFlags, WrongChain, WrongPlug
from wattseal.protocol import ocmf
from wattseal.protocol.messages import Enrolment, Receipt, ReceiptMessage, RetiredMessage, SessionMessage, Voucher
from wattseal.protocol.signatures import check_signer, key_address, p256_address
from wattseal.protocol.typed_data import KNOWN_FLAGS, MAX_SESSION_S, START_WINDOW_S

_CRITICAL_FLAGS = 0xFFFF
_CLOCK_SLACK_S = 60  # a reading and its time are not taken at the same moment
_NO_ADDRESS = bytes(20)
_KEY_ADDRESS = {"secp256k1": key_address, "p256": p256_address}


def check_session(domain: bytes, plug: bytes, message: SessionMessage) -> None:
    """Check a voucher that the plug with this address (20 bytes) says it accepted.

    Raises WrongChain, WrongPlug, BadTerms (where the contract would not open it) or BadSignature.
    """
    voucher = message.voucher
    check_belongs(domain, message.session, voucher)
    _check_plug(plug, voucher)
    check_terms(voucher)
    check_signer("voucher", message.session, message.signature, voucher.driver)


def check_terms(voucher: Voucher) -> None:
    """Raise BadTerms where the contract would not open a lock for the voucher."""
    if _NO_ADDRESS in (voucher.driver, voucher.host, voucher.plug):
        raise BadTerms("driver, host and plug must not be the zero address")
    if voucher.token != _NO_ADDRESS or voucher.funding != 0:
        raise BadTerms("token and funding must be 0: only a lock in the native coin is served")
    if voucher.cap == 0:
        raise BadTerms("cap is 0: nothing could be paid")
    if not voucher.issuedAt < voucher.validUntil <= voucher.issuedAt + MAX_SESSION_S:
        raise BadTerms(f"validUntil is {voucher.validUntil}, not within 10 days after issuedAt {voucher.issuedAt}")


def check_receipt(domain: bytes, plug: bytes, voucher: Voucher, message: ReceiptMessage) -> None:
    """Check what a receipt from the plug with this address (20 bytes) says by itself, under the voucher of its session.

    The voucher must belong to the domain (`check_belongs`). Raises WrongPlug, BadSignature, UnknownFlags, BadTerms or BadEvidence,
    in this order: who speaks, then what is said.
    """
    receipt = message.receipt
    _check_plug(plug, voucher)
    check_signer("receipt", receipt.digest(domain), message.signature, voucher.plug)
    unknown = receipt.flags & _CRITICAL_FLAGS & ~KNOWN_FLAGS
    if unknown:
        raise UnknownFlags(f"the receipt has the flags {unknown:#06x}, which this version does not know: update the relay")
    _check_times(voucher, receipt)
    ocmf.check(message.ocmf, receipt, voucher.plug)


def check_neighbours(voucher: Voucher, receipt: Receipt, lower: Receipt | None, higher: Receipt | None) -> None:
    """Check a receipt against those of its session with the next lower and the next higher sequence, where there are such.

    Raises StartChanged, NotMonotone or Implausible.
    """
    for earlier, later in ((lower, receipt), (receipt, higher)):
        if earlier is not None and later is not None:
            _check_order(earlier, later)
            _check_power(voucher, earlier.asOf, earlier.energyWh, later)
    if lower is None:
        _check_power(voucher, receipt.startedAt, 0, receipt)


def check_enrolment(domain: bytes, plug: bytes, message: Enrolment) -> None:
    """Check what the plug with this address (20 bytes) says of its key and its host. Raises WrongPlug, Malformed or BadSignature."""
    if message.plug != plug:
        raise WrongPlug(f"plug 0x{plug.hex()} brings the enrolment of plug 0x{message.plug.hex()}")
    if message.curve not in _KEY_ADDRESS:
        raise Malformed(f"curve is {message.curve!r:.40}; this relay knows {', '.join(_KEY_ADDRESS)}")
    if message.host == _NO_ADDRESS or message.epoch == 0:
        raise Malformed("an enrolment needs a host that is not the zero address, and an epoch above 0")
    found = _KEY_ADDRESS[message.curve](message.public_key)
    if found != plug:
        raise BadSignature(f"the public key's address is 0x{found.hex()}, not the plug's, 0x{plug.hex()}")
    check_signer("enrolment", message.statement.digest(domain), message.signature, plug)


def check_retirement(domain: bytes, plug: bytes, message: RetiredMessage) -> None:
    """Check that an earlier key has given up in favour of the plug with this address (20 bytes). Raises WrongPlug, Malformed or BadSignature."""
    if message.successor != plug:
        raise WrongPlug(f"plug 0x{plug.hex()} brings the retirement in favour of plug 0x{message.successor.hex()}")
    if message.plug == plug:
        raise Malformed("a key cannot succeed itself")
    check_signer("retirement", message.statement.digest(domain), message.signature, message.plug)


def check_belongs(domain: bytes, session: bytes, voucher: Voucher) -> None:
    """Raise WrongChain unless the voucher is that of the session under the domain."""
    digest = voucher.digest(domain)
    if digest != session:
        raise WrongChain(f"under this relay's chain and contract the voucher is session 0x{digest.hex()}, not 0x{session.hex()}")


def _check_plug(plug: bytes, voucher: Voucher) -> None:
    if voucher.plug != plug:
        raise WrongPlug(f"the session belongs to plug 0x{voucher.plug.hex()}, not to 0x{plug.hex()}")


def _check_times(voucher: Voucher, receipt: Receipt) -> None:
    """The contract's guards."""
    if not voucher.issuedAt <= receipt.startedAt <= voucher.issuedAt + START_WINDOW_S:
        raise BadTerms(f"startedAt is {receipt.startedAt}, not within {START_WINDOW_S} s after the voucher's issuedAt {voucher.issuedAt}")
    if not receipt.startedAt <= receipt.asOf <= voucher.validUntil:
        raise BadTerms(f"asOf is {receipt.asOf}, not between startedAt {receipt.startedAt} and the voucher's validUntil {voucher.validUntil}")
    if receipt.activeSeconds > receipt.asOf - receipt.startedAt:
        raise BadTerms(f"activeSeconds is {receipt.activeSeconds}, more than the {receipt.asOf - receipt.startedAt} s of the session")


def _check_power(voucher: Voucher, since: int, energy_wh: int, later: Receipt) -> None:
    """Plugs take vouchers of at least 1.25 times their rated power only, so nothing that works as built gets there."""
    most_wh = voucher.maxPowerW * (later.asOf - since + _CLOCK_SLACK_S) // 3600 + 1
    if later.energyWh - energy_wh > most_wh:
        raise Implausible(
            f"{later.energyWh - energy_wh} Wh in {later.asOf - since} s up to sequence {later.sequence}: at the voucher's {voucher.maxPowerW} W "
            f"it is {most_wh} Wh at most; check the plug's meter and calibration"
        )


def _check_order(earlier: Receipt, later: Receipt) -> None:
    for name in ("startedAt", "registerWh"):
        before, after = getattr(earlier, name), getattr(later, name)
        if before != after:
            raise StartChanged(f"{name} is {before} at sequence {earlier.sequence} and {after} at {later.sequence}: it never changes in a session")
    for name in ("asOf", "activeSeconds", "energyWh", "final"):
        before, after = getattr(earlier, name), getattr(later, name)
        if before > after:
            raise NotMonotone(f"{name} falls from {before} at sequence {earlier.sequence} to {after} at {later.sequence}")
