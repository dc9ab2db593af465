"""A session as its driver sees it: one page with live numbers, the receipts, and the newest receipt as a QR code.

Whoever knows the session's id may read it, and the id is on the chain from the lock on (docs/privacy.md). Nothing is loaded from elsewhere.
"""

import secrets
from functools import lru_cache
from typing import Any

import segno
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from wattseal.errors import BadEvidence, UnknownSession
from wattseal.protocol import amounts
from wattseal.protocol.bill import Bill
from wattseal.protocol.messages import due, to_hex
from wattseal.protocol.typed_data import GRACE_S
from wattseal.relay.service import Relay

SHOWN_RECEIPTS = 50

_TEMPLATES = Environment(loader=PackageLoader("wattseal.relay", "."), autoescape=True, undefined=StrictUndefined)
_TEMPLATES.filters |= {"hex": to_hex, "coins": amounts.coins, "about": amounts.about, "utc": amounts.utc}


def render(relay: Relay, session: bytes) -> HTMLResponse:
    """Return the page of a session. Raises UnknownSession."""
    accepted = relay.store.voucher(session)
    if accepted is None:
        raise UnknownSession(f"no session {to_hex(session)} is known here")
    voucher, newest = accepted.voucher, relay.store.newest_receipt(session)
    bill = newest and Bill(relay.chain_id, relay.contract, voucher, newest.receipt, newest.signature, newest.ocmf)
    nonce = secrets.token_urlsafe(16)
    page = _TEMPLATES.get_template("session.html").render(
        nonce=nonce,
        session=session,
        voucher=voucher,
        newest=newest and newest.receipt,
        due=0 if newest is None else due(voucher, newest.receipt),
        live=_live(relay, session, voucher.plug),
        receipts=_last_receipts(relay, session),
        count=relay.store.count_receipts(session),
        settlements=[one for one in relay.store.settlements(session) if one.total_paid is not None and one.block_number is not None],
        refund_from=voucher.validUntil + GRACE_S + 1,
        qr=bill and _qr(bill),
        chain_id=relay.chain_id,
        contract=relay.contract,
        worth=lambda receipt: due(voucher, receipt),
    )
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    headers = {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    return HTMLResponse(page, headers=headers)


def _live(relay: Relay, session: bytes, plug: bytes) -> dict[str, Any] | None:
    """Return what the plug says of this very session now, None where it does not."""
    connection = relay.connections.get(plug)
    status = None if connection is None else connection.status
    if status is None or status.session != session:
        return None
    return {
        "state": status.state,
        "watts": f"{status.power_mw / 1000:,.0f}",
        "amperes": f"{status.current_ma / 1000:.1f}",
        "volts": f"{status.voltage_mv / 1000:.0f}",
        "waits_for": status.waits_for,
        "trip": status.trip,
        "at": status.at,
    }


def _last_receipts(relay: Relay, session: bytes) -> list[Any]:
    """Return the newest receipts, newest first."""
    newest = relay.store.newest_receipt(session)
    if newest is None:
        return []
    after = max(-1, newest.receipt.sequence - SHOWN_RECEIPTS)
    return [message.receipt for message in relay.store.receipts(session, after=after, limit=SHOWN_RECEIPTS)][::-1]


def _qr(bill: Bill) -> dict[str, str] | None:
    """Return the newest receipt as a QR code in SVG and as the text in it."""
    try:
        text = bill.to_text()
    except BadEvidence:  # right, but not as our firmware writes it
        return None
    return {"svg": _drawn(text), "text": text}


@lru_cache(maxsize=256)
def _drawn(text: str) -> str:
    """Return a QR code in SVG: a tenth of a second of work, and every reader of a session asks for the same one."""
    return segno.make(text, error="l", micro=False).svg_inline(border=4, light="#fff", omitsize=True)
