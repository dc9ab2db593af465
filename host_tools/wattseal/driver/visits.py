"""A driver at a plug: a voucher for its offer, the way to stop, the receipts that come. Through the host's relay, but not on its word."""

import time
from contextlib import suppress
from dataclasses import dataclass

from wattseal.driver.contents import Session
from wattseal.driver.folder import DriverFolder
from wattseal.driver.relay_client import RelayClient
from wattseal.driver.terms import check_prices, voucher
from wattseal.errors import BadTerms, LinkError, RelayRefused, WalletError, WrongPlug
from wattseal.protocol import signatures
from wattseal.protocol.bill import Bill
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import ReceiptMessage, Stop, to_hex
from wattseal.relay.verify import check_enrolment

OFFER_S = 600  # a plug takes its nonce back for so long
FOLLOW_S = 5  # between two looks for receipts, of which a plug signs one in 300 s at most


@dataclass(frozen=True)
class Wanted:
    """What the driver wants: cap in wei, time in hours, highest prices in wei (None: any), and whom to pay (None: the plug's word)."""

    cap: int
    hours: int
    most_per_kwh: int | None = None
    most_per_hour: int | None = None
    host: bytes | None = None


def arrive(folder: DriverFolder, relay: RelayClient, plug: bytes, wanted: Wanted, chain_id: int, contract: bytes, address: bytes | None) -> Session:
    """Have a plug accept a voucher for its newest offer; return the session.

    `address` names one of the keys that wait, None the oldest, or a new one where there is none. What was signed a moment ago for the same
    wish and got no answer is handed over again first. Raises LinkError, ProtocolError, WalletError.
    """
    for earlier in reversed(folder.sessions):
        if _is_the_same(folder, earlier, plug, wanted, address) and (earlier.chain_id, earlier.contract) == (chain_id, contract):
            with suppress(RelayRefused):
                return _hand_over(folder, relay, earlier)
            break
    return _hand_over(folder, relay, sign(folder, relay, plug, wanted, chain_id, contract, address))


def sign(folder: DriverFolder, relay: RelayClient, plug: bytes, wanted: Wanted, chain_id: int, contract: bytes, address: bytes | None) -> Session:
    """Sign a voucher for a plug's newest offer and keep it; nobody is shown it yet. Raises LinkError, ProtocolError, WalletError."""
    offer = relay.offer(plug)
    host = wanted.host or _host_of(relay, plug, domain_separator(chain_id, contract))
    index, driver = _waiting_key(folder, plug, address)
    terms = voucher(offer, driver, host, cap=wanted.cap, hours=wanted.hours, chain_id=chain_id, contract=contract, now=time.time())
    if terms.plug != plug:
        raise WrongPlug(f"the relay's offer is of plug {to_hex(terms.plug)}, not of {to_hex(plug)}: nothing was signed")
    check_prices(terms, wanted.most_per_kwh, wanted.most_per_hour)
    signature = signatures.sign(folder.key(index), terms.digest(domain_separator(chain_id, contract)))
    session = Session(index, chain_id, contract, terms, signature, relay.api)
    folder.add_session(session)
    return session


def _hand_over(folder: DriverFolder, relay: RelayClient, session: Session) -> Session:
    relay.hand_over(session.message)
    folder.mark_accepted(session)
    return session


def _is_the_same(folder: DriverFolder, session: Session, plug: bytes, wanted: Wanted, address: bytes | None) -> bool:
    signed = session.voucher
    terms = (signed.plug, signed.cap, signed.validUntil - signed.issuedAt) == (plug, wanted.cap, wanted.hours * 3600)
    try:
        check_prices(signed, wanted.most_per_kwh, wanted.most_per_hour)
    except BadTerms:
        return False
    return (
        terms
        and wanted.host in (None, signed.host)
        and address in (None, signed.driver)
        and not folder.is_locking(session)
        and abs(time.time() - signed.issuedAt) < OFFER_S
    )


def stop(folder: DriverFolder, session: Session, relay: RelayClient) -> None:
    """Have the plug end a session. Raises LinkError."""
    relay.stop(session.id, signatures.sign(folder.key(session.index), Stop(session.id).digest(session.domain)))


def fetch(folder: DriverFolder, session: Session, relay: RelayClient) -> list[ReceiptMessage]:
    """Fetch the receipts that are not here yet, verify and keep them; return all. Raises LinkError, ProtocolError, WalletError."""
    kept = folder.receipts(session)
    try:
        found = relay.receipts(session.id, after=kept[-1].receipt.sequence if kept else -1)
    except RelayRefused as error:
        if error.relay_code != "unknown_session":
            raise
        raise LinkError(
            f"the relay does not know session {to_hex(session.id)}: the plug has not told it of the voucher, or it lost its store"
        ) from error
    folder.add_receipts(session, found)
    return folder.receipts(session)


def newest(folder: DriverFolder, session: Session) -> Bill:
    """Return the newest kept receipt, with all that is needed to settle it. Raises WalletError where there is none."""
    kept = folder.receipts(session)
    if not kept:
        raise WalletError(
            f"no receipt of session {to_hex(session.id)} is here: fetch them with `wattseal driver receipts`, or name a file with --receipt"
        )
    return session.bill(kept[-1])


def _host_of(relay: RelayClient, plug: bytes, domain: bytes) -> bytes:
    """Return the host that the plug has signed for."""
    try:
        enrolment = relay.enrolment(plug)
    except RelayRefused as error:
        if error.relay_code != "not_enrolled":
            raise
        raise LinkError("the plug has not said for whom it works; ask its host for the address, and give it with --host") from error
    check_enrolment(domain, plug, enrolment)
    return enrolment.host


def _waiting_key(folder: DriverFolder, plug: bytes, address: bytes | None) -> tuple[int, bytes]:
    if address is None:
        waiting = folder.unlocked_keys(plug)
        return next(iter(waiting.items())) if waiting else folder.reserve()
    return folder.waiting_key(address)
