"""A session's money on chain: locked, settled, refunded, paid out. Needs an RPC and what the driver holds, never the host's relay.

Each function is safe to repeat: it looks at the proven state first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from wattseal.driver.contents import Session
from wattseal.driver.folder import DriverFolder
from wattseal.driver.terms import NATIVE_COIN, cap_step
from wattseal.errors import ProofError, WalletError
from wattseal.gateway.chain import Chain
from wattseal.gateway.client import Gateway
from wattseal.gateway.contract import STATUS_CLOSED, STATUS_NONE, STATUS_OPEN, call_data
from wattseal.gateway.mempool import Limits, suggested_fees
from wattseal.gateway.submit import Submitter
from wattseal.protocol import signatures
from wattseal.protocol.amounts import both, local_and_utc
from wattseal.protocol.messages import to_hex
from wattseal.protocol.typed_data import GRACE_S, START_WINDOW_S

# Of every call that a session may need, with what `Submitter` adds to estimates: open, settle or refund, withdraw_to, one transfer.
SESSION_GAS = 300_000
_TRANSFER_GAS = 21_000 * 5 // 4
_MARGIN = 9  # eighths: the fee may have risen by one of them when a transaction is sent


@dataclass(frozen=True)
class Standing:
    """A session on chain, proven at one moment: `status` and `paid` of its slot, the driver's balance in the contract, coins at its address (wei)."""

    status: int
    paid: int
    refundable: int
    coins: int
    head_timestamp: int


def standing(chain: Chain, session: Session) -> Standing:
    """Return what is proven of a session at the newest header. Raises GatewayError."""
    gateway = Gateway(chain, session.contract)
    state = gateway.session_state(session.id)
    driver = session.voucher.driver
    return Standing(state.status, state.paid, gateway.balance_of(driver, NATIVE_COIN), coins_at(chain, driver), gateway.head_timestamp())


def coins_at(chain: Chain, address: bytes) -> int:
    """Return the proven coins at an address, in wei. Raises GatewayError."""
    account = chain.account(chain.headers.latest(), address)
    return 0 if account is None else account.balance


def to_send(chain: Chain, cap: int) -> int:
    """Return what a session's address should hold before its lock is opened: the cap, and a coarse step of gas. Raises GatewayError."""
    return cap + cap_step(SESSION_GAS * _fee(chain))


def lock(folder: DriverFolder, chain: Chain, session: Session, key: bytes) -> None:
    """Lock a session's cap, paid by `key` (32 bytes): the session's own, or anybody's. Returns once the lock is proven open.

    Raises WalletError (no money, too late, not accepted by the plug), GatewayError.
    """
    if not folder.is_accepted(session) and not folder.is_locking(session):
        raise WalletError("the plug has not accepted this voucher, so a lock would bind money for nothing: repeat `wattseal driver voucher`")
    voucher, gateway = session.voucher, Gateway(chain, session.contract, key)
    status = gateway.session_state(session.id).status
    if status == STATUS_OPEN:
        return
    if status == STATUS_CLOSED:
        raise WalletError(f"session {to_hex(session.id)} is closed: get a new voucher with `wattseal driver voucher`")
    latest = min(voucher.issuedAt + START_WINDOW_S, voucher.validUntil - 1)
    if gateway.head_timestamp() > latest:
        raise WalletError(f"the lock could be opened until {local_and_utc(latest)}: get a new voucher with `wattseal driver voucher`")
    payer = signatures.address(key)
    have, need = coins_at(chain, payer), voucher.cap + SESSION_GAS * _fee(chain) // 2
    if have < need:
        raise WalletError(
            f"{to_hex(payer)} holds {both(have)}, too little for the cap of {both(voucher.cap)} and gas: "
            f"send it {both(to_send(chain, voucher.cap) - have)} and repeat this until {local_and_utc(latest)}"
        )
    # the driver's own call needs no signature, and one that is not published links nothing
    signature = b"" if payer == voucher.driver else session.signature
    folder.mark_locking(session)
    gateway.submit(call_data("open", voucher, signature), value=voucher.cap)
    if gateway.session_state(session.id).status == STATUS_NONE:
        raise ProofError(f"session {to_hex(session.id)} is not proven open after the block that was to open it; is this Wattseal's contract?")


def refund(chain: Chain, session: Session, key: bytes) -> None:
    """Close a lock after the time for claims; its rest is then in the driver's balance. Raises WalletError (too early, not open), GatewayError."""
    gateway = Gateway(chain, session.contract, key)
    status, deadline = gateway.session_state(session.id).status, session.voucher.validUntil + GRACE_S
    if status == STATUS_CLOSED:
        return
    if gateway.head_timestamp() <= deadline:
        raise WalletError(
            f"the host can claim until {local_and_utc(deadline)}, and a refund is possible after that; "
            "if you hold the final receipt, `wattseal driver settle` gives you the rest now"
        )
    if status == STATUS_NONE:
        raise WalletError(f"session {to_hex(session.id)} holds nothing: it was never opened, or is closed; `wattseal driver withdraw` pays out")
    gateway.submit(call_data("refund", session.voucher))


def withdraw(chain: Chain, contract: bytes, key: bytes, receiver: bytes, payer: bytes | None, say: Callable[[str], None]) -> None:
    """Send all money of a session's key (32 bytes), in the contract and at its address, to a receiver (20 bytes); `say` is told each step.

    `payer` is another key, which pays for gas where the address has no coins. Raises WalletError, GatewayError.
    """
    gateway = Gateway(chain, contract, key)
    driver = signatures.address(key)
    owed, have, fee = gateway.balance_of(driver, NATIVE_COIN), coins_at(chain, driver), _fee(chain)
    if owed and have < SESSION_GAS * fee // 3:
        if payer is None:
            raise WalletError(f"{to_hex(driver)} holds {both(have)}, too little for gas: name a key that pays with --payer, or send it some coins")
        say(f"the contract pays {both(owed)} to the session's own address")
        Gateway(chain, contract, payer).withdraw(driver, NATIVE_COIN)
    elif owed:
        say(f"the contract pays {both(owed)} to {to_hex(receiver)}")
        gateway.submit(call_data("withdraw_to", receiver, NATIVE_COIN))
    rest = coins_at(chain, driver) - _TRANSFER_GAS * _fee(chain)
    if rest > 0:
        say(f"the session's address sends {both(rest)} to {to_hex(receiver)}; its last coins stay behind for gas that was not used")
        Submitter(chain, key).submit(receiver, b"", rest)
    elif not owed:
        raise WalletError(f"there is nothing to pay out: the contract owes nothing, and {to_hex(driver)} holds {both(have)}")


def _fee(chain: Chain) -> int:
    """Return the price of gas, in wei, that a transaction may be sent with in the next minute. Raises GatewayError."""
    fee, _ = suggested_fees(chain, chain.headers.latest(), Limits())
    return fee * _MARGIN // 8
