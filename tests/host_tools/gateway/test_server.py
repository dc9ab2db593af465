"""The verified JSON-RPC server over a chain, honest and not."""

import asyncio
import secrets
import time
from dataclasses import replace as replace_fields

import httpx
import pytest
from eth_account import Account
from eth_hash.auto import keccak
from wattseal.demo.lying_upstream import lying_upstream
from wattseal.errors import ProofError
from wattseal.gateway import blocks, fees, known_headers, proofs, server
from wattseal.gateway import chain as chain_module
from wattseal.gateway.chain import Chain
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.upstreams import UpstreamHeaders, Upstreams
from wattseal.protocol import signatures

CHAIN_ID = 31337
# Init code that logs one topic with four bytes, and leaves no code or one byte.
LOGGING = "0x7f" + "ab" * 32 + "6004600a" + "a1" + "00"
BASIS = "header taken on trust from the RPC"


def gateway(*urls, finalized=None, timeout_s=10.0):
    upstreams = Upstreams(urls, CHAIN_ID, timeout_s)
    return Chain(upstreams, UpstreamHeaders(upstreams), finalized)


class Client:
    def __init__(self, chain):
        self.chain = chain
        self.app = server.make_app(chain, loopback_only=True)

    def get(self, path, **options):
        return asyncio.run(self._request("GET", path, options))

    def post(self, **options):
        return asyncio.run(self._request("POST", "/", options))

    async def _request(self, method, path, options):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    def reply(self, method, *params):
        return self.post(json={"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).json()

    def call(self, method, *params):
        reply = self.reply(method, *params)
        assert reply.keys() == {"jsonrpc", "id", "result", "restsOn"}, reply
        return reply["result"]

    def error(self, method, *params):
        return self.reply(method, *params)["error"]


@pytest.fixture(scope="module")
def story(start_anvil):
    """A chain of its own with transactions of types 0, 1, 2 and 4, a creation, a failure and logs in blocks 3, 5 and 6."""
    with start_anvil("osaka") as url:
        rpc = Rpc(url)
        key = secrets.token_bytes(32)
        sender, receiver = signatures.address(key), secrets.token_bytes(20)
        rpc.call("anvil_setBalance", to_hex(sender), to_hex(10**20))
        rpc.call("anvil_setCode", to_hex(receiver[::-1]), "0x60006000fd")
        nonces = iter(range(100))
        hashes = {}

        def send(name, **fields):
            known = {"chainId": CHAIN_ID, "nonce": next(nonces), "gas": 100_000, "value": 0, **fields}
            if known.get("type", 0) < 2:
                known["gasPrice"] = 10**10
            else:
                known |= {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
            signed = Account.from_key(key).sign_transaction(known)
            hashes[name] = to_hex(bytes(signed.hash))
            rpc.call("eth_sendRawTransaction", to_hex(bytes(signed.raw_transaction)))

        rpc.call("evm_setAutomine", False)
        send("plain", to=receiver, value=5)
        send("list", to=receiver, type=1, accessList=[{"address": to_hex(receiver), "storageKeys": ["0x" + "01" * 32]}])
        rpc.call("evm_mine")  # block 2
        send("log 3", type=2, data=LOGGING)
        send("failed", type=2, to=receiver[::-1])
        rpc.call("evm_mine")
        rpc.call("evm_mine")
        send("log 5", type=2, data=LOGGING)
        rpc.call("evm_mine")
        authorization = Account.from_key(secrets.token_bytes(32)).sign_authorization({"chainId": CHAIN_ID, "address": receiver, "nonce": 0})
        send("authorization", type=4, to=receiver, authorizationList=[authorization])
        send("log 6", type=2, data=LOGGING)
        send("storing", type=2, data="0x6007600355" + "60016000f3")
        rpc.call("evm_mine")
        rpc.call("evm_mine")
        rpc.call("evm_setAutomine", True)
        stored = Rpc(url).call("eth_getTransactionReceipt", hashes["storing"])["contractAddress"]
        yield {"url": url, "rpc": rpc, "key": key, "sender": to_hex(sender), "receiver": to_hex(receiver), "hashes": hashes, "stored": stored}


@pytest.fixture
def honest(story):
    return Client(gateway(story["url"]))


@pytest.fixture(scope="module")
def liar(story):
    with lying_upstream(story["url"]) as upstream:
        yield upstream


def comparable(value, without=()):
    """Both sides' members that exist on both; anvil adds some that no header proves."""
    return {name: member for name, member in value.items() if name not in without}


# -- answers --------------------------------------------------------------------------------------------------------------------------


def test_the_nodes_own(honest, story):
    assert honest.call("eth_chainId") == "0x7a69"
    assert honest.call("net_version") == "31337"
    assert honest.call("eth_syncing") is False
    assert honest.call("web3_clientVersion").startswith("wattseal/")
    assert honest.call("eth_blockNumber") == story["rpc"].call("eth_blockNumber")


def test_every_answer_says_what_it_rests_on(honest, story):
    head = story["rpc"].call("eth_getBlockByNumber", "latest", False)
    rests_on = honest.reply("eth_getBalance", story["sender"], "latest")["restsOn"]
    assert rests_on == {"basis": BASIS, "blockNumber": head["number"], "blockHash": head["hash"], "timestamp": head["timestamp"]}


@pytest.mark.parametrize("tag", ["latest", "pending", "0x2", {"blockNumber": "0x3"}])
def test_state(honest, story, tag):
    sender, plain = story["sender"], story["rpc"]
    truth = {"pending": "latest"}.get(tag, tag) if isinstance(tag, str) else tag["blockNumber"]
    assert honest.call("eth_getBalance", sender, tag) == plain.call("eth_getBalance", sender, truth)
    assert honest.call("eth_getTransactionCount", sender, tag) == plain.call("eth_getTransactionCount", sender, truth)
    assert honest.call("eth_getStorageAt", story["stored"], "0x3", tag) == plain.call("eth_getStorageAt", story["stored"], "0x3", truth)


def test_state_of_a_block_by_its_hash(honest, story):
    block_hash = story["rpc"].call("eth_getBlockByNumber", "0x2", False)["hash"]
    assert honest.call("eth_getBalance", story["receiver"], {"blockHash": block_hash}) == "0x5"
    assert "is of the chain" in honest.error("eth_getBalance", story["receiver"], {"blockHash": "0x" + "11" * 32})["message"]


def test_code_and_slots(honest, story):
    assert honest.call("eth_getCode", story["stored"]) == "0x00"
    assert honest.call("eth_getStorageAt", story["stored"], "0x3") == "0x" + "07".rjust(64, "0")
    assert honest.call("eth_getStorageAt", story["stored"], "0x" + "03".rjust(64, "0")) == "0x" + "07".rjust(64, "0")
    nobody = "0x" + "12" * 20
    assert honest.call("eth_getCode", nobody) == "0x"
    assert honest.call("eth_getBalance", nobody) == "0x0"
    assert honest.call("eth_getTransactionCount", nobody) == "0x0"
    assert honest.call("eth_getStorageAt", nobody, "0x3") == "0x" + "0" * 64


@pytest.mark.parametrize("whole", [False, True])
def test_blocks_are_as_anvil_shows_them(honest, story, whole):
    for number in range(1, int(story["rpc"].call("eth_blockNumber"), 16) + 1):
        truth = story["rpc"].call("eth_getBlockByNumber", hex(number), whole)
        shown = honest.call("eth_getBlockByNumber", hex(number), whole)
        assert shown == honest.call("eth_getBlockByHash", truth["hash"], whole)
        assert comparable(shown, ["size", "transactions"]) == comparable(truth, ["size", "totalDifficulty", "transactions"])
        assert int(shown["size"], 16) == int(truth["size"], 16) + 1  # anvil leaves out the empty list of withdrawals
        if not whole:
            assert shown["transactions"] == truth["transactions"]
            continue
        for ours, theirs in zip(shown["transactions"], truth["transactions"], strict=True):
            assert comparable(ours, ["v", "yParity"]) == comparable({name: theirs[name] for name in ours}, ["v", "yParity"])
            assert int(ours["v"], 16) == int(theirs["v"], 16)
            assert ours == honest.call("eth_getTransactionByHash", ours["hash"])


def test_receipts_are_as_anvil_shows_them(honest, story):
    for name, tx_hash in story["hashes"].items():
        truth = story["rpc"].call("eth_getTransactionReceipt", tx_hash)
        shown = honest.call("eth_getTransactionReceipt", tx_hash)
        assert {key: shown[key] for key in shown if key != "logs"} == {key: truth[key] for key in shown if key != "logs"}, name
        assert shown["logs"] == [{key: log[key] for key in shown["logs"][0]} for log in truth["logs"]]
    assert honest.call("eth_getTransactionReceipt", story["hashes"]["failed"])["status"] == "0x0"
    assert honest.call("eth_getTransactionReceipt", story["hashes"]["storing"])["contractAddress"] == story["stored"]


def test_what_is_not_there_is_null_on_the_upstreams_word(honest):
    for method, more in (("eth_getTransactionReceipt", []), ("eth_getTransactionByHash", []), ("eth_getBlockByHash", [False])):
        reply = honest.reply(method, "0x" + "11" * 32, *more)
        assert reply["result"] is None
        assert "word" in reply["restsOn"]["basis"]
    assert honest.call("eth_getBlockByNumber", "0xffffff", False) is None


def test_logs_are_as_anvil_finds_them(honest, story):
    creators = [story["rpc"].call("eth_getTransactionReceipt", story["hashes"][name])["contractAddress"] for name in ("log 3", "log 6")]
    topic = "0x" + "ab" * 32
    block_hash = story["rpc"].call("eth_getBlockByNumber", "0x5", False)["hash"]
    filters = [
        ({"fromBlock": "0x0"}, 3),
        ({"fromBlock": "0x4", "toBlock": "0x5"}, 1),
        ({"fromBlock": "0x4", "toBlock": "0xffffff", "topics": [topic]}, 2),
        ({"fromBlock": "0x1", "topics": [["0x" + "11" * 32, topic]], "address": creators}, 2),
        ({"fromBlock": "0x1", "address": creators[0]}, 1),
        ({"fromBlock": "0x1", "topics": ["0x" + "11" * 32]}, 0),
        ({"fromBlock": "0x1", "topics": [None, topic]}, 0),
        ({"blockHash": block_hash, "topics": [topic]}, 1),
        ({}, 0),
    ]
    for wanted, count in filters:
        truth = story["rpc"].call("eth_getLogs", wanted)
        shown = honest.call("eth_getLogs", wanted)
        assert len(shown) == count
        assert shown == [{key: log[key] for key in shown[0]} for log in truth]


@pytest.mark.parametrize("whose", ["sender", "stored", "nobody"])
def test_a_proof_is_anvils_and_was_checked(honest, story, whose):
    address = story.get(whose, "0x" + "12" * 20)
    slots = ["0x3", "0x" + "03".rjust(64, "0"), "0x" + "ab" * 32]
    truth = story["rpc"].call("eth_getProof", address, ["0x" + slot[2:].rjust(64, "0") for slot in slots], "0x6")
    shown = honest.call("eth_getProof", address, slots, "0x6")
    assert [entry["key"] for entry in shown["storageProof"]] == slots
    for ours, theirs in zip(shown["storageProof"], truth["storageProof"], strict=True):
        assert ours["value"] == theirs["value"]
        # of an empty trie anvil sends the empty node; where there is no account nothing more is needed
        assert [node for node in ours["proof"] if node != "0x80"] == [node for node in theirs["proof"] if node != "0x80"]
    assert shown["accountProof"] == truth["accountProof"]
    assert {name: shown[name] for name in ("address", "balance", "nonce", "codeHash")} == {
        "address": address,
        "balance": honest.call("eth_getBalance", address, "0x6"),
        "nonce": honest.call("eth_getTransactionCount", address, "0x6"),
        "codeHash": to_hex(keccak(bytes.fromhex(honest.call("eth_getCode", address, "0x6")[2:]))),
    }
    assert "at most 64" in honest.error("eth_getProof", address, ["0x1"] * 65)["message"]


def test_a_block_by_its_parts(honest, story):
    block = honest.call("eth_getBlockByNumber", "0x3", True)
    for suffix, name in (("Number", "0x3"), ("Hash", block["hash"])):
        assert honest.call(f"eth_getBlockTransactionCountBy{suffix}", name) == "0x2"
        for index, transaction in enumerate(block["transactions"]):
            assert honest.call(f"eth_getTransactionByBlock{suffix}AndIndex", name, hex(index)) == transaction
        assert honest.call(f"eth_getTransactionByBlock{suffix}AndIndex", name, "0x2") is None
        receipts = [honest.call("eth_getTransactionReceipt", transaction["hash"]) for transaction in block["transactions"]]
        assert honest.call("eth_getBlockReceipts", name) == receipts
    assert honest.call("eth_accounts") == []


def test_fees_follow_from_proven_blocks(honest, story):
    number = int(story["rpc"].call("eth_blockNumber"), 16)
    for percentiles in ([], [10, 50.5, 100]):
        truth = story["rpc"].call("eth_feeHistory", hex(number), "latest", percentiles)
        shown = honest.call("eth_feeHistory", hex(number), "latest", percentiles)
        assert shown["baseFeePerGas"] == truth["baseFeePerGas"][-number - 1 :]
        assert shown["gasUsedRatio"] == pytest.approx(truth["gasUsedRatio"][-number:])
        assert ("reward" in shown) == bool(percentiles)
    tips = honest.call("eth_feeHistory", "0x2", "0x6", [50])["reward"]
    assert tips == [["0x3b9aca00"], ["0x3b9aca00"]]
    assert honest.call("eth_maxPriorityFeePerGas") == "0x3b9aca00"
    base_fee = int(honest.call("eth_feeHistory", "0x1", "latest")["baseFeePerGas"][-1], 16)
    assert int(honest.call("eth_gasPrice"), 16) == base_fee + 10**9


def test_an_estimate_is_called_a_hint(honest, story):
    reply = honest.reply("eth_estimateGas", {"from": story["sender"], "to": story["receiver"], "value": "0x1"})
    assert int(reply["result"], 16) >= 21000
    assert "not proven" in reply["restsOn"]["basis"]


@pytest.mark.parametrize("method", ["eth_call", "eth_sendTransaction", "eth_newFilter", "txpool_status", "anvil_setBalance", "x" * 10**5])
def test_what_cannot_be_proven_is_refused_by_name_and_never_passed_on(liar, story, method):
    liar.asked.clear()
    error = Client(gateway(liar.url)).error(method, {"to": story["receiver"]})
    assert error["code"] == -32601
    assert error["message"].startswith(method[:80])
    assert len(error["message"]) < 800
    assert liar.asked == []


def test_finality_is_claimed_only_where_something_says_so(honest, story):
    assert "taken on trust" in honest.error("eth_getBalance", story["sender"], "finalized")["message"]

    client = Client(gateway(story["url"], finalized=lambda: honest.chain.headers.by_number(2)))
    reply = client.reply("eth_getBalance", story["receiver"], "finalized")
    assert reply["result"] == "0x5"
    assert reply["restsOn"]["basis"] == "header taken on trust from the RPC, final"
    assert reply["restsOn"]["blockNumber"] == "0x2"


class Source:
    """A header source of which a test says what it vouches for."""

    basis = "vouched for by the test"

    def __init__(self, newest, by_number):
        self.latest = lambda: newest
        self.by_number = by_number


def test_what_nobody_vouches_for_yet_is_not_there(honest, story):
    """Upstreams may be ahead of a light client."""
    headers = honest.chain.headers
    block_hash = story["rpc"].call("eth_getBlockByNumber", "0x6", False)["hash"]
    behind = Client(Chain(honest.chain.upstreams, Source(headers.by_number(5), headers.by_number)))
    assert behind.call("eth_getTransactionReceipt", story["hashes"]["log 5"])["status"] == "0x1"
    assert behind.call("eth_getTransactionReceipt", story["hashes"]["log 6"]) is None
    assert behind.call("eth_getBlockByNumber", "0x6", False) is None
    assert behind.call("eth_getBlockByHash", block_hash, False) is None
    assert "after the newest one that is vouched for, 5" in behind.error("eth_getBalance", story["sender"], "0x6")["message"]
    assert len(behind.call("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x7"})) == 2


def test_a_block_of_another_fork_is_not_of_the_chain(honest, story):
    headers = honest.chain.headers
    other = Client(Chain(honest.chain.upstreams, Source(headers.latest(), lambda number: headers.by_number(number - 1))))
    assert "not block 2 of the chain" in other.error("eth_getTransactionReceipt", story["hashes"]["plain"])["message"]
    assert other.chain.upstreams.all[0].lies == 0
    block_hash = story["rpc"].call("eth_getBlockByNumber", "0x2", False)["hash"]
    assert other.call("eth_getBlockByHash", block_hash, False) is None


def test_a_header_that_has_more_receipts_than_transactions(honest):
    """No chain makes one, but a server that makes up headers can."""
    header = honest.chain.headers.by_number(2)
    block = replace_fields(honest.chain.block(header), transactions=[])
    with pytest.raises(ProofError, match="0 transactions, but 2 receipts"):
        honest.chain.upstreams.ask(lambda rpc: chain_module._receipts(rpc, block))


def test_percentiles_of_tips_are_weighed_by_gas():
    bought = [(1, 10), (5, 80), (9, 10)]
    assert [fees._reached(bought, gas) for gas in (0, 10, 11, 90, 91, 100)] == [1, 1, 5, 5, 9, 9]
    assert fees._reached([], 0) == 0


# -- sending --------------------------------------------------------------------------------------------------------------------------


def signed_transfer(story, **changes):
    nonce = int(story["rpc"].call("eth_getTransactionCount", story["sender"], "latest"), 16)
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "gas": 21000,
        "to": bytes.fromhex(story["receiver"][2:]),
        "value": 1,
        "maxFeePerGas": 10**10,
    }
    return Account.from_key(story["key"]).sign_transaction({**fields, "maxPriorityFeePerGas": 1, **changes})


def test_a_transaction_is_sent_and_its_receipt_proven(honest, story):
    signed = signed_transfer(story)
    tx_hash = honest.call("eth_sendRawTransaction", to_hex(bytes(signed.raw_transaction)))
    assert tx_hash == to_hex(bytes(signed.hash))
    assert honest.call("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"


def test_a_transaction_that_nobody_can_take_is_not_passed_on(liar, story):
    liar.asked.clear()
    client = Client(gateway(liar.url))
    raw = bytes(signed_transfer(story).raw_transaction)
    other_chain = bytes(signed_transfer(story, chainId=1).raw_transaction)
    for wrong, message in [
        (raw[:-1], "signed transaction"),
        (raw + b"\0", "follow"),
        (other_chain, "chain 1, not 31337"),
        (b"", "signed transaction"),
    ]:
        error = client.error("eth_sendRawTransaction", to_hex(wrong))
        assert error["code"] == -32602
        assert message in error["message"]
    assert "blob" in client.error("eth_sendRawTransaction", "0x03c0")["message"]
    assert liar.asked == []


def test_a_refusal_by_the_upstream_is_passed_back_with_its_code(honest, story):
    error = honest.error("eth_sendRawTransaction", to_hex(bytes(signed_transfer(story, nonce=0).raw_transaction)))
    assert "nonce too low" in error["message"]
    assert error["code"] == -32003


# -- lies -----------------------------------------------------------------------------------------------------------------------------


def replace(method, change):
    """A lie about the answers to one method."""
    return lambda asked, _params, result: change(result) if asked == method else result


def forged_log(receipts):
    return [*receipts[:-1], receipts[-1] | {"logs": []}] if receipts else receipts


LIES = {
    "balance": (
        replace("eth_getProof", lambda r: r | {"accountProof": [*r["accountProof"][:-1], r["accountProof"][-1][:-2] + "00"]}),
        "eth_getBalance",
    ),
    "absence": (replace("eth_getProof", lambda r: r | {"accountProof": r["accountProof"][:-1]}), "eth_getBalance"),
    "nonce": (replace("eth_getProof", lambda r: r | {"accountProof": []}), "eth_getTransactionCount"),
    "proof": (replace("eth_getProof", lambda r: r | {"storageProof": [p | {"proof": p["proof"][:-1]} for p in r["storageProof"]]}), "eth_getProof"),
    "slot": (replace("eth_getProof", lambda r: r | {"storageProof": [p | {"value": "0x8"} for p in r["storageProof"]]}), "eth_getStorageAt"),
    "code": (replace("eth_getCode", lambda _: "0x01"), "eth_getCode"),
    "header's time": (replace("eth_getBlockByNumber", lambda r: r | {"timestamp": "0x1"}), "eth_blockNumber"),
    "header's state root": (replace("eth_getBlockByNumber", lambda r: r | {"stateRoot": "0x" + "11" * 32}), "eth_getBalance"),
    "other block": (replace("eth_getBlockByHash", lambda r: r | {"gasUsed": "0x1"}), "eth_getBlockByNumber"),
    "transaction left out": (replace("eth_getBlockByHash", lambda r: r | {"transactions": r["transactions"][1:]}), "eth_getTransactionReceipt"),
    "value sent": (
        replace(
            "eth_getBlockByHash", lambda r: r | {"transactions": [tx | {"value": "0x63"} if isinstance(tx, dict) else tx for tx in r["transactions"]]}
        ),
        "eth_getTransactionReceipt",
    ),
    "withdrawal": (
        replace(
            "eth_getBlockByHash",
            lambda r: r | {"withdrawals": [{"index": "0x0", "validatorIndex": "0x0", "address": "0x" + "11" * 20, "amount": "0x1"}]},
        ),
        "eth_getBlockByNumber",
    ),
    "receipt's status": (replace("eth_getBlockReceipts", lambda r: [entry | {"status": "0x0"} for entry in r]), "eth_getTransactionReceipt"),
    "receipt's gas": (replace("eth_getBlockReceipts", lambda r: [entry | {"cumulativeGasUsed": "0x1"} for entry in r]), "eth_getTransactionReceipt"),
    "receipts left out": (replace("eth_getBlockReceipts", lambda r: r[:-1]), "eth_getTransactionReceipt"),
    "receipt in another block": (
        lambda asked, _params, result: (
            result | {"blockNumber": "0x3", "blockHash": LIES_CONTEXT["block 3"]} if asked == "eth_getTransactionReceipt" else result
        ),
        "eth_getTransactionReceipt",
    ),
    "log left out": (replace("eth_getBlockReceipts", forged_log), "eth_getLogs"),
    "bloom without the log": (replace("eth_getBlockByHash", lambda r: r | {"logsBloom": "0x" + "00" * 256}), "eth_getLogs"),
    "another sent hash": (replace("eth_sendRawTransaction", lambda _: "0x" + "11" * 32), "eth_sendRawTransaction"),
}
LIES_CONTEXT: dict[str, str] = {}


def question(story, method):
    return {
        "eth_getBalance": [story["sender"]],
        "eth_getTransactionCount": [story["sender"]],
        "eth_getStorageAt": [story["stored"], "0x3"],
        "eth_getProof": [story["stored"], ["0x3"]],
        "eth_getCode": [story["stored"]],
        "eth_blockNumber": [],
        "eth_getBlockByNumber": ["0x2", False],
        "eth_getTransactionReceipt": [story["hashes"]["plain"]],
        "eth_getLogs": [{"fromBlock": "0x1", "toBlock": "0x7"}],
        "eth_sendRawTransaction": [to_hex(bytes(signed_transfer(story, nonce=10**6 + secrets.randbits(32)).raw_transaction))],
    }[method]


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_refused_named_counted_and_the_next_upstream_asked(story, liar, name):
    LIES_CONTEXT["block 3"] = story["rpc"].call("eth_getBlockByNumber", "0x3", False)["hash"]
    liar.lie, method = LIES[name]
    params = question(story, method)
    alone = Client(gateway(liar.url))
    error = alone.error(method, *params)
    server_name = liar.url.removeprefix("http://")
    assert f"upstream {server_name} was caught lying" in error["message"]
    assert error["data"] == {"code": "bad_proof"}
    assert "\n" not in error["message"]
    asked = len(liar.asked)
    assert "every upstream was caught lying" in alone.error("eth_blockNumber")["message"]
    assert len(liar.asked) == asked  # it is not asked again

    both = Client(gateway(liar.url, story["url"]))
    params = question(story, method)
    assert both.call(method, *params) == Client(gateway(story["url"])).call(method, *params)
    lied, honest = both.get("/status").json()["upstreams"]
    assert (lied["server"], lied["lies"], honest["lies"]) == (server_name, 1, 0)
    assert lied["dropped_for"]
    assert honest["answers"] > 0


def members(answer, path=()):
    """The paths of all strings in an answer."""
    if isinstance(answer, str):
        yield path
    elif isinstance(answer, dict | list):
        for key, member in answer.items() if isinstance(answer, dict) else enumerate(answer):
            yield from members(member, (*path, key))


def with_member_changed(answer, path):
    """A copy with the last hex digit at `path` changed, or one put where there is none."""
    if not path:
        return answer[:-1] + ("1" if answer[-1] != "1" else "2") if len(answer) > 2 else answer + ("11" if answer == "0x" else "1")
    copy = dict(answer) if isinstance(answer, dict) else list(answer)
    copy[path[0]] = with_member_changed(answer[path[0]], path[1:])
    return copy


class Changed:
    """The chain's own RPC with one answer changed."""

    def __init__(self, rpc, method, answer):
        self.rpc, self.method, self.answer = rpc, method, answer

    def call(self, method, *params):
        return self.answer if method == self.method else self.rpc.call(method, *params)


# What no proof needs, because it is computed from what is proven.
COMPUTED = {
    "size",
    "totalDifficulty",
    "hash",
    "blockHash",
    "blockNumber",
    "transactionIndex",
    "from",
    "chainId",
    "gasPrice",
    "yParity",
    "blockTimestamp",
}


def test_every_single_member_of_a_block_changed_is_refused_or_not_used(honest, story):
    refused = ignored = 0
    for number in (2, 3, 6):
        header = honest.chain.headers.by_number(number)
        proven = honest.chain.block(header)
        answer = story["rpc"].call("eth_getBlockByHash", to_hex(header.hash), True)
        for path in members(answer):
            changed = Changed(story["rpc"], "eth_getBlockByHash", with_member_changed(answer, path))
            try:
                assert blocks.block(changed, header.hash) == proven, path
            except ProofError:
                refused += 1
            else:
                assert path[-1] in COMPUTED, path
                ignored += 1
    print(f"{refused} changes refused, {ignored} in members that are computed instead")  # noqa: T201
    assert refused > 150


def test_every_single_member_of_the_receipts_changed_is_refused_or_not_used(honest, story):
    refused = 0
    shown = {"status", "cumulativeGasUsed", "logsBloom", "type"}
    for number in (2, 3, 6):
        header = honest.chain.headers.by_number(number)
        answer = story["rpc"].call("eth_getBlockReceipts", to_hex(header.hash))
        for path in members(answer):
            changed = Changed(story["rpc"], "eth_getBlockReceipts", with_member_changed(answer, path))
            if path[1] in shown or (path[1] == "logs" and path[3] in ("address", "topics", "data")):
                with pytest.raises(ProofError):
                    proofs.block_receipts(changed, header)
                refused += 1
            elif path[1] != "transactionHash":
                assert proofs.block_receipts(changed, header) == proofs.block_receipts(story["rpc"], header), path
    print(f"{refused} changes refused")  # noqa: T201
    assert refused > 30


def test_an_upstream_that_hides_a_receipt_is_not_enough(story, liar):
    liar.lie = replace("eth_getTransactionReceipt", lambda _: None)
    assert Client(gateway(liar.url)).call("eth_getTransactionReceipt", story["hashes"]["plain"]) is None
    found = Client(gateway(liar.url, story["url"])).call("eth_getTransactionReceipt", story["hashes"]["plain"])
    assert found["status"] == "0x1"


def test_a_lie_in_a_member_that_nobody_passes_on_changes_nothing(story, liar, honest):
    """`from`, `logIndex` and the like are computed, whatever the upstream says."""
    lied = {"from": "0x" + "11" * 20, "effectiveGasPrice": "0x1", "contractAddress": "0x" + "11" * 20, "transactionHash": "0x" + "11" * 32}
    liar.lie = replace("eth_getBlockReceipts", lambda r: [entry | lied for entry in r])
    tx_hash = story["hashes"]["storing"]
    assert Client(gateway(liar.url)).call("eth_getTransactionReceipt", tx_hash) == honest.call("eth_getTransactionReceipt", tx_hash)


@pytest.mark.parametrize("nonsense", [5, [], "text", {}, "0x", [None], [[]], [{}], "0x" + "c1" * 3000])
@pytest.mark.parametrize(
    "method", ["eth_getProof", "eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getTransactionReceipt"]
)
def test_nonsense_is_one_clear_line(story, liar, method, nonsense):
    liar.lie = replace(method, lambda _: nonsense)
    for asked in ("eth_getBalance", "eth_getTransactionReceipt", "eth_getLogs"):
        reply = Client(gateway(liar.url)).reply(asked, *question(story, asked))
        assert "result" in reply or 0 < len(reply["error"]["message"]) < 600


# -- bounds ---------------------------------------------------------------------------------------------------------------------------


def test_a_question_of_many_calls_ends_in_time_and_goes_on_where_it_was(story, liar, monkeypatch):
    def slow(_method, _params, result):
        time.sleep(0.05)
        return result

    liar.lie = slow
    client = Client(gateway(liar.url))
    client.call("eth_chainId")
    wanted = {"fromBlock": "0x1", "toBlock": "0x7"}
    monkeypatch.setattr(server, "MAX_ANSWER_S", 0.3)
    replies = []
    while not replies or "error" in replies[-1]:
        start = time.monotonic()
        replies.append(client.reply("eth_getLogs", wanted | {"topics": ["0x" + "11" * 32]}))
        assert time.monotonic() - start < 1
    assert {reply["error"]["data"]["code"] for reply in replies[:-1]} == {"time_up"}
    assert replies[-1]["result"] == []
    assert (client.chain.upstreams.all[0].errors, client.chain.upstreams.all[0].lies) == (0, 0)


def test_a_batch_has_the_time_of_one(story, liar, monkeypatch):
    liar.lie = lambda _method, _params, result: time.sleep(0.05) or result
    monkeypatch.setattr(server, "MAX_ANSWER_S", 0.3)
    start = time.monotonic()
    ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [story["sender"], "latest"]}
    replies = Client(gateway(liar.url)).post(json=[ask] * 50).json()
    assert time.monotonic() - start < 1
    assert "result" in replies[0]
    assert {reply["error"]["data"]["code"] for reply in replies[10:]} == {"time_up"}


def test_a_range_that_is_too_long(honest, monkeypatch):
    monkeypatch.setattr(chain_module, "MAX_LOG_BLOCKS", 3)
    assert "3 at most" in honest.error("eth_getLogs", {"fromBlock": "0x1"})["message"]


def test_too_many_logs(honest, monkeypatch):
    monkeypatch.setattr(chain_module, "MAX_LOGS", 2)
    assert "more than 2" in honest.error("eth_getLogs", {"fromBlock": "0x1"})["message"]


def test_known_headers_are_bounded(story, monkeypatch):
    monkeypatch.setattr(known_headers, "MAX_KNOWN", 3)
    client = Client(gateway(story["url"]))
    client.call("eth_getLogs", {"fromBlock": "0x1"})
    assert len(client.chain.known) == 3


def test_a_known_header_is_not_asked_for_again(story, liar):
    liar.lie = lambda _method, _params, result: result
    client = Client(gateway(liar.url))
    client.call("eth_getLogs", {"fromBlock": "0x1", "topics": ["0x" + "11" * 32]})
    liar.asked.clear()
    client.call("eth_getLogs", {"fromBlock": "0x1", "topics": ["0x" + "11" * 32]})
    assert "eth_getBlockByHash" not in liar.asked


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 200, -32700),
        (b"{", 200, -32700),
        (b"[" * 100_000, 200, -32700),
        (b" " * (server.MAX_BODY_BYTES + 1), 413, -32600),
        (b"[]", 200, -32600),
        (b"[" + b"1," * 100 + b"1]", 200, -32600),
        (b"5", 200, -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', 200, -32600),
        (b'{"jsonrpc":"2.0","id":[],"method":"eth_chainId"}', 200, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', 200, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', 200, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[5]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[[]]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"topics":"0x"}]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0x1","latest",[1,"a"]]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0x0","latest"]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",1]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["newest",true]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":[["latest"],true]}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x1111111111111111111111111111111111111111",[]]}', 200, -32602),
    ],
)
def test_requests_that_are_none(honest, body, status, code):
    reply = honest.post(content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == code
    assert len(reply.content) < 1000


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"9" * 4000, b"9" * 5000, b'"\\u0000"', b"1.5", b"true", b"null"])
def test_odd_values_crash_nothing(honest, value):
    for body in (
        b'{"jsonrpc":"2.0","id":%s,"method":"eth_chainId"}' % value,
        b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[%s]}' % value,
        b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":[%s,"latest",[%s]]}' % (value, value),
        b'{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":%s,"topics":[[%s]]}]}' % (value, value),
        b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":[%s,%s]}' % (value, value),
        b'{"jsonrpc":"2.0","id":1,"method":"eth_estimateGas","params":[{"to":%s}]}' % value,
    ):
        reply = honest.post(content=body, headers={"content-type": "application/json"})
        assert reply.status_code == 200
        assert reply.json().keys() & {"result", "error"}


def test_batches_and_notifications(honest):
    ask = {"jsonrpc": "2.0", "method": "eth_chainId"}
    replies = honest.post(json=[ask | {"id": 1}, ask, 5, ask | {"id": "two"}]).json()
    assert [reply["id"] for reply in replies] == [1, None, "two"]
    assert honest.post(json=ask).status_code == 204


def test_other_sites_pages_are_kept_out(honest):
    assert honest.post(content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert honest.get("/status", headers={"host": "evil.example:8547"}).status_code == 421
