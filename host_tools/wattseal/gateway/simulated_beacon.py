"""A simulated beacon node for development: wraps a development chain's blocks in light-client objects of a simulated committee.

It serves the beacon API's light-client paths, so that everything that follows a real chain can run against anvil. Its committee is 32 keys
of its own: what it signs proves nothing but that the verified path works. It misbehaves on command.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wattseal.errors import GatewayError
from wattseal.gateway.consensus.containers import ExecutionPayloadHeader, LightClientUpdate, schema
from wattseal.gateway.consensus.networks import Network
from wattseal.gateway.header import verify_header
from wattseal.gateway.rpc import Rpc, data, field, quantity
from wattseal.gateway.simulated_committee import SimulatedBlock, SimulatedChain
from wattseal.gateway.simulated_network import NETWORK_PATH, SimulatedClock

FINAL_AFTER_SLOTS = 16
# Heads that are kept when a new one comes; an older slot is made again where somebody asks for it.
MAX_HEADS = 256
_PREFIX = "/eth/v1/beacon/light_client/"
_GENESIS = "/eth/v1/beacon/genesis"


class Misbehaviour(StrEnum):
    """What a simulated beacon can do wrong."""

    NONE = "none"
    FORK = "fork"  # a head with an execution block that the chain never had
    STALL = "stall"  # the same head for ever
    EQUIVOCATE = "equivocate"  # two heads of one slot, in turn
    WRONG_COMMITTEE = "wrong_committee"
    OLD_SIGNATURE = "old_signature"  # the signature of the head before
    SHORT_PARTICIPATION = "short_participation"  # a third signs


@dataclass(frozen=True, slots=True)
class _Head:
    block: SimulatedBlock
    execution: ExecutionPayloadHeader


class SimulatedBeacon:
    """Wraps the newest block of `rpc`'s chain in each slot in which somebody asks. Thread-safe."""

    def __init__(self, rpc: Rpc, network: Network, clock: SimulatedClock, final_after_slots: int = FINAL_AFTER_SLOTS) -> None:
        """Reads the chain's newest block at once. Raises RpcError, ProofError."""
        self.network = network
        self.misbehaviour = Misbehaviour.NONE
        self._rpc = rpc
        self._clock = clock
        self._final_after_slots = final_after_slots
        self._chain = SimulatedChain(network)
        self._lock = threading.RLock()
        self._heads: dict[int, _Head] = {}
        self._odd = False
        self._head(self._final_slot())

    @property
    def checkpoint(self) -> bytes:
        """The root of a block that is final now."""
        with self._lock:
            return self._head(self._final_slot()).block.root

    def app(self) -> Starlette:
        """Return the web application; POST /simulated/misbehave/{kind} makes it misbehave, with "none" behave again."""
        routes = [
            Route(_GENESIS, self._guarded(self._serve_genesis)),
            Route(_PREFIX + "bootstrap/{root}", self._guarded(self._serve_bootstrap)),
            Route(_PREFIX + "updates", self._guarded(self._serve_updates)),
            Route(_PREFIX + "finality_update", self._guarded(lambda _: self._object("finality_update", self._update()))),
            Route(_PREFIX + "optimistic_update", self._guarded(lambda _: self._object("optimistic_update", self._update()))),
            Route(NETWORK_PATH, self._guarded(self._serve_network)),
            Route("/simulated/misbehave/{kind}", self._serve_misbehave, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _guarded(self, answer: Callable[[Request], Any]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            with self._lock:
                try:
                    found = answer(request)
                except GatewayError as error:
                    return JSONResponse({"code": 503, "message": str(error)}, 503, headers={"retry-after": "1"})
            return JSONResponse({"code": 404, "message": "not found"}, 404) if found is None else JSONResponse(found)

        return endpoint

    def _serve_misbehave(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in list(Misbehaviour):
            return JSONResponse({"code": 404, "message": f"no misbehaviour {kind}; there are {', '.join(Misbehaviour)}"}, 404)
        self.misbehaviour = Misbehaviour(kind)
        return Response(status_code=204)

    def _serve_genesis(self, _: Request) -> Any:
        root, version = self.network.genesis_validators_root, self.network.forks[0][2]
        times = {"genesis_time": str(self.network.genesis_time_s), "genesis_fork_version": "0x" + version.hex()}
        return {"simulated": True, "data": {**times, "genesis_validators_root": "0x" + root.hex()}}

    def _serve_network(self, _: Request) -> Any:
        times = {"genesis_time": str(self.network.genesis_time_s), "pace": str(self._clock.pace)}
        return {"simulated": True, "chain_id": str(self.network.chain_id), **times, "checkpoint": "0x" + self.checkpoint.hex()}

    def _serve_bootstrap(self, request: Request) -> Any:
        for head in self._heads.values():
            if "0x" + head.block.root.hex() == request.path_params["root"]:
                return self._object("bootstrap", self._chain.bootstrap(head.block))
        return None

    def _serve_updates(self, request: Request) -> Any:
        try:
            start, count = (int(request.query_params[name]) for name in ("start_period", "count"))
        except (KeyError, ValueError):
            return None
        last = self.network.period(self._slot())
        wanted = range(max(start, 0), min(start + min(count, 128), last + 1))
        return [self._object("update", update) for period in wanted if (update := self._period_update(period)) is not None]

    def _period_update(self, period: int) -> LightClientUpdate | None:
        """Return the update of a period, about its last block that makes one of the same period final; None while there is none."""
        start = period * self.network.preset.slots_per_period
        last = min(start + self.network.preset.slots_per_period - 2, self._slot())
        for slot in range(last, start + self._final_after_slots - 1, -1):
            block = self._head(slot).block
            if block.finalized.beacon.slot >= max(start, 1):
                return self._chain.update(block)
        return None

    def _slot(self) -> int:
        """Return the newest slot that the committee can have signed."""
        return max(2, self.network.slot_at(self._clock()) - 1)

    def _final_slot(self) -> int:
        return max(1, self._slot() - self._final_after_slots)

    def _head(self, slot: int) -> _Head:
        """Return the block of a slot; it and the one that it makes final are made when it is asked for the first time."""
        if slot not in self._heads:
            if slot > max(self._heads, default=-1):
                self._forget_undone()
            newest = max(self._heads, default=-1)
            final = slot - self._final_after_slots
            if final > 0 and final not in self._heads:
                self._add(final, self._held(final))
            self._add(slot, self._execution() if slot > newest else self._held(slot))
            while slot > newest and len(self._heads) > MAX_HEADS:
                del self._heads[min(self._heads)]
        return self._heads[slot]

    def _forget_undone(self) -> None:
        """Let go of the heads whose blocks the chain has replaced by others: the next ones go on from what is left, and make nothing else final."""
        while self._heads:
            slot = max(self._heads)
            execution = self._heads[slot].execution
            block = self._rpc.call("eth_getBlockByNumber", hex(execution.block_number), False)
            if block is not None and data(field(block, "hash"), "hash", 32) == execution.block_hash:
                return
            del self._heads[slot]

    def _add(self, slot: int, execution: ExecutionPayloadHeader) -> None:
        finalized = [known for known in self._heads if known <= slot - self._final_after_slots]
        final = self._heads[max(finalized)].block.header if finalized else None
        before = max((known for known in self._heads if known < slot), default=None)
        parent = self._heads[before].block.root if before is not None else bytes(32)
        self._heads[slot] = _Head(self._chain.block(slot, finalized=final, execution=execution, parent_root=parent), execution)

    def _held(self, slot: int) -> ExecutionPayloadHeader:
        """Return what a slot held that went by unasked: what was newest before it; or, where that is forgotten, what is oldest now."""
        if not self._heads:
            return self._execution()
        return self._heads[max((known for known in self._heads if known < slot), default=min(self._heads))].execution

    def _execution(self) -> ExecutionPayloadHeader:
        block = self._rpc.call("eth_getBlockByNumber", "latest", False)
        header = verify_header(block)
        return ExecutionPayloadHeader(
            parent_hash=data(field(block, "parentHash"), "parentHash", 32),
            fee_recipient=data(field(block, "miner"), "miner", 20),
            state_root=header.state_root,
            receipts_root=header.receipts_root,
            logs_bloom=data(field(block, "logsBloom"), "logsBloom", 256),
            block_number=header.number,
            gas_limit=quantity(field(block, "gasLimit"), "gasLimit"),
            gas_used=quantity(field(block, "gasUsed"), "gasUsed"),
            timestamp=header.timestamp,
            extra_data=b"simulated",
            base_fee_per_gas=header.base_fee_per_gas,
            block_hash=header.hash,
        )

    def _update(self) -> LightClientUpdate:
        """Return the newest update, or what the misbehaviour makes of it."""
        chain, wrong = self._chain, self.misbehaviour
        slot = max(self._heads) if wrong is Misbehaviour.STALL else self._slot()
        head = self._head(slot)
        self._odd = not self._odd
        if wrong is Misbehaviour.FORK or (wrong is Misbehaviour.EQUIVOCATE and self._odd):
            forged = chain.block(slot, finalized=head.block.finalized, parent_root=b"\xf0" * 32)
            return chain.update(forged)
        if wrong is Misbehaviour.WRONG_COMMITTEE:
            return chain.update(head.block, signers=SimulatedChain(self.network, b"another").committee(self.network.period(slot + 1)))
        if wrong is Misbehaviour.OLD_SIGNATURE:
            good, old = chain.update(head.block), chain.update(self._head(slot - 1).block)
            return LightClientUpdate(
                good.attested_header,
                old.sync_aggregate,
                good.signature_slot,
                finalized_header=good.finalized_header,
                finality_branch=good.finality_branch,
            )
        size = self.network.preset.sync_committee_size
        signing = size // 3 if wrong is Misbehaviour.SHORT_PARTICIPATION else size
        return chain.update(head.block, bits=[place < signing for place in range(size)])

    def _object(self, kind: str, value: Any) -> dict[str, object]:
        fork = self.network.fork((value.header if kind == "bootstrap" else value.attested_header).beacon.slot)
        return {"version": fork.name.lower(), "simulated": True, "data": getattr(schema(self.network.preset, fork), kind).to_json(value)}
