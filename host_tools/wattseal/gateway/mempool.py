"""What servers say of a transaction before it is in a block: what it may need, what it may cost, whether they take it. None of it proves anything."""

import re
from dataclasses import dataclass

from wattseal.errors import Reverted, RpcError, SubmissionError
from wattseal.gateway import fees
from wattseal.gateway.blocks import next_base_fee
from wattseal.gateway.chain import Chain
from wattseal.gateway.rpc import Rpc, quantity, to_hex
from wattseal.gateway.transactions import Transaction
from wattseal.gateway.types import Header

# A deployment takes about 2 million, a full batch of settlements 4 to 5; an RPC's estimate is never believed beyond this.
MAX_GAS = 8_000_000

_REVERTED = re.compile(r"revert(?:ed)?\b:?\s*(\w*)")
# What the clients' pools say (geth, Erigon, Nethermind, Besu, Reth, anvil), in small letters.
_TOO_CHEAP = ("underpriced", "fee too low", "feetoolow", "tip too low", "price too low", "base fee", "replacementnotallowed")
_NOTHING_NEW = ("known transaction", "nonce too low", "oldnonce")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a unit of gas may cost in all and as a tip, in wei; and after how many seconds in no block a transaction is made dearer, or sent again."""

    max_fee_wei: int = 200 * 10**9
    max_tip_wei: int = 5 * 10**9
    stuck_s: float = 60.0
    resend_s: float = 12.0


class TooCheap(Exception):
    """A server wants higher fees before it takes a transaction."""


def estimate_gas(chain: Chain, sender: bytes, to: bytes | None, call: bytes, value: int) -> int:
    """Return a gas limit: the highest usable estimate and a quarter more.

    Raises Reverted where every server says that the contract refuses, SubmissionError where none has an estimate to use, RpcError.
    """
    transaction = {"from": to_hex(sender), "data": to_hex(call), "value": to_hex(value), **({} if to is None else {"to": to_hex(to)})}

    def estimate(rpc: Rpc) -> int:
        return quantity(rpc.call("eth_estimateGas", transaction, "latest"), "gas estimate")

    try:
        estimates = [answer for _, answer in chain.upstreams.each(estimate)]
    except RpcError as error:
        match = _REVERTED.search(str(error))
        if error.rpc_code is not None and match:
            raise Reverted(f"the contract refuses the transaction: {match[1] or 'no reason given'}", match[1]) from error
        if error.rpc_code is not None:
            raise SubmissionError(f"the RPC does not take the transaction: {error}") from error
        raise
    usable = [answer for answer in estimates if answer <= MAX_GAS]
    if not usable:
        raise SubmissionError(f"the RPC estimates {min(estimates)} gas, more than {MAX_GAS}; ask another RPC")
    return min(max(usable) * 5 // 4, MAX_GAS)


def suggested_fees(chain: Chain, head: Header, limits: Limits) -> tuple[int, int]:
    """Return fee and tip in wei: room for the base fee to double, and the newest block's own tip. Raises SubmissionError above the limit."""
    base_fee = next_base_fee(chain.known.full(head.hash))
    tip = min(fees.tip(chain, head), limits.max_tip_wei)
    if base_fee + tip > limits.max_fee_wei:
        raise SubmissionError(f"gas costs {base_fee + tip} wei, the limit is {limits.max_fee_wei}; wait until it is cheaper")
    return min(2 * base_fee + tip, limits.max_fee_wei), tip


def dearer(fee: int) -> int:
    """Return an eighth more: pools want a tenth before one transaction takes another's place."""
    return fee * 9 // 8 + 1


def broadcast(chain: Chain, transaction: Transaction) -> None:
    """Hand a transaction to the servers. Raises TooCheap, SubmissionError where all refuse it, RpcError where none answers."""
    try:
        chain.send(transaction)
    except RpcError as error:
        answer = str(error).lower()
        if error.rpc_code is None:
            raise
        if any(words in answer for words in _TOO_CHEAP):
            raise TooCheap(str(error)) from error
        if not any(words in answer for words in _NOTHING_NEW):  # else it is in the pool, or a block not vouched for yet has its nonce
            raise SubmissionError(f"the RPC does not take the transaction: {error}") from error
