"""Canonical headers that the sync committee signed, instead of the RPC's word (`HeaderSource`)."""

import threading
import time
from itertools import islice

from wattseal.errors import ConfigError, ProofError, RpcError, TimeUp, WattsealError
from wattseal.gateway import proofs
from wattseal.gateway.consensus.containers import LightClientHeader
from wattseal.gateway.consensus.execution import execution_header
from wattseal.gateway.consensus.light_client import LightClient
from wattseal.gateway.consensus.networks import Fork
from wattseal.gateway.time_limit import held, left_s
from wattseal.gateway.types import Header
from wattseal.gateway.upstreams import Upstreams

# EIP-2935: since Prague this contract holds the hashes of the last 8191 blocks, block n's in slot n % 8191.
_HISTORY = bytes.fromhex("0000F90827F1C53a10cb7A02335B175320002935")
_HISTORY_BLOCKS = 8191
# Beyond the history every block in between is fetched.
_MAX_WALK_BLOCKS = 10_000
_POLL_S = 0.5


class SyncCommitteeHeaders:
    """Headers on the branch that ends in the newest header signed by the sync committee. Thread-safe."""

    def __init__(self, client: LightClient, upstreams: Upstreams, timeout_s: float = 60.0) -> None:
        """`upstreams` serve the older headers, each of which is checked by its hash. `timeout_s` bounds the wait for a signature.

        Raises ConfigError where they are of another chain than the light client.
        """
        if upstreams.chain_id != client.network.chain_id:
            raise ConfigError(f"the servers are asked for chain {upstreams.chain_id}, the light client follows {client.network.chain_id}")
        self.basis = f"header signed by the sync committee of {client.network.name}"
        self._client = client
        self._upstreams = upstreams
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._trouble: WattsealError | None = None  # what came of asking

    def latest(self) -> Header:
        """Return the newest signed header; it may still be replaced. Raises GatewayError."""
        return self._execution(self._advanced(final=False))

    def finalized(self) -> Header:
        """Return the newest final header. Raises GatewayError."""
        return self._execution(self._advanced(final=True))

    def by_number(self, number: int) -> Header:
        """Return the canonical header of that number, waiting until the committee has signed one at or after it.

        Raises RpcError when it does not in time or the header is too old, ProofError, BeaconError.
        """
        deadline = time.monotonic() + self._timeout_s
        while (head := self._advanced(final=False)).execution.block_number < number:
            if time.monotonic() > deadline:
                raise RpcError(
                    f"block {number} is not signed by the sync committee after {self._timeout_s:.0f} s; the newest is {head.execution.block_number}"
                )
            time.sleep(min(_POLL_S, left_s()))
        newest = self._execution(head)
        if number == newest.number:
            return newest
        return self._walk(number, *self._nearest(number, head, newest))

    def _nearest(self, number: int, head: LightClientHeader, newest: Header) -> tuple[int, bytes]:
        """Return the number and hash of a block at or after `number` whose hash is proven."""
        in_history = max(number, newest.number - _HISTORY_BLOCKS)
        if in_history < newest.number - 1 and self._client.network.fork(head.beacon.slot) >= Fork.ELECTRA:
            found = self._upstreams.ask(lambda rpc: proofs.storage(rpc, newest, _HISTORY, [in_history % _HISTORY_BLOCKS])[0])
            if found:  # empty for blocks before Prague
                return in_history, found.to_bytes(32)
        return newest.number - 1, head.execution.parent_hash

    def _walk(self, number: int, start: int, block_hash: bytes) -> Header:
        """Return the header of `number`, following parents from block `start`."""
        if start - number > _MAX_WALK_BLOCKS:
            raise RpcError(f"block {number} is {start - number} blocks before what can be proven at once; at most {_MAX_WALK_BLOCKS} are followed")
        for full in islice(self._upstreams.known.back_from(block_hash), start - number, None):
            if full.header.number == number:
                return full.header
            break
        raise ProofError(f"the block that is {start - number} before block {start} has another number than {number}")

    def _execution(self, header: LightClientHeader) -> Header:
        return execution_header(self._client.network, header)

    def _advanced(self, final: bool) -> LightClientHeader:
        """Return the light client's newest header; ask for a newer one where there can be one, a few times a slot."""
        network = self._client.network
        with held(self._lock):
            now = self._client.clock()
            if abs(now - self._asked_at) >= min(1.0, network.seconds_per_slot / 4):
                self._asked_at, self._trouble = now, None
                try:
                    self._client.advance()
                except TimeUp:  # of this question only
                    self._asked_at = float("-inf")
                    raise
                except WattsealError as error:
                    self._trouble = error
                    raise
            elif self._trouble is not None:  # else the next to ask would get a head that may be hours old
                raise self._trouble.with_traceback(None)
            return self._client.finalized_header if final else self._client.optimistic_header
