"""Everything around the relay that can fail: a chain that restarts and reorganises, a broker, a store; and what must be true in the end."""

import asyncio
import contextlib
import itertools
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from wattseal.demo.processes import CHAIN_ID, ROOT, Command, free_port
from wattseal.errors import RpcError
from wattseal.gateway.contract import BYTECODE, balance_slot, call_data, event_topic
from wattseal.gateway.rpc import Rpc, quantity, to_hex
from wattseal.protocol import signatures
from wattseal.store import Store

from tests.e2e.brokers import Mosquitto
from tests.e2e.fault_plugs import RECEIPTS, START_UTC, FaultyPlug, MqttLine, Party, TcpLine
from tests.e2e.fault_relays import PATIENCE_S, Life, Lives

RELAY_KEY = b"\x52" * 32
BLOCK_S = 0.1
# A block is final after 5 s: long enough to reorganise thirty in that time, short enough to wait for.
FINAL_AFTER_SLOTS, SLOTS_PER_S = 40, 8
REORGANISED_BLOCKS = 30


class Node:
    """anvil, whose blocks are made here. It keeps its chain over a restart, and forgets what was in no block yet."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rpc = Rpc(self.url)
        self.is_up = asyncio.Event()
        self.blocks_made = asyncio.Lock()
        self._folder = folder
        self._utc = START_UTC
        self.start()

    def start(self) -> None:
        state = ("--state", str(self._folder / "chain.json"), "--preserve-historical-states")
        command = [str(ROOT / "build/bin/anvil"), "--hardfork", "osaka", "--port", str(self.port), "--chain-id", str(CHAIN_ID), *state]
        options = ["--timestamp", str(START_UTC), "--balance", "1000000", "--no-mining", "--silent"]
        self._process = subprocess.Popen([*command, *options])

    async def started(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    self.mine()  # also so that the newest block has a state root that proofs can rest on
                except RpcError:
                    await asyncio.sleep(0.02)
                else:
                    self.is_up.set()
                    return

    def stop(self) -> None:
        self.is_up.clear()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.rpc.call("evm_setNextBlockTimestamp", self._utc + 1)
            self.rpc.call("evm_mine")
            self._utc += 1

    def pass_time(self, seconds: int) -> None:
        self._utc += seconds
        self.mine()

    def transact(self, *transactions: dict[str, str]) -> list[dict[str, Any]]:
        """Have the bank send transactions; return their receipts once they are in blocks."""
        bank = self.rpc.call("eth_accounts")[0]
        hashes = [
            self.rpc.call("eth_sendTransaction", {"from": bank, "gas": hex(5_000_000 if "to" not in one else 300_000), **one}) for one in transactions
        ]
        receipts: list[Any] = [None]
        while None in receipts:
            self.mine()
            receipts = [self.rpc.call("eth_getTransactionReceipt", tx_hash) for tx_hash in hashes]
        assert all(quantity(receipt["status"], "status") for receipt in receipts)
        return receipts

    def head(self) -> int:
        return quantity(self.rpc.call("eth_blockNumber"), "number")

    def settled(self, contract: bytes) -> list[dict[str, Any]]:
        """Return every Settled event of the chain as it is now."""
        wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": to_hex(contract), "topics": [to_hex(event_topic("Settled"))]}
        found: list[dict[str, Any]] = self.rpc.call("eth_getLogs", wanted)
        return found


class World:
    """The relay's surroundings, and its plugs: even ones come by TCP, odd ones by the broker."""

    def __init__(
        self, folder: Path, store: str, node: Node, contract: bytes, broker: Mosquitto, beacon: Command, lives: Lives, dice: random.Random
    ) -> None:
        self.store = store
        self.node = node
        self.contract = contract
        self.broker = broker
        self.lives = lives
        self.dice = dice
        self.plugs: list[FaultyPlug] = []
        self._connected: list[asyncio.Task[None]] = []
        self._growing: list[asyncio.Task[None]] = []
        self._port = free_port()
        self._beacon_url = f"http://{beacon.ready['listen']}"
        options = {
            "--store": store,
            "--contract": to_hex(contract),
            "--chain-id": str(CHAIN_ID),
            "--rpc": node.url,
            "--simulated-beacon": self._beacon_url,
            "--light-client-store": str(folder / "light_client.store"),
            "--listen": f"127.0.0.1:{self._port}",
            "--api": "127.0.0.1:0",
            "--broker": f"mqtt://127.0.0.1:{broker.port}",
            "--poll": "0.05",
            "--ping": "0.2",
            "--interim-risk": str(10**15),
        }
        self._arguments = ["relay", *(word for option in options.items() for word in option)]

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path, store: str, seed: int) -> AsyncIterator["World"]:
        """Start everything but relay and plugs."""
        async with contextlib.AsyncExitStack() as stack:
            node = Node(folder)
            stack.callback(lambda: node.stop())
            await node.started()
            deployed, _ = node.transact({"data": to_hex(BYTECODE)}, {"to": to_hex(signatures.address(RELAY_KEY)), "value": hex(10**20)})
            contract = bytes.fromhex(deployed["contractAddress"][2:])
            broker = Mosquitto(folder)
            stack.callback(broker.close)
            timing = ("--final-after", str(FINAL_AFTER_SLOTS), "--pace", str(SLOTS_PER_S))
            beacon_arguments = ["simulated-beacon", "--rpc", node.url, "--chain-id", str(CHAIN_ID), "--listen", "127.0.0.1:0", *timing]
            beacon = stack.enter_context(await asyncio.to_thread(Command, beacon_arguments, folder / "beacon.log"))
            lives = await stack.enter_async_context(Lives.open(folder / "relay.log", {"WATTSEAL_RELAY_KEY": to_hex(RELAY_KEY)}))
            world = cls(folder, store, node, contract, broker, beacon, lives, random.Random(seed))
            stack.push_async_callback(_end, world._growing)
            stack.push_async_callback(world.disconnect)
            try:
                yield world
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise

    def add_plugs(self, count: int, sessions: int) -> None:
        """Make plugs, not connected yet, with sessions whose locks are open and whose receipts' times are past."""
        for number in range(count):
            party = Party(number, self.contract)
            line = MqttLine(self.broker.port, party.plug) if number % 2 else TcpLine(self._port)
            self.plugs.append(FaultyPlug(party, sessions, line, random.Random(self.dice.random())))
        openings = [charge.opening for plug in self.plugs for charge in plug.charges]
        calls = [(opening.voucher.cap, call_data("open", opening.voucher, opening.signature)) for opening in openings]
        self.node.transact(*({"to": to_hex(self.contract), "data": to_hex(call), "value": hex(cap)} for cap, call in calls))
        self.node.pass_time(60 + 300 * RECEIPTS)

    def connect(self, plugs: Sequence[FaultyPlug]) -> None:
        self._connected += [asyncio.create_task(plug.run()) for plug in plugs]

    async def disconnect(self) -> None:
        """Take every plug off its line."""
        await _end(self._connected)

    def make_blocks(self) -> None:
        """Have the chain grow from now on."""
        self._growing.append(asyncio.create_task(self._make_blocks()))

    async def _make_blocks(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S)
            await self.node.is_up.wait()
            async with self.node.blocks_made:
                await asyncio.to_thread(self.node.mine)

    async def begin(self) -> Life:
        return await self.lives.begin(self._arguments)

    async def until_all_is_settled(self, life: Life) -> None:
        """Wait until every plug has been told so, and stop the relay in order; a plug that has died says why at once."""
        deadline = time.monotonic() + PATIENCE_S
        while waiting := [charge for plug in self.plugs for charge in plug.charges if not charge.is_settled]:
            for task in self._connected + self._growing:
                if task.done():
                    task.result()
            assert not self.lives.ended.is_set(), life.log()
            if time.monotonic() > deadline:
                self.check_kept()
                states = {to_hex(charge.session): "kept" if charge.is_acknowledged else "not acknowledged" for charge in waiting}
                raise AssertionError(f"not settled: {states}; the relay's log ends with {life.log()[-3000:]}")
            await asyncio.sleep(0.02)  # plugs are told one by one
        assert await life.end(signal.SIGTERM) == 0, life.log()

    # -- faults -----------------------------------------------------------------------------------------------------------------------

    async def pass_time(self, seconds: int) -> None:
        async with self.node.blocks_made:
            await asyncio.to_thread(self.node.pass_time, seconds)

    async def restart_broker(self) -> None:
        self.broker.close()
        await asyncio.sleep(self.dice.uniform(0, 0.2))
        await asyncio.to_thread(self.broker.start)

    async def restart_node(self) -> None:
        async with self.node.blocks_made:
            await asyncio.to_thread(self.node.stop)
            await asyncio.sleep(self.dice.uniform(0, 0.2))
            self.node.start()
            await self.node.started()
            # anvil, asked to go back to a block from before its restart, comes to a state without the contract's code
            await asyncio.to_thread(self.node.mine, REORGANISED_BLOCKS + 1)

    async def reorganise(self) -> None:
        """Replace the thirty newest blocks, a settlement in one of them, by empty ones; none of them is final."""
        async with asyncio.timeout(PATIENCE_S):
            is_done = False
            while not is_done:
                for plug in self.dice.sample(self.plugs[:-2], 2):
                    plug.finish()  # so that there is something to settle
                while not await asyncio.to_thread(self._is_undoable):
                    await asyncio.sleep(0.05)  # another process settles it
                await asyncio.sleep(self.dice.uniform(0, 1))  # so that the relay has seen it, or not
                async with self.node.blocks_made:
                    is_done = await asyncio.to_thread(self._reorganise)

    def _is_undoable(self) -> bool:
        """Whether a settlement is in a block that is not final, one of the thirty newest."""
        newest = max((quantity(event["blockNumber"], "number") for event in self.node.settled(self.contract)), default=0)
        return newest > max(self._final(), self.node.head() - REORGANISED_BLOCKS)

    def _reorganise(self) -> bool:
        self.node.mine(max(0, self._final() + REORGANISED_BLOCKS - self.node.head()))
        if not self._is_undoable():
            return False
        settled = self.node.settled(self.contract)
        told = {to_hex(charge.session) for plug in self.plugs for charge in plug.charges if charge.is_settled}
        self.node.rpc.call("anvil_reorg", REORGANISED_BLOCKS, [])
        left = self.node.settled(self.contract)
        assert len(left) < len(settled), "nothing was undone"
        assert told - {event["topics"][1] for event in left} == set(), "a plug was told that a settlement is for good, and it was undone"
        self.node.mine()
        assert self.node.rpc.call("eth_getCode", to_hex(self.contract), "latest") != "0x"
        return True

    def _final(self) -> int:
        answer = httpx.get(f"{self._beacon_url}/eth/v1/beacon/light_client/finality_update").json()
        return int(answer["data"]["finalized_header"]["execution"]["block_number"])

    # -- the end ----------------------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare what plugs signed, what the store has and what the chain paid: each session is paid once, for its final receipt."""
        self.check_kept()
        self.check_paid()

    def check_kept(self) -> None:
        """Check that the store has what it acknowledged and nothing else, and that nothing was refused."""
        assert [plug.refused for plug in self.plugs if plug.refused] == []
        with contextlib.closing(Store(self.store)) as store:
            assert store.quarantined() == []
            for charge in (charge for plug in self.plugs for charge in plug.charges):
                stored = {message.receipt.sequence: message for message in store.receipts(charge.session)}
                assert charge.acknowledged - stored.keys() == set(), "acknowledged receipts are lost"
                assert all(message == charge.made[sequence - 1] for sequence, message in stored.items())

    def check_paid(self) -> None:
        """Check what the chain says, and that the store says the same."""
        charges = [charge for plug in self.plugs for charge in plug.charges]
        settled: dict[bytes, list[tuple[int, bool]]] = {charge.session: [] for charge in charges}
        for event in self.node.settled(self.contract):
            _, total_paid, closed = (int(event["data"][2 + 64 * place : 66 + 64 * place], 16) for place in range(3))
            settled[bytes.fromhex(event["topics"][1][2:])].append((total_paid, bool(closed)))
        slot = balance_slot(charges[0].voucher.host, bytes(20))
        balance = self.node.rpc.call("eth_getStorageAt", to_hex(self.contract), to_hex(slot.to_bytes(32, "big")), "latest")
        assert int(balance, 16) == sum(charge.due for charge in charges)
        with contextlib.closing(Store(self.store)) as store:
            assert store.unsettled() == []
            for charge in charges:
                totals = [total for total, _ in settled[charge.session]]
                assert totals == sorted(set(totals)), "a settlement that paid nothing"
                assert [total for total, closed in settled[charge.session] if closed] == [charge.due] == totals[-1:]
                records = store.settlements(charge.session)
                assert {record.state for record in records} == {"settled"}
                sequences = [record.sequence for record in records]
                assert sequences == sorted(set(sequences)), "a receipt is settled twice"
                assert (sequences[-1], records[-1].total_paid) == (RECEIPTS, charge.due)
                increments = {(total - before, total) for before, total in itertools.pairwise([0, *totals])}
                assert {(record.paid, record.total_paid) for record in records} <= increments


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """End tasks, whatever they are in the middle of; raise what one has died of."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=1)
    ended, tasks[:] = tasks[:], []
    for task in ended:
        if not task.cancelled():
            task.result()
