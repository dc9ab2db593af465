"""Sessions and receipts of two of them, signed once."""

from wattseal.store import Added, Store

from tests.host_tools.conftest import Actors

ACTORS = Actors()
SESSIONS = [ACTORS.session(ACTORS.voucher(nonce=nonce)) for nonce in (1, 2)]
# Two different receipts for every key; whether they fit together is not the store's business.
RECEIPTS = {
    (session.session, sequence, variant): ACTORS.receipt_message(session.session, sequence, final=sequence == 4, energyWh=100 * sequence + variant)
    for session in SESSIONS
    for sequence in range(5)
    for variant in range(2)
}


def add(store: Store, session: int, sequence: int, variant: int = 0) -> Added:
    return store.add_receipt(ACTORS.plug, RECEIPTS[SESSIONS[session].session, sequence, variant])
