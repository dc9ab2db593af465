"""What the gateway hands to the rest of the host side."""

from dataclasses import dataclass

from wattseal.protocol.messages import Receipt, Voucher


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
class Claim:
    """What the contract pays for: a receipt under its voucher, and the plug's signature of it, 65 or 128 bytes."""

    voucher: Voucher
    receipt: Receipt
    plug_signature: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A settlement whose transaction is durable here and on its way; a dearer one may take its place before it is in a block."""

    tx_hash: bytes


@dataclass(frozen=True, slots=True)
class Settlement:
    """The proven effect of one settlement.

    `paid` is what this transaction paid and `total_paid` what the session has been paid with it, in token base units.
    `proof_verified` says that transaction, receipt, event and storage were proven against a header. `final` says that this header can no more be
    replaced, or that the gateway was told not to wait for that; only then does the settlement count.
    """

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    gas_used: int
    paid: int
    total_paid: int
    proof_verified: bool
    final: bool
