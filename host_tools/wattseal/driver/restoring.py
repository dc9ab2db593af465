"""Finding a restored wallet's sessions: every `Opened` event of the contract is asked for, and no address of the wallet is named.

The transactions that opened the sessions found are then asked for, so the servers learn that those belong together. That no event is left out
is the servers' word; a session that is found is not: its voucher hashes to its id, and its state is proven later.
"""

from collections.abc import Callable, Iterator
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from wattseal.driver.contents import Session
from wattseal.driver.seed import AHEAD, FIRST_SLOT_AT, Seed, slot
from wattseal.errors import RpcError
from wattseal.gateway.chain import Chain
from wattseal.gateway.contract import call_data, event_topic
from wattseal.gateway.rpc import data, elements, field, quantity, to_hex
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Voucher
from wattseal.protocol.typed_data import TYPES

WINDOW_BLOCKS = 10_000  # what most providers allow in one query
_NO_VOUCHER = Voucher(bytes(20), bytes(20), bytes(20), bytes(20), 0, 0, 0, 0, 0, 0, 0, 0)
_OPEN = call_data("open", _NO_VOUCHER, b"")[:4]
_OPEN_TYPES = [f"({','.join(kind for kind, _ in TYPES['Voucher'])})", "bytes"]


def own_addresses(seed: Seed, since: int, now: float, advance: Callable[[int, int], None]) -> dict[bytes, int]:
    """Return address and index of every session that the seed can have had between two UTC seconds; `advance` is told (done, all)."""
    first, end = slot(max(since, FIRST_SLOT_AT)), slot(now) + AHEAD + 1
    found = {}
    for address, index in seed.addresses(first, end):
        found[address] = index
        if index % 500 == 0:
            advance(index - first, end - first)
    return found


def sessions(chain: Chain, contract: bytes, seed: Seed, own: dict[bytes, int], since: int) -> Iterator[tuple[int, Session | None]]:
    """Yield the sessions of a seed that were opened since a UTC second, newest first: index, and the session where its voucher could be read.

    Raises GatewayError.
    """
    last = chain.headers.latest().number
    while last >= 0:
        first = max(0, last - WINDOW_BLOCKS + 1)
        for log in _opened(chain, contract, first, last):
            topics = elements(log, "topics")
            index = own.get(data(topics[2], "driver", 32)[12:]) if len(topics) > 2 else None
            if index is not None:
                yield index, _session(chain, contract, seed, index, data(topics[1], "session", 32), data(field(log, "transactionHash"), "hash", 32))
        if _timestamp(chain, first) < since:
            return
        last = first - 1


def _opened(chain: Chain, contract: bytes, first: int, last: int) -> list[Any]:
    query = {"address": to_hex(contract), "topics": [to_hex(event_topic("Opened"))], "fromBlock": to_hex(first), "toBlock": to_hex(last)}
    logs = chain.upstreams.ask(lambda rpc: rpc.call("eth_getLogs", query))
    if not isinstance(logs, list):
        raise RpcError("eth_getLogs: the server's logs are no array; ask another --rpc")
    return logs[::-1]


def _session(chain: Chain, contract: bytes, seed: Seed, index: int, session: bytes, tx_hash: bytes) -> Session | None:
    """Return the session whose voucher the transaction carries, None where it was opened in another way."""
    answer = chain.upstreams.ask(lambda rpc: rpc.call("eth_getTransactionByHash", to_hex(tx_hash)))
    call = data(field(answer, "input"), "input")
    if call[:4] != _OPEN:
        return None
    try:
        values, _ = decode(_OPEN_TYPES, call[4:])
    except (DecodingError, OverflowError):
        return None
    names = [name for _, name in TYPES["Voucher"]]
    fields: dict[str, Any] = {name: bytes.fromhex(value[2:]) if isinstance(value, str) else value for name, value in zip(names, values, strict=True)}
    voucher = Voucher(**fields)
    if voucher.digest(domain_separator(chain.chain_id, contract)) != session or voucher.driver != seed.address(index):
        return None  # nothing is signed that a server made up
    return Session(index, chain.chain_id, contract, voucher, signatures.sign(seed.key(index), session), None)


def _timestamp(chain: Chain, number: int) -> int:
    """Return a block's time by the servers' word."""
    answer = chain.upstreams.ask(lambda rpc: rpc.call("eth_getBlockByNumber", to_hex(number), False))
    return quantity(field(answer, "timestamp"), "timestamp")
