"""JSON-RPC over HTTP, and strict readers for what it answers. Nothing that comes from here is believed before it is proven."""

import itertools
import json
import re
from binascii import unhexlify
from typing import Any

from wattseal.errors import ProofError, RpcError
from wattseal.gateway.http import TOO_MANY_REQUESTS, HttpServer

# The receipts of a full mainnet block are a few megabytes of JSON; what is not of a block's size gets no more room than it can need.
MAX_BLOCK_BYTES = 32 << 20
MAX_OTHER_BYTES = 1 << 20
_OF_A_BLOCKS_SIZE = ("eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs", "eth_getTransactionReceipt")

_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,63})", re.ASCII)


class Rpc:
    """One JSON-RPC endpoint. Thread-safe."""

    def __init__(self, url: str, timeout_s: float = 15.0) -> None:
        """`timeout_s` bounds each read and, four times over, a whole answer."""
        self._http = HttpServer(url, timeout_s, RpcError)
        self.server = self._http.name
        self._ids = itertools.count(1)

    def call(self, method: str, *params: object) -> Any:
        """Return the `result` of a call. Raises RpcError when there is none; its `rpc_code` is the server's, if it sent one."""
        request_id = next(self._ids)
        request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        limit = MAX_BLOCK_BYTES if method in _OF_A_BLOCKS_SIZE else MAX_OTHER_BYTES
        answer = self._http.request(method, limit, json=json.dumps(request, separators=(",", ":"), allow_nan=False).encode())
        if answer.status == TOO_MANY_REQUESTS:
            raise RpcError(f"{method}: the RPC at {self.server} limits requests (HTTP 429); wait, or add another")
        try:
            reply = answer.json()
        except ValueError as error:
            raise RpcError(f"{method}: the RPC at {self.server} did not answer in JSON (HTTP {answer.status}); check the address") from error
        if not isinstance(reply, dict) or reply.get("id") != request_id:
            raise RpcError(f"{method}: the RPC at {self.server} answered something else; check the address")
        refusal = reply.get("error")
        if refusal is not None:
            details = refusal if isinstance(refusal, dict) else {"message": str(refusal)}
            code = details.get("code")
            raise RpcError(f"{method}: {str(details.get('message'))[:300]}", rpc_code=code if isinstance(code, int) else None)
        return reply.get("result")


def field(answer: object, name: str) -> Any:
    """Return a member of an object in an answer. Raises ProofError where it is missing."""
    if not isinstance(answer, dict) or answer.get(name) is None:
        raise ProofError(f"the RPC's answer has no {name}")
    return answer[name]


def elements(answer: object, name: str) -> list[Any]:
    """Return a member that is an array. Raises ProofError where it is none."""
    values = field(answer, name)
    if not isinstance(values, list):
        raise ProofError(f"the RPC's {name} is no array")
    return values


def quantity(value: object, name: str) -> int:
    """Read a JSON-RPC quantity of at most 256 bits. Raises ProofError."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ProofError(f"the RPC's {name} is no quantity: {value!r:.80}")
    return int(value, 16)


def data(value: object, name: str, length: int | None = None) -> bytes:
    """Read JSON-RPC bytes, of `length` bytes if given. Raises ProofError."""
    try:
        read = unhexlify(value[2:]) if isinstance(value, str) and value.startswith("0x") else None
    except ValueError:
        read = None
    if read is None:
        raise ProofError(f"the RPC's {name} is no byte string: {value!r:.80}")
    if length is not None and len(read) != length:
        raise ProofError(f"the RPC's {name} has {len(read)} bytes, not {length}")
    return read


def to_hex(value: bytes | int) -> str:
    """Write bytes or a quantity as JSON-RPC does."""
    return hex(value) if isinstance(value, int) else "0x" + value.hex()
