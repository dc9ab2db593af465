"""Reads and settles sessions; believes nothing that is not proven against a header."""

import threading
import time
from collections.abc import Sequence

from wattseal.errors import ConfigError, GatewayError, ProofError, SubmissionError
from wattseal.gateway.chain import Chain
from wattseal.gateway.contract import balance_slot, call_data, events, session_slot, session_state
from wattseal.gateway.mempool import Limits
from wattseal.gateway.paid import is_withdrawn
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.settlements import Finality, Settlements, Step
from wattseal.gateway.submit import FIRST_POLL_S, LONGEST_POLL_S, Inclusion, Submitter
from wattseal.gateway.transaction_log import TransactionLog
from wattseal.gateway.types import Claim, Header, Sent, SessionState, Settlement
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Receipt, Voucher


class Gateway:
    """The contract at one address of a chain. Thread-safe."""

    def __init__(
        self,
        chain: Chain,
        contract: bytes,
        key: bytes | None = None,
        *,
        log: TransactionLog | None = None,
        limits: Limits | None = None,
        finality: Finality = Finality.FINAL,
        timeout_s: float = 120.0,
    ) -> None:
        """`key`, the 32-byte secret that pays for gas, is needed for sending only; `log` keeps what it sends over a restart.

        `timeout_s` bounds the wait of `submit` and `settle` for a block. Nothing is asked of the chain yet.
        """
        self.chain = chain
        self.contract = contract
        self.domain = domain_separator(chain.chain_id, contract)
        self._timeout_s = timeout_s
        self._submitter = Submitter(chain, key, log, limits, timeout_s) if key is not None else None
        self._settlements = Settlements(chain, contract, self._submitter, finality, self._slots)
        self._contract_seen = False
        self._settling = threading.Lock()

    @property
    def basis(self) -> str:
        """What everything this gateway says rests on, in words."""
        return self.chain.basis

    def head_timestamp(self) -> int:
        """Return the newest header's time in UTC seconds. Raises RpcError, ProofError."""
        return self.chain.headers.latest().timestamp

    def base_fee_wei(self) -> int:
        """Return the newest header's base fee for a unit of gas. Raises RpcError, ProofError."""
        return self.chain.headers.latest().base_fee_per_gas

    @property
    def sender(self) -> bytes | None:
        """The address of the key (20 bytes), None without one."""
        return None if self._submitter is None else self._submitter.address

    def session_state(self, session: bytes) -> SessionState:
        """Return a session's proven state at the newest header. Raises RpcError, ProofError."""
        return self._state(self.chain.headers.latest(), session)

    def balance_of(self, owner: bytes, token: bytes) -> int:
        """Return the proven balance of an address in the contract, in units of the token (20 bytes; zeros: wei). Raises RpcError, ProofError."""
        return self._slots(self.chain.headers.latest(), balance_slot(owner, token))[0]

    def settle(self, voucher: Voucher, receipt: Receipt, plug_signature: bytes) -> Settlement:
        """Have the contract pay for a receipt, wait until it is in a block, and return what is proven to have happened.

        `plug_signature` is 65 or 128 bytes. Safe to repeat: where the chain already paid for this receipt or a later one, that settlement
        is found, proven and returned. Call again to see it become final.
        Raises SettlementRefused or Reverted when the receipt will not be paid, SubmissionError when it may be later, RpcError, ProofError.
        """
        deadline = time.monotonic() + self._timeout_s
        pause_s = FIRST_POLL_S
        while True:
            match self.settle_many([Claim(voucher, receipt, plug_signature)])[0]:
                case Settlement() as settlement:
                    return settlement
                case GatewayError() as error:
                    raise error
                case step if time.monotonic() > deadline:
                    sent = f"transaction {to_hex(step.tx_hash)}" if isinstance(step, Sent) else "an earlier transaction"
                    raise SubmissionError(f"{sent} is in no block after {self._timeout_s:.0f} s; call again")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_POLL_S)

    def settle_many(self, claims: Sequence[Claim]) -> list[Step]:
        """Take each claim a step towards its payment, and wait for nothing: what is owed is sent in batches of up to 100, one at a time.

        Returns where each claim stands: `Settlement` with what is proven (it counts once it is `final`), `Sent`, None while another
        transaction has to be in a block first, or the error for which it is not paid. Call again with the same claims until all are
        settled; after a restart, too. Raises RpcError, ProofError, StoreError where nothing can be said of any, ConfigError without a key.
        """
        with self._settling:
            return self._settlements.step(claims)

    def withdraw(self, owner: bytes, token: bytes) -> int:
        """Have the contract send an address's whole balance of a token to it. Returns the proven amount in its units. Raises GatewayError."""
        inclusion = self.submit(call_data("withdraw", owner, token))
        for event in events(inclusion.receipt, self.contract):
            if is_withdrawn(event, owner, token):
                return event.words[0]
        raise ProofError(f"the transaction in block {inclusion.header.number} succeeded, but withdrew nothing for {to_hex(owner)}")

    def submit(self, call: bytes, value: int = 0) -> Inclusion:
        """Send a call to the contract with this gateway's key. Raises ConfigError without one, else as `Submitter.submit` does."""
        if self._submitter is None:
            raise ConfigError("this gateway has no key to send transactions with; give it one")
        return self._submitter.submit(self.contract, call, value)

    def _state(self, header: Header, session: bytes) -> SessionState:
        return session_state(self._slots(header, session_slot(session))[0])

    def _slots(self, header: Header, *slots: int) -> list[int]:
        """Return slots of the contract, which must be there: an address without one would pass for a contract without sessions."""
        if not self._contract_seen:
            if not self.chain.has_code(header, self.contract):
                raise ProofError(f"there is no contract at {to_hex(self.contract)} in block {header.number}; is it deployed on this chain?")
            self._contract_seen = True
        return self.chain.slots(header, self.contract, list(slots))
