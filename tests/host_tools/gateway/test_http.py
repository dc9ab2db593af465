"""Servers that do over HTTP what nobody should: drip, never end, pack zeros."""

import base64
import gzip
import socket
import threading
import time
import tracemalloc

import pytest
from wattseal.errors import RpcError, TimeUp
from wattseal.gateway.http import HttpServer
from wattseal.gateway.time_limit import time_limit

from tests.host_tools.gateway.http_server import Handler, LocalServer

LIMIT = 100_000


@pytest.fixture
def serve():
    """Starts a server of which `answer`, a function of its handler, does all; gives a client of it."""
    servers = []

    def start(answer, timeout_s=5.0):
        servers.append(LocalServer(type("Told", (Handler,), {"answer": answer})))
        return HttpServer(servers[-1].url, timeout_s, RpcError)

    yield start
    for server in servers:
        server.close()


def drip(first, piece):
    """An answer that begins so and then goes on with a piece every few milliseconds, until nobody listens."""

    def answer(handler):
        handler.close_connection = True
        handler.wfile.write(first)
        while not hung_up.wait(0.02):
            handler.wfile.write(piece)

    hung_up = threading.Event()
    return answer


DRIPS = {
    "status line": (b"HTTP/1.1 2", b""),
    "a header without end": (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "only about to answer": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_what_drips_in_comes_to_an_end(serve, name):
    server = serve(drip(*DRIPS[name]), timeout_s=0.1)
    start = time.monotonic()
    with pytest.raises(RpcError, match=r"question: no (whole )?answer"):
        server.request("question", LIMIT)
    assert time.monotonic() - start < 2


def test_a_questions_own_limit_is_sooner_and_nobodys_fault(serve):
    server = serve(drip(*DRIPS["body"]))
    start = time.monotonic()
    with time_limit(0.1), pytest.raises(TimeUp, match="ask again"):
        server.request("question", LIMIT)
    with time_limit(0), pytest.raises(TimeUp):
        server.request("question", LIMIT)
    assert time.monotonic() - start < 2


def test_a_server_that_takes_no_request():
    """Its socket listens, and nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HttpServer(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.1, RpcError)
        with pytest.raises(RpcError, match="no answer"):
            server.request("question", LIMIT, json=b" " * (16 << 20))


def test_a_packed_answer(serve):
    server = serve(lambda handler: handler.send((200, {"content-encoding": "gzip"}, gzip.compress(b"x" * LIMIT, mtime=0))))
    assert server.request("question", LIMIT).body == b"x" * LIMIT


@pytest.mark.parametrize(
    "packed", [gzip.compress(bytes(64 << 20), mtime=0), gzip.compress(b"{}", mtime=0)[:-4] + b"0000", b"no gzip"], ids=["much", "cut", "none"]
)
def test_a_packed_answer_that_is_none_or_too_much_when_unpacked(serve, packed):
    server = serve(lambda handler: handler.send((200, {"content-encoding": "gzip"}, packed)))
    tracemalloc.start()
    try:
        with pytest.raises(RpcError, match=r"more than 100000 bytes|no answer"):
            server.request("question", LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_another_packing_than_was_asked_for(serve):
    with pytest.raises(RpcError, match="content-encoding br"):
        serve(lambda handler: handler.send((200, {"content-encoding": "br"}, b"{}"))).request("question", LIMIT)


def test_what_is_sent(serve):
    seen = []

    def answer(handler):
        seen.append((handler.command, handler.path, dict(handler.headers)))
        handler.send(handler.body() if handler.command == "POST" else b"got")

    server = serve(answer)
    place = server.name
    named = HttpServer(f"http://me:p%40ss@{place}/v3/", 5, RpcError)
    assert named.name == place
    assert named.request("question", LIMIT, json=b"{}").body == b"{}"
    assert named.request("question", LIMIT, path="a/b?c=1").body == b"got"
    (method, path, headers), (_, below, _) = seen
    assert (method, path, below) == ("POST", "/v3/", "/v3/a/b?c=1")
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert headers["host"] == place


@pytest.mark.parametrize(
    "url", ["", "no address", "ftp://127.0.0.1/", "http://", "http://[::1", "http://127.0.0.1:99999", "http://\u2028/", "http://a b/"]
)
def test_no_address(url):
    with pytest.raises(RpcError, match="no answer"):
        HttpServer(url, 1, RpcError).request("question", LIMIT)
