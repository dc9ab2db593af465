"""The one way to send a transaction, and to learn with proof what became of it."""

import re
import threading
import time
from dataclasses import dataclass

import rlp
from eth_account import Account
from eth_hash.auto import keccak

from wattseal.errors import ProofError, Reverted, RpcError, SubmissionError
from wattseal.gateway import contract, transactions
from wattseal.gateway.chain import Chain
from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.rpc import quantity, to_hex
from wattseal.gateway.types import Header
from wattseal.protocol import signatures

# A deployment takes about 2 million; an RPC's estimate is never believed beyond this.
MAX_GAS = 5_000_000
MAX_FEE_PER_GAS_WEI = 200 * 10**9
MAX_PRIORITY_FEE_PER_GAS_WEI = 5 * 10**9

_POLL_S = 0.05
_MAX_POLL_S = 2.0
_REVERTED = re.compile(r"revert(?:ed)?\b:?\s*(\w*)")


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A transaction in a block: all of the block's receipts are proven, `index` is this one's."""

    header: Header
    receipts: list[TransactionReceipt]
    index: int
    nonce: int

    @property
    def receipt(self) -> TransactionReceipt:
        """The transaction's own receipt."""
        return self.receipts[self.index]


class Submitter:
    """Sends transactions of one key, one at a time. Thread-safe; a key must not be used by two of them at once.

    The nonce is that of the newest block, not of the pending transactions: what a crash left pending is replaced, never doubled.
    """

    def __init__(self, chain: Chain, key: bytes, timeout_s: float = 120.0) -> None:
        """`key` is the 32-byte secret; `timeout_s` is how long a transaction may take to get into a block."""
        self._chain = chain
        self._key = key
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self.address = signatures.address(key)

    def submit(self, to: bytes | None, call: bytes, value: int = 0) -> Inclusion:
        """Send a transaction (`to` None creates a contract; `value` in wei) and wait until it is in a block.

        Raises Reverted when the contract refuses it, SubmissionError when it was not taken or did not get into a block in time,
        RpcError and ProofError.
        """
        with self._lock:
            transaction: dict[str, object] = {"from": to_hex(self.address), "data": to_hex(call), "value": to_hex(value)}
            if to is not None:
                transaction["to"] = to_hex(to)
            gas = self._estimate_gas(transaction)
            nonce = self._ask("nonce", "eth_getTransactionCount", to_hex(self.address), "latest")
            tx_hash = self._send(
                {"type": 2, "chainId": self._chain.chain_id, "nonce": nonce, "gas": gas, "to": to or b"", "value": value, "data": call}
            )
            inclusion = self._wait(tx_hash, nonce)
        if not inclusion.receipt.succeeded:
            raise Reverted(f"transaction {to_hex(tx_hash)} was reverted in block {inclusion.header.number}")
        return inclusion

    def _ask(self, name: str, method: str, *params: object) -> int:
        """Return a number that is the upstream's word."""
        return self._chain.upstreams.ask(lambda rpc: quantity(rpc.call(method, *params), name))

    def _estimate_gas(self, transaction: dict[str, object]) -> int:
        try:
            estimate = self._ask("gas estimate", "eth_estimateGas", transaction, "latest")
        except RpcError as error:
            match = _REVERTED.search(str(error))
            if error.rpc_code is not None and match:
                raise Reverted(f"the contract refuses the transaction: {match[1] or 'no reason given'}", match[1]) from error
            if error.rpc_code is not None:
                raise SubmissionError(f"the RPC does not take the transaction: {error}") from error
            raise
        if estimate > MAX_GAS:
            raise SubmissionError(f"the RPC estimates {estimate} gas, more than {MAX_GAS}; ask another RPC")
        return min(estimate * 5 // 4, MAX_GAS)

    def _send(self, transaction: dict[str, object]) -> bytes:
        """Sign and send, with higher fees while an earlier transaction of the same nonce is in the way. Returns the hash."""
        fee, priority_fee = self._fees()
        while True:
            fees = {"maxFeePerGas": fee, "maxPriorityFeePerGas": priority_fee}
            signed = Account.from_key(self._key).sign_transaction({**transaction, **fees})
            try:
                return self._chain.send(transactions.decode(bytes(signed.raw_transaction)))
            except RpcError as error:
                if error.rpc_code is None:
                    raise
                if "underpriced" not in str(error).lower() or fee == MAX_FEE_PER_GAS_WEI:
                    raise SubmissionError(f"the RPC does not take the transaction: {error}") from error
                # EIP-1559 pools replace a transaction for at least a tenth more of both fees
                fee, priority_fee = min(fee * 9 // 8 + 1, MAX_FEE_PER_GAS_WEI), min(priority_fee * 9 // 8 + 1, fee)

    def _fees(self) -> tuple[int, int]:
        base_fee = self._chain.headers.latest().base_fee_per_gas
        suggested = self._ask("priority fee", "eth_maxPriorityFeePerGas")
        priority_fee = min(suggested, MAX_PRIORITY_FEE_PER_GAS_WEI)
        if base_fee + priority_fee > MAX_FEE_PER_GAS_WEI:
            raise SubmissionError(f"gas costs {base_fee + priority_fee} wei, the limit is {MAX_FEE_PER_GAS_WEI}; wait until it is cheaper")
        return min(2 * base_fee + priority_fee, MAX_FEE_PER_GAS_WEI), priority_fee

    def _wait(self, tx_hash: bytes, nonce: int) -> Inclusion:
        deadline = time.monotonic() + self._timeout_s
        pause_s = _POLL_S
        while (found := self._chain.find_transaction(tx_hash)) is None:
            if time.monotonic() > deadline:
                raise SubmissionError(f"transaction {to_hex(tx_hash)} is in no block after {self._timeout_s:.0f} s; call again")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_POLL_S)
        block, index = found
        return Inclusion(block.header, self._chain.receipts(block), index, nonce)


def deploy(chain: Chain, key: bytes) -> bytes:
    """Deploy Wattseal.vy, paid by `key`. Returns the contract's address (20 bytes), whose code is proven to be there. Raises GatewayError."""
    submitter = Submitter(chain, key)
    inclusion = submitter.submit(None, contract.BYTECODE)
    address = keccak(rlp.encode([submitter.address, inclusion.nonce]))[-20:]
    if not chain.has_code(inclusion.header, address):
        raise ProofError(f"no contract at {to_hex(address)} after its deployment in block {inclusion.header.number}")
    return address
