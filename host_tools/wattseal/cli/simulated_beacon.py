"""`wattseal simulated-beacon`: a beacon node that is none, in front of a development chain."""

import time
from contextlib import suppress
from typing import Annotated

import typer

from wattseal.cli import serving

EXAMPLES = """
Examples:

  anvil --hardfork osaka & wattseal simulated-beacon --rpc http://127.0.0.1:8545 --chain-id 31337

  wattseal gateway --chain-id 31337 --rpc http://127.0.0.1:8545 --simulated-beacon http://127.0.0.1:8548

  curl -X POST http://127.0.0.1:8548/simulated/misbehave/wrong_committee

Exit codes: 0 stopped in order, 1 cannot start (one line on stderr says why), 2 wrong usage.
"""

_GENESIS_AGE_S = 64  # so that there is something final from the start


def simulated_beacon(
    rpc: Annotated[str, typer.Option(help="JSON-RPC of the development chain, http://...; it is believed.")],
    chain_id: Annotated[int, typer.Option(min=1, help="Chain id; not one of a network that has a beacon chain.")],
    listen: Annotated[str, typer.Option(help="Where to listen, HOST:PORT of the loopback.")] = "127.0.0.1:8548",
    final_after: Annotated[int, typer.Option(min=1, max=64, help="Slots after which a block is final.")] = 16,
    pace: Annotated[int, typer.Option(min=1, max=100, help="Slots in a second; what vouches for nothing need not be slow.")] = 1,
) -> None:
    """Simulate a beacon node for development: sign the blocks of a development chain with a committee that anybody can be.

    Everything that follows a real chain with --beacon follows this one with --simulated-beacon. What it signs proves nothing. A chain that has
    nothing but its block 0 gets a block more (evm_mine), since anvil proves nothing of block 0.

    When it listens, one line of JSON goes to stdout: {"ready": true, "simulated": true, "listen": "127.0.0.1:8548"}.
    POST /simulated/misbehave/{fork, stall, equivocate, wrong_committee, old_signature, short_participation, none} makes it do wrong.
    """
    address = serving.address(listen)

    from wattseal.errors import RpcError
    from wattseal.gateway.rpc import Rpc, quantity
    from wattseal.gateway.simulated_beacon import SimulatedBeacon
    from wattseal.gateway.simulated_network import SimulatedClock, simulated_network
    from wattseal.loopback import LoopbackOnly

    genesis_time_s = int(time.time()) - _GENESIS_AGE_S
    network = simulated_network(chain_id, genesis_time_s)
    serving.log_to_stderr()
    chain = Rpc(rpc)
    if quantity(chain.call("eth_blockNumber"), "block number") == 0:
        with suppress(RpcError):  # not anvil, whose proofs for its block 0 do not fit that block
            chain.call("evm_mine")
    beacon = SimulatedBeacon(chain, network, SimulatedClock(genesis_time_s, pace), final_after)
    listener = serving.listener(*address, "--listen")
    if not serving.is_loopback(listener):
        raise typer.BadParameter("is not of the loopback: nobody else should take what is simulated for real", param_hint="--listen")
    serving.serve(LoopbackOnly(beacon.app()), listener, simulated=True)
