"""A driver's side of the contract."""

from wattseal.errors import ProofError, SubmissionError
from wattseal.gateway.chain import Chain
from wattseal.gateway.client import Gateway
from wattseal.gateway.contract import STATUS_NONE, STATUS_OPEN, call_data
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.types import SessionState
from wattseal.protocol import signatures
from wattseal.protocol.messages import Voucher


class Wallet(Gateway):
    """A gateway with a driver's key."""

    def __init__(self, chain: Chain, contract: bytes, key: bytes) -> None:
        """`key` is the driver's 32-byte secret: it signs vouchers and pays for locks and gas."""
        super().__init__(chain, contract, key)
        self._key = key
        self.address = signatures.address(key)

    def sign(self, voucher: Voucher) -> bytes:
        """Return the driver's signature over a voucher, 65 bytes."""
        return signatures.sign(self._key, voucher.digest(self.domain))

    def open(self, voucher: Voucher) -> SessionState:
        """Lock the voucher's cap; return the session's proven state, which is open. Safe to repeat. Raises GatewayError."""
        session = voucher.digest(self.domain)
        state = self.session_state(session)
        if state.status == STATUS_OPEN:
            return state
        if state.status != STATUS_NONE:
            raise SubmissionError(f"session {to_hex(session)} is closed; ask the plug for a new offer")
        inclusion = self.submit(call_data("open", voucher, self.sign(voucher)), value=voucher.cap)
        state = self._state(inclusion.header, session)
        if state != SessionState(STATUS_OPEN, 0):
            raise ProofError(f"session {to_hex(session)} is proven to be {state} after the block that was to open it")
        return state
