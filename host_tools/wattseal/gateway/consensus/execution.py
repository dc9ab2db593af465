"""The execution block that a verified light-client header carries."""

from wattseal.errors import UpdateNotUsable
from wattseal.gateway.consensus.containers import LightClientHeader
from wattseal.gateway.consensus.networks import Fork, Network
from wattseal.gateway.types import Header


def execution_header(network: Network, header: LightClientHeader) -> Header:
    """Return the execution header of a header that was verified (`is_valid_light_client_header`).

    Raises UpdateNotUsable before Capella, where light-client headers carry none.
    """
    if network.fork(header.beacon.slot) < Fork.CAPELLA:
        raise UpdateNotUsable(f"slot {header.beacon.slot} is before Capella: its light-client header carries no execution block")
    execution = header.execution
    return Header(
        number=execution.block_number,
        hash=execution.block_hash,
        timestamp=execution.timestamp,
        state_root=execution.state_root,
        receipts_root=execution.receipts_root,
        base_fee_per_gas=execution.base_fee_per_gas,
    )
