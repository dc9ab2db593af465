"""The chain as far as it can be proven: every answer is checked against a header that a `HeaderSource` vouches for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from eth_hash.auto import keccak

from wattseal.errors import GatewayError, ProofError, RpcError
from wattseal.gateway import blocks, proofs
from wattseal.gateway.blocks import Block
from wattseal.gateway.executed import Executed, FoundLog
from wattseal.gateway.header import FullHeader, HeaderSource
from wattseal.gateway.logs import LogFilter
from wattseal.gateway.proofs import TransactionReceipt
from wattseal.gateway.rpc import Rpc, data, field, quantity, to_hex
from wattseal.gateway.transactions import Transaction
from wattseal.gateway.types import Header
from wattseal.gateway.upstreams import Upstreams

# A query asks for one header a block that is not known yet.
MAX_LOG_BLOCKS = 1024
MAX_LOGS = 10_000

NO_CODE = keccak(b"")


class Chain:
    """Reads a chain through several servers and believes none of them. Thread-safe."""

    def __init__(self, upstreams: Upstreams, headers: HeaderSource, finalized: Callable[[], Header] | None = None) -> None:
        """`headers` says which blocks are of the chain; `finalized` returns the newest final one, where anything can."""
        self.upstreams = upstreams
        self.headers = headers
        self.finalized = finalized
        self.known = upstreams.known

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self.upstreams.chain_id

    @property
    def basis(self) -> str:
        """What everything read here rests on, in words."""
        return self.headers.basis

    # -- headers and blocks -----------------------------------------------------------------------------------------------------------

    def block(self, header: Header) -> Block:
        """Return the whole block of a header. Raises RpcError, ProofError."""
        return self.upstreams.ask(lambda rpc: blocks.block(rpc, header.hash))

    def canonical(self, block_hash: bytes) -> Header | None:
        """Return the header with that hash if it is of the chain, None if nobody has it or it is not. Raises RpcError, ProofError."""
        answers = self.upstreams.each(lambda rpc: _header_or_none(rpc, block_hash))
        header = next((full.header for _, full in answers if full is not None), None)
        if header is None or header.number > self.headers.latest().number:
            return None
        return header if self.headers.by_number(header.number).hash == block_hash else None

    # -- state ------------------------------------------------------------------------------------------------------------------------

    def account(self, header: Header, address: bytes) -> proofs.Account | None:
        """Return the account at `address` (20 bytes) after a block, None when proven absent. Raises RpcError, ProofError."""
        return self.upstreams.ask(lambda rpc: proofs.account(rpc, header, address))

    def code(self, header: Header, address: bytes) -> bytes:
        """Return the code at `address` after a block, whose hash the proven account names. Raises RpcError, ProofError."""
        account = self.account(header, address)
        if account is None or account.code_hash == NO_CODE:
            return b""
        return self.upstreams.ask(lambda rpc: _code(rpc, header, address, account.code_hash))

    def has_code(self, header: Header, address: bytes) -> bool:
        """Return whether a contract is at `address` after a block. Raises RpcError, ProofError."""
        account = self.account(header, address)
        return account is not None and account.code_hash != NO_CODE

    def storage(self, header: Header, address: bytes, slot: int) -> int:
        """Return a storage slot after a block, 0 where it is empty or no contract is there. Raises RpcError, ProofError."""
        return self.slots(header, address, [slot])[0]

    def slots(self, header: Header, address: bytes, slots: list[int]) -> list[int]:
        """Do what `storage` does for several slots with one question. Raises RpcError, ProofError."""
        return self.upstreams.ask(lambda rpc: proofs.storage(rpc, header, address, slots))

    def proof(self, header: Header, address: bytes, slots: list[int]) -> proofs.StateProof:
        """Return an account and its slots after a block, with the nodes that prove them. Raises RpcError, ProofError."""
        return self.upstreams.ask(lambda rpc: proofs.state(rpc, header, address, slots))

    # -- transactions, receipts, logs -------------------------------------------------------------------------------------------------

    def executed(self, header: Header) -> Executed:
        """Return a block with its receipts. Raises RpcError, ProofError."""
        block = self.block(header)
        return Executed(block, self.receipts(block))

    def receipts(self, block: Block) -> list[TransactionReceipt]:
        """Return the receipts of a proven block; their `tx_hash` is the block's own, not the server's word. Raises RpcError, ProofError."""
        return self.upstreams.ask(lambda rpc: _receipts(rpc, block))

    def find_transaction(self, tx_hash: bytes) -> tuple[Block, int] | None:
        """Return the proven block that holds a transaction and its place there, None where no upstream shows one and one says that no block does.

        None is the upstreams' word: that a transaction is nowhere cannot be proven. Raises RpcError, ProofError.
        """
        error: GatewayError | None = None
        denied = False
        head = self.headers.latest()
        for upstream, place in self.upstreams.each(lambda rpc: _where(rpc, tx_hash)):
            if place is None or place[0] > head.number:
                denied = True  # in no block, or in one that nobody vouches for yet
                continue
            number, block_hash = place
            try:
                canonical = self.headers.by_number(number).hash == block_hash
            except RpcError as too_old:
                error = too_old
                continue
            if not canonical:
                elsewhere = f"transaction {to_hex(tx_hash)} in {to_hex(block_hash)}, not block {number} of the chain"
                if self.finalized is not None and number <= self.finalized().number:
                    error = self.upstreams.caught(upstream, f"it sees {elsewhere}, which is final")
                else:
                    error = RpcError(f"{upstream.name} sees {elsewhere}; ask again")
                continue
            block = self.upstreams.ask(partial(blocks.block, block_hash=block_hash))
            for index, transaction in enumerate(block.transactions):
                if transaction.hash == tx_hash:
                    return block, index
            error = self.upstreams.caught(upstream, f"transaction {to_hex(tx_hash)} is not in block {number}, where it is said to be")
        if error is not None and not denied:  # else one server that names a block of nowhere could have all others wait for ever
            raise error
        return None

    def logs(self, filter_: LogFilter, first: int, newest: Header) -> list[FoundLog]:
        """Return all logs that a filter takes in the blocks `first` to `newest`, in order; none can be missing.

        Every header of the range is proven; where its bloom does not rule the filter out, so are all receipts of the block.
        Raises RpcError (also for a range or a result that is too long), ProofError.
        """
        if newest.number - first >= MAX_LOG_BLOCKS:
            raise RpcError(f"{newest.number - first + 1} blocks are asked for logs, {MAX_LOG_BLOCKS} at most are answered; ask for a part")
        found: list[list[FoundLog]] = []
        for full in self.known.back_from(newest.hash):
            if full.header.number < first:
                break
            if filter_.may_be_in(full.fields["logsBloom"]):
                found.append(self._logs_of(filter_, full.header))
                if sum(map(len, found)) > MAX_LOGS:
                    raise RpcError(f"there are more than {MAX_LOGS} such logs; ask for fewer blocks")
        return [log for of_block in reversed(found) for log in of_block]

    def send(self, transaction: Transaction) -> bytes:
        """Hand a signed transaction to every upstream; return its hash, which no upstream is asked for. Raises RpcError where none takes it."""
        error: ProofError | None = None
        taken = False
        for upstream, claimed in self.upstreams.each(lambda rpc: _send(rpc, transaction)):
            taken |= claimed == transaction.hash
            if claimed != transaction.hash:
                error = self.upstreams.caught(upstream, f"it says that the hash of transaction {to_hex(transaction.hash)} is {to_hex(claimed)}")
        if error is not None and not taken:
            raise error
        return transaction.hash

    def _logs_of(self, filter_: LogFilter, header: Header) -> list[FoundLog]:
        executed = self.executed(header)
        found = []
        log_index = 0
        for index, receipt in enumerate(executed.receipts):
            for log in receipt.logs:
                if filter_.takes(log):
                    found.append(FoundLog(log, executed.block, index, log_index))
                log_index += 1
        return found


def _header_or_none(rpc: Rpc, block_hash: bytes) -> FullHeader | None:
    if rpc.call("eth_getBlockByHash", to_hex(block_hash), False) is None:
        return None
    return blocks.full_header(rpc, block_hash)


def _where(rpc: Rpc, tx_hash: bytes) -> tuple[int, bytes] | None:
    answer = rpc.call("eth_getTransactionReceipt", to_hex(tx_hash))
    if answer is None:
        return None
    return quantity(field(answer, "blockNumber"), "blockNumber"), data(field(answer, "blockHash"), "blockHash", 32)


def _code(rpc: Rpc, header: Header, address: bytes, code_hash: bytes) -> bytes:
    code = data(rpc.call("eth_getCode", to_hex(address), {"blockHash": to_hex(header.hash)}), "code")
    if keccak(code) != code_hash:
        raise ProofError(f"the code at {to_hex(address)} hashes to {to_hex(keccak(code))}, its account says {to_hex(code_hash)}")
    return code


def _receipts(rpc: Rpc, block: Block) -> list[TransactionReceipt]:
    receipts = proofs.block_receipts(rpc, block.header)
    if len(receipts) != len(block.transactions):
        raise ProofError(f"block {block.header.number} has {len(block.transactions)} transactions, but {len(receipts)} receipts")
    return [replace(receipt, tx_hash=transaction.hash) for receipt, transaction in zip(receipts, block.transactions, strict=True)]


def _send(rpc: Rpc, transaction: Transaction) -> bytes:
    """Return the hash that the server says the transaction has."""
    try:
        return data(rpc.call("eth_sendRawTransaction", to_hex(transaction.raw)), "transaction hash", 32)
    except RpcError as error:
        if error.rpc_code is None or "already" not in str(error).lower():  # "already known", "already imported": it has it
            raise
        return transaction.hash
