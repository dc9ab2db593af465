"""What the relay refuses (docs/protocol.md, section 2). Pure functions: nothing is read but the arguments."""

from collections.abc import Iterable

from wattseal.errors import BadSignature, BadTerms, Malformed, NotMonotone, StartChanged, UnknownFlags, WrongChain, WrongPlug
from wattseal.protocol import ocmf
from wattseal.protocol.messages import Enrolment, Receipt, ReceiptMessage, RetiredMessage, SessionMessage, Voucher
from wattseal.protocol.signatures import check_signer, key_address, p256_address
from wattseal.protocol.typed_data import KNOWN_FLAGS, MAX_SESSION_S, START_WINDOW_S

_CRITICAL_FLAGS = 0xFFFF
_NO_ADDRESS = bytes(20)
_KEY_ADDRESS = {"secp256k1": key_address, "p256": p256_address}


def check_session(domain: bytes, plug: bytes, message: SessionMessage) -> None:
    """Check a voucher that the plug with this address (20 bytes) says it accepted.

    Raises WrongChain, WrongPlug, BadTerms (where the contract would not open it) or BadSignature.
    """
    voucher = message.voucher
    _check_belongs(domain, message.session, voucher)
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


def check_receipt(domain: bytes, plug: bytes, voucher: Voucher, message: ReceiptMessage, neighbours: Iterable[Receipt]) -> None:
    """Check a receipt from the plug with this address (20 bytes) under the voucher of its session.

    `neighbours` are the stored receipts of the session with the next lower and the next higher sequence. Raises WrongChain, WrongPlug,
    BadSignature, UnknownFlags, BadTerms, StartChanged, NotMonotone or BadEvidence, in this order: who speaks, then what is said.
    """
    receipt = message.receipt
    _check_belongs(domain, receipt.session, voucher)
    _check_plug(plug, voucher)
    check_signer("receipt", receipt.digest(domain), message.signature, voucher.plug)
    unknown = receipt.flags & _CRITICAL_FLAGS & ~KNOWN_FLAGS
    if unknown:
        raise UnknownFlags(f"the receipt has the flags {unknown:#06x}, which this version does not know: update the relay")
    _check_times(voucher, receipt)
    for neighbour in neighbours:
        _check_order(*sorted((neighbour, receipt), key=lambda one: one.sequence))
    ocmf.check(message.ocmf, receipt, voucher.plug)


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


def _check_belongs(domain: bytes, session: bytes, voucher: Voucher) -> None:
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


def _check_order(earlier: Receipt, later: Receipt) -> None:
    for name in ("startedAt", "registerWh"):
        before, after = getattr(earlier, name), getattr(later, name)
        if before != after:
            raise StartChanged(f"{name} is {before} at sequence {earlier.sequence} and {after} at {later.sequence}: it never changes in a session")
    for name in ("asOf", "activeSeconds", "energyWh", "final"):
        before, after = getattr(earlier, name), getattr(later, name)
        if before > after:
            raise NotMonotone(f"{name} falls from {before} at sequence {earlier.sequence} to {after} at {later.sequence}")
