"""The JSON-RPC methods that are answered with proof, and those that are refused by name because they cannot be."""

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from wattseal.errors import Malformed, NotServed, ProofError, RpcError
from wattseal.gateway import blocks, fees, mpt, parameters, proofs, transactions
from wattseal.gateway.answers import CONFIGURED, Answer, at, rests_on
from wattseal.gateway.chain import NO_CODE, Chain
from wattseal.gateway.executed import log_json, receipt_json
from wattseal.gateway.rpc import Rpc, quantity, to_hex
from wattseal.gateway.types import Header

MIN_GAS = 21_000  # yellow paper, G_transaction
MAX_GAS = 1 << 24  # of one transaction, EIP-7825
MAX_FEE_BLOCKS = 1024
MAX_REWARD_BLOCKS = 32  # each needs its whole block


def call(chain: Chain, method: str, params: list[Any]) -> Answer:
    """Answer one request. Raises NotServed, Malformed for wrong parameters, BadSignature, RpcError, ProofError."""
    if method in _REFUSED:
        raise NotServed(f"{method} is not served: {_REFUSED[method]}")
    entry = _METHODS.get(method)
    if entry is None:
        raise NotServed(f"{method[:80]} is not served; {', '.join(sorted(_METHODS))} are")
    function, least, most = entry
    if not least <= len(params) <= most:
        raise Malformed(f"{method} takes {least} to {most} parameters, not {len(params)}")
    return function(chain, *params)


# -- the node -------------------------------------------------------------------------------------------------------------------------


def _chain_id(chain: Chain) -> Answer:
    return Answer(to_hex(chain.upstreams.chain_id), CONFIGURED)


def _net_version(chain: Chain) -> Answer:
    return Answer(str(chain.upstreams.chain_id), CONFIGURED)


def _client_version(chain: Chain) -> Answer:
    return Answer(f"wattseal/{version('wattseal')}", CONFIGURED)


def _accounts(_: Chain) -> Answer:
    return Answer([], CONFIGURED)  # it holds no keys


def _block_number(chain: Chain) -> Answer:
    head = chain.headers.latest()
    return Answer(to_hex(head.number), rests_on(chain.headers, head))


def _syncing(chain: Chain) -> Answer:
    # what is answered is always of a vouched header; how old that is, its time says
    return Answer(False, rests_on(chain.headers, chain.headers.latest()))


# -- state ----------------------------------------------------------------------------------------------------------------------------


def _balance(chain: Chain, address: Any, tag: Any = "latest") -> Answer:
    where = parameters.data("the address", address, 20)
    header, basis = at(chain, tag)
    account = chain.account(header, where)
    return Answer(to_hex(account.balance if account else 0), basis)


def _transaction_count(chain: Chain, address: Any, tag: Any = "latest") -> Answer:
    where = parameters.data("the address", address, 20)
    header, basis = at(chain, tag)
    account = chain.account(header, where)
    return Answer(to_hex(account.nonce if account else 0), basis)


def _code(chain: Chain, address: Any, tag: Any = "latest") -> Answer:
    where = parameters.data("the address", address, 20)
    header, basis = at(chain, tag)
    return Answer(to_hex(chain.code(header, where)), basis)


def _storage_at(chain: Chain, address: Any, slot: Any, tag: Any = "latest") -> Answer:
    where, place = parameters.data("the address", address, 20), parameters.slot(slot)
    header, basis = at(chain, tag)
    return Answer(to_hex(chain.storage(header, where, place).to_bytes(32, "big")), basis)


def _proof(chain: Chain, address: Any, slots: Any, tag: Any = "latest") -> Answer:
    where, places = parameters.data("the address", address, 20), parameters.slots(slots)
    header, basis = at(chain, tag)
    proven = chain.proof(header, where, places)
    account = proven.account or proofs.Account(0, 0, mpt.EMPTY_ROOT, NO_CODE)
    result = {
        "address": to_hex(where),
        "balance": to_hex(account.balance),
        "codeHash": to_hex(account.code_hash),
        "nonce": to_hex(account.nonce),
        "storageHash": to_hex(account.storage_root),
        "accountProof": [to_hex(node) for node in proven.nodes],
        "storageProof": [
            {"key": written, "value": to_hex(slot.value), "proof": [to_hex(node) for node in slot.nodes]}
            for written, slot in zip(slots, proven.slots, strict=True)
        ],
    }
    return Answer(result, basis)


# -- blocks, transactions, logs -------------------------------------------------------------------------------------------------------


def _block_by_number(chain: Chain, tag: Any, whole: Any = False) -> Answer:
    whole_transactions = parameters.flag("the second parameter", whole)
    if not isinstance(tag, str):
        raise Malformed(f"the block is neither a number nor a name: {tag!r:.80}")
    if tag.startswith("0x") and parameters.quantity("the block", tag) > chain.headers.latest().number:
        return Answer(None, rests_on(chain.headers, chain.headers.latest()))
    header, basis = at(chain, tag)
    return Answer(blocks.to_json(chain.block(header), whole_transactions=whole_transactions), basis)


def _block_by_hash(chain: Chain, block_hash: Any, whole: Any = False) -> Answer:
    whole_transactions = parameters.flag("the second parameter", whole)
    header = chain.canonical(parameters.data("the block", block_hash, 32))
    if header is None:
        return Answer(None, {"basis": "the upstreams' word, which no proof can replace: no such block is of the chain"})
    return Answer(blocks.to_json(chain.block(header), whole_transactions=whole_transactions), rests_on(chain.headers, header))


def _transaction_count_of_block(chain: Chain, named: Any) -> Answer:
    header, basis = at(chain, _by_hash_or_number(named))
    return Answer(to_hex(len(chain.block(header).transactions)), basis)


def _transaction_of_block(chain: Chain, named: Any, place: Any) -> Answer:
    index = parameters.quantity("the index", place)
    header, basis = at(chain, _by_hash_or_number(named))
    block = chain.block(header)
    return Answer(blocks.transaction_json(block, index) if index < len(block.transactions) else None, basis)


def _receipts_of_block(chain: Chain, named: Any) -> Answer:
    header, basis = at(chain, _by_hash_or_number(named))
    executed = chain.executed(header)
    return Answer([receipt_json(executed, index) for index in range(len(executed.receipts))], basis)


def _by_hash_or_number(named: Any) -> Any:
    return {"blockHash": named} if isinstance(named, str) and len(named) == 66 else named


def _transaction_by_hash(chain: Chain, tx_hash: Any) -> Answer:
    found = chain.find_transaction(parameters.data("the transaction", tx_hash, 32))
    if found is None:
        return _NO_TRANSACTION
    block, index = found
    return Answer(blocks.transaction_json(block, index), rests_on(chain.headers, block.header))


def _transaction_receipt(chain: Chain, tx_hash: Any) -> Answer:
    found = chain.find_transaction(parameters.data("the transaction", tx_hash, 32))
    if found is None:
        return _NO_TRANSACTION
    block, index = found
    return Answer(receipt_json(chain.executed(block.header), index), rests_on(chain.headers, block.header))


_NO_TRANSACTION = Answer(None, {"basis": "the upstreams' word, which no proof can replace: no block that is vouched for holds this transaction"})


def _logs(chain: Chain, filter_: Any) -> Answer:
    if not isinstance(filter_, dict):
        raise Malformed("the filter is no object")
    wanted = parameters.log_filter(filter_)
    if filter_.get("blockHash") is not None:
        if filter_.get("fromBlock") is not None or filter_.get("toBlock") is not None:
            raise Malformed("a filter has a blockHash or a range, not both")
        newest, basis = at(chain, {"blockHash": filter_["blockHash"]})
        first = newest.number
    else:
        newest, basis = _newest_of(chain, filter_.get("toBlock") or "latest")
        first = _number(chain, filter_.get("fromBlock") or "latest")
    found = chain.logs(wanted, first, newest) if first <= newest.number else []
    return Answer([log_json(log) for log in found], basis)


def _newest_of(chain: Chain, tag: Any) -> tuple[Header, dict[str, Any]]:
    """Return the header at the end of a range: the newest where the range ends after it."""
    latest = chain.headers.latest()
    if isinstance(tag, str) and tag.startswith("0x") and parameters.quantity("toBlock", tag) > latest.number:
        return latest, rests_on(chain.headers, latest)
    return at(chain, tag)


def _number(chain: Chain, tag: Any) -> int:
    return parameters.quantity("fromBlock", tag) if isinstance(tag, str) and tag.startswith("0x") else at(chain, tag)[0].number


# -- sending --------------------------------------------------------------------------------------------------------------------------


def _send_raw_transaction(chain: Chain, raw: Any) -> Answer:
    signed = parameters.data("the transaction", raw)
    if signed[:1] == bytes([transactions.BLOB]):
        raise NotServed("blob transactions are not taken; send them to a node of your own")
    try:
        transaction = transactions.decode(signed)
    except ProofError as error:
        raise Malformed(f"this is no signed transaction: {error}") from error
    transaction.sender()
    if transaction.chain_id != chain.upstreams.chain_id:
        raise Malformed(f"the transaction is for chain {transaction.chain_id}, not {chain.upstreams.chain_id}; sign it for this one")
    return Answer(
        to_hex(chain.send(transaction)), {"basis": "computed here; that an upstream passes the transaction on is its word until there is a receipt"}
    )


def _gas_price(chain: Chain) -> Answer:
    head = chain.headers.latest()
    base_fee = blocks.next_base_fee(chain.known.full(head.hash))
    return Answer(to_hex(base_fee + fees.tip(chain, head)), rests_on(chain.headers, head))


def _max_priority_fee(chain: Chain) -> Answer:
    head = chain.headers.latest()
    return Answer(to_hex(fees.tip(chain, head)), rests_on(chain.headers, head))


def _fee_history(chain: Chain, count: Any, tag: Any, percentiles: Any = None) -> Answer:
    wanted = parameters.percentiles(percentiles)
    number = min(parameters.block_count(count), MAX_REWARD_BLOCKS if wanted else MAX_FEE_BLOCKS)
    if number < 1:
        raise Malformed("the number of blocks is below 1")
    newest, basis = at(chain, tag)
    history = fees.history(chain, newest, number, wanted)
    result = {
        "oldestBlock": to_hex(history.oldest),
        "baseFeePerGas": [to_hex(fee) for fee in history.base_fees],
        "gasUsedRatio": history.gas_used_ratios,
    }
    if wanted:
        result["reward"] = [[to_hex(tip) for tip in tips] for tips in history.rewards]
    return Answer(result, basis)


def _estimate_gas(chain: Chain, transaction: Any, tag: Any = "latest") -> Answer:
    """Pass on an upstream's estimate within the limits of any transaction, and say that it is one.

    It becomes a limit that its user signs: too low, and the transaction fails; too high, and what is not used stays with the sender.
    """
    if not isinstance(transaction, dict):
        raise Malformed("the transaction is no object")
    try:
        json.dumps(transaction, allow_nan=False)  # 1e999 is read as infinity, which could not be passed on
    except ValueError as error:
        raise Malformed(f"the transaction cannot be written as JSON: {error}") from error
    header, _ = at(chain, tag)

    def estimate(rpc: Rpc) -> int:
        gas = quantity(rpc.call("eth_estimateGas", transaction, to_hex(header.number)), "gas estimate")
        if not MIN_GAS <= gas <= MAX_GAS:
            raise RpcError(f"the upstream estimates {gas} gas, which no transaction can use ({MIN_GAS} to {MAX_GAS})")
        return gas

    return Answer(to_hex(chain.upstreams.ask(estimate)), {"basis": "a hint of one upstream, not proven"})


# Each with how many parameters it takes, at least and at most.
_METHODS: dict[str, tuple[Callable[..., Answer], int, int]] = {
    "web3_clientVersion": (_client_version, 0, 0),
    "net_version": (_net_version, 0, 0),
    "eth_chainId": (_chain_id, 0, 0),
    "eth_blockNumber": (_block_number, 0, 0),
    "eth_syncing": (_syncing, 0, 0),
    "eth_getBalance": (_balance, 1, 2),
    "eth_getTransactionCount": (_transaction_count, 1, 2),
    "eth_getCode": (_code, 1, 2),
    "eth_getStorageAt": (_storage_at, 2, 3),
    "eth_accounts": (_accounts, 0, 0),
    "eth_getProof": (_proof, 2, 3),
    "eth_getBlockReceipts": (_receipts_of_block, 1, 1),
    "eth_getBlockTransactionCountByHash": (_transaction_count_of_block, 1, 1),
    "eth_getBlockTransactionCountByNumber": (_transaction_count_of_block, 1, 1),
    "eth_getTransactionByBlockHashAndIndex": (_transaction_of_block, 2, 2),
    "eth_getTransactionByBlockNumberAndIndex": (_transaction_of_block, 2, 2),
    "eth_getBlockByNumber": (_block_by_number, 1, 2),
    "eth_getBlockByHash": (_block_by_hash, 1, 2),
    "eth_getTransactionByHash": (_transaction_by_hash, 1, 1),
    "eth_getTransactionReceipt": (_transaction_receipt, 1, 1),
    "eth_getLogs": (_logs, 1, 1),
    "eth_sendRawTransaction": (_send_raw_transaction, 1, 1),
    "eth_gasPrice": (_gas_price, 0, 0),
    "eth_maxPriorityFeePerGas": (_max_priority_fee, 0, 0),
    "eth_feeHistory": (_fee_history, 2, 3),
    "eth_estimateGas": (_estimate_gas, 1, 2),
}

_NO_EXECUTION = "its result could only be proven by executing the code here, which this gateway does not do; read the slots with eth_getStorageAt"
_NO_KEYS = "this gateway holds no keys; sign yourself and use eth_sendRawTransaction"
_NO_STATE = "this gateway keeps no filters; ask eth_getLogs for a range of blocks"
_REFUSED = {
    "eth_call": _NO_EXECUTION,
    "eth_createAccessList": _NO_EXECUTION,
    "eth_simulateV1": _NO_EXECUTION,
    "debug_traceTransaction": _NO_EXECUTION,
    "eth_sendTransaction": _NO_KEYS,
    "eth_sign": _NO_KEYS,
    "eth_signTransaction": _NO_KEYS,
    "eth_signTypedData": _NO_KEYS,
    "eth_newFilter": _NO_STATE,
    "eth_newBlockFilter": _NO_STATE,
    "eth_newPendingTransactionFilter": _NO_STATE,
    "eth_getFilterChanges": _NO_STATE,
    "eth_getFilterLogs": _NO_STATE,
    "eth_subscribe": _NO_STATE,
}
