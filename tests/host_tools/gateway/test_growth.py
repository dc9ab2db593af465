"""Nothing is kept of what was bad: thousands of bad questions, bad answers and dead servers leave the gateway as small as it was."""

import gc
import itertools
import json
import sys
import threading

import psutil
import pytest
from wattseal.gateway import server
from wattseal.gateway.chain import Chain
from wattseal.gateway.upstreams import UpstreamHeaders, Upstreams

from tests.host_tools.gateway.http_server import serve

CHAIN_ID = 31337
WARM_UP, QUESTIONS = 300, 2000
MAX_MORE_BLOCKS = 1000  # of memory, one for each small object: half of one a question
MAX_MORE_BYTES = 8 << 20

# Each with a number in it, so that no two are alike.
QUESTIONS_ASKED = [
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_getBalance", "params": [f"0x{n:040x}"]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_getBalance", "params": [f"0x{n:040x}", {"blockHash": f"0x{n:064x}"}]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_getTransactionReceipt", "params": [f"0x{n:064x}"]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_getLogs", "params": [{"fromBlock": "0x0", "toBlock": hex(n), "topics": [f"0x{n:064x}"]}]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_getLogs", "params": [{"topics": [[f"0x{n:064x}"] * n]}]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": f"eth_nothing{n}", "params": []},
    lambda n: {"jsonrpc": "2.0", "id": "x" * n, "method": "eth_chainId", "params": [n]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction", "params": [f"0x02{n:064x}"]},
    lambda n: [{"jsonrpc": "2.0", "id": n, "method": "eth_feeHistory", "params": [hex(n), "latest", [n % 200]]}] * 2,
    lambda n: {"id": [n]},
    lambda n: {"jsonrpc": "2.0", "id": n, "method": "eth_estimateGas", "params": [{"data": f"0x{n:064x}"}]},
]


def reply(request, **what):
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], **what}).encode()


ANSWERS = [
    lambda request, n: reply(request, result=None),
    lambda request, n: reply(request, error={"code": -32000, "message": f"no {n}"}),
    lambda request, n: reply(request, result="x" * n)[:-5],
    lambda request, n: (429, {}, b"slowly"),
    lambda request, n: (500, {}, f"<html>{n}".encode()),
    lambda request, n: reply({"id": n}, result=n),
    lambda request, n: b"[" * (1000 + n),
    lambda request, n: (200, {"content-encoding": "gzip"}, b"none"),
    lambda request, n: (200, {"content-length": "1000000"}, [b"{"]),
]
LIES = [lambda request, n: reply(request, result={"hash": f"0x{n:064x}", "accountProof": [f"0x{n:064x}"] * 3})]


def chain(answers):
    numbers = itertools.count()

    def answer(request):
        n = next(numbers)
        return reply(request, result=hex(CHAIN_ID)) if request["method"] == "eth_chainId" else answers[n % len(answers)](request, n)

    return answer


@pytest.mark.parametrize("answers", [ANSWERS, LIES], ids=["no answers", "lies"])
def test_what_is_bad_leaves_nothing(answers):
    with serve(chain(answers)) as one, serve(chain(answers)) as two:
        upstreams = Upstreams([one, two, "http://127.0.0.1:1"], CHAIN_ID, timeout_s=1)
        asked = Chain(upstreams, UpstreamHeaders(upstreams))

        def ask(numbers):
            for n in numbers:
                question = QUESTIONS_ASKED[n % len(QUESTIONS_ASKED)](n)
                said = json.loads(server._answer(asked, question).body)
                for part in said if isinstance(said, list) else [said]:
                    assert part["error"]["message"], question

        ask(range(WARM_UP))
        gc.collect()
        process, threads = psutil.Process(), threading.active_count()
        blocks, resident = sys.getallocatedblocks(), process.memory_info().rss
        ask(range(WARM_UP, WARM_UP + QUESTIONS))
        gc.collect()
        assert sys.getallocatedblocks() - blocks < MAX_MORE_BLOCKS
        assert process.memory_info().rss - resident < MAX_MORE_BYTES
        assert threading.active_count() <= threads + 20
        assert len(upstreams.known) == 0
