"""What an answer of the verified JSON-RPC is: a result, of which block, and what its being right rests on."""

from dataclasses import dataclass
from typing import Any

from wattseal.errors import NotServed, RpcError
from wattseal.gateway import parameters
from wattseal.gateway.chain import Chain
from wattseal.gateway.header import HeaderSource
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.types import Header

CONFIGURED = {"basis": "this gateway's settings"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A result and, in words and with the block, what it rests on."""

    result: Any
    basis: dict[str, Any]


def at(chain: Chain, tag: Any) -> tuple[Header, dict[str, Any]]:
    """Return the header that a block parameter names, and what it rests on. "pending" cannot be proven and is the newest block.

    Raises Malformed, NotServed, RpcError (also for a block after the newest one or of no chain), ProofError.
    """
    if isinstance(tag, dict):
        if tag.get("blockHash") is not None:
            header = chain.canonical(parameters.data("the block", tag["blockHash"], 32))
            if header is None:
                raise RpcError(f"no block {str(tag['blockHash'])[:80]} is of the chain")
            return header, rests_on(chain.headers, header)
        tag = tag.get("blockNumber")
    source = chain.headers
    if tag in ("latest", "pending"):
        header = source.latest()
    elif tag in ("safe", "finalized"):
        if chain.finalized is None:
            raise NotServed(f"nothing says which block is {tag} where headers are taken on trust; ask for latest or a number")
        header = chain.finalized()
        return header, rests_on(source, header) | {"basis": f"{source.basis}, final"}
    else:
        number = 0 if tag == "earliest" else parameters.quantity("the block", tag)
        newest = source.latest().number
        if number > newest:
            raise RpcError(f"block {number} is after the newest one that is vouched for, {newest}")
        header = source.by_number(number)
    return header, rests_on(source, header)


def rests_on(source: HeaderSource, header: Header) -> dict[str, Any]:
    """Return what an answer about a header's block rests on, in words and with the block."""
    return {"basis": source.basis, "blockNumber": to_hex(header.number), "blockHash": to_hex(header.hash), "timestamp": to_hex(header.timestamp)}
