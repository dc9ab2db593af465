"""What the gateway hands to the rest of the host side."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """An execution block header whose hash was recomputed from its fields. Time in UTC seconds, fee in wei."""

    number: int
    hash: bytes
    timestamp: int
    state_root: bytes
    receipts_root: bytes
    base_fee_per_gas: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session's storage slot. `status` is one of the `STATUS_*` values of `gateway.contract`; `paid` is in token base units."""

    status: int
    paid: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The proven effect of one settlement.

    `paid` is what this transaction paid and `total_paid` what the session has been paid with it, in token base units.
    `proof_verified` says that transaction, receipt, event and storage were proven against a header.
    """

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    gas_used: int
    paid: int
    total_paid: int
    proof_verified: bool
