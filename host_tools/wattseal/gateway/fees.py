"""What gas costs, from proven blocks alone: the next base fee follows from a header, tips from the transactions that were taken."""

from dataclasses import dataclass
from itertools import islice

from wattseal.gateway.blocks import next_base_fee
from wattseal.gateway.chain import Chain
from wattseal.gateway.executed import Executed
from wattseal.gateway.types import Header

# What is offered where the newest block holds no transaction to learn from.
DEFAULT_TIP_WEI = 10**9


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """Base fees (oldest first, one more than blocks: the next block's), the part of the gas limit used, tips by percentile (empty if not asked)."""

    oldest: int
    base_fees: list[int]
    gas_used_ratios: list[float]
    rewards: list[list[int]]


def tip(chain: Chain, head: Header) -> int:
    """Return the median tip in wei that the transactions of `head`'s block paid. Raises RpcError, ProofError."""
    tips = sorted(tx.effective_gas_price(head.base_fee_per_gas) - head.base_fee_per_gas for tx in chain.block(head).transactions)
    return tips[len(tips) // 2] if tips else DEFAULT_TIP_WEI


def history(chain: Chain, newest: Header, blocks: int, percentiles: list[float]) -> FeeHistory:
    """Return the fees of so many blocks up to `newest`. Raises RpcError, ProofError."""
    fulls = list(islice(chain.known.back_from(newest.hash), blocks))[::-1]
    return FeeHistory(
        oldest=fulls[0].header.number,
        base_fees=[*(full.header.base_fee_per_gas for full in fulls), next_base_fee(fulls[-1])],
        gas_used_ratios=[full.number_of("gasUsed") / full.number_of("gasLimit") for full in fulls],
        rewards=[_percentiles(chain.executed(full.header), percentiles) for full in fulls] if percentiles else [],
    )


def _percentiles(executed: Executed, percentiles: list[float]) -> list[int]:
    """Return the tips below which so many hundredths of the block's gas were bought."""
    base_fee = executed.block.header.base_fee_per_gas
    prices = (tx.effective_gas_price(base_fee) for tx in executed.block.transactions)
    bought = sorted((price - base_fee, receipt.gas_used) for price, receipt in zip(prices, executed.receipts, strict=True))
    total = sum(gas for _, gas in bought)
    return [_reached(bought, total * percentile / 100) for percentile in percentiles]


def _reached(bought: list[tuple[int, int]], gas: float) -> int:
    seen = 0
    for offered, used in bought:
        seen += used
        if seen >= gas:
            return offered
    return 0
