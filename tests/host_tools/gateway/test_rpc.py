import json
import threading

import pytest
from wattseal.errors import ProofError, RpcError
from wattseal.gateway import rpc as rpc_module
from wattseal.gateway.rpc import Rpc, data, quantity, to_hex

from tests.host_tools.gateway.http_server import serve


@pytest.fixture
def server():
    """An HTTP server whose `answer` maps a request to the body that it sends."""

    class Server:
        answer = None

    with serve(lambda request: Server.answer(request)) as Server.url:
        yield Server


def client(server, **options):
    return Rpc(server.url, **options)


def test_result(server):
    server.answer = lambda request: json.dumps({"id": request["id"], "result": request["params"]}).encode()
    assert client(server).call("echo", "0x1", False) == ["0x1", False]


def test_error_keeps_the_servers_code(server):
    server.answer = lambda request: json.dumps({"id": request["id"], "error": {"code": 3, "message": "execution reverted: lower"}}).encode()
    with pytest.raises(RpcError, match="eth_call: execution reverted: lower") as caught:
        client(server).call("eth_call")
    assert caught.value.rpc_code == 3
    assert caught.value.retry


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff", b"null", b"[]", b'"text"', b"[" * 100_000, b'{"id":999,"result":1}', b"9" * 5000, b'{"a":' * 10_000]
)
def test_no_answer_to_the_question(server, body):
    server.answer = lambda _: body
    with pytest.raises(RpcError, match="check the address") as caught:
        client(server).call("eth_chainId")
    assert caught.value.rpc_code is None


@pytest.mark.parametrize("error", ["text", 5, [], {}, {"code": "x"}, {"message": "y" * 10**6}])
def test_odd_errors(server, error):
    server.answer = lambda request: json.dumps({"id": request["id"], "error": error}).encode()
    with pytest.raises(RpcError) as caught:
        client(server).call("eth_chainId")
    assert len(str(caught.value)) < 400


def test_answer_too_long(server, monkeypatch):
    monkeypatch.setattr(rpc_module, "MAX_OTHER_BYTES", 1000)
    server.answer = lambda _: b" " * 2000
    with pytest.raises(RpcError, match="more than 1000 bytes"):
        client(server).call("eth_chainId")


def test_answer_too_late(server):
    released = threading.Event()
    server.answer = lambda _: str(released.wait(10)).encode()
    try:
        with pytest.raises(RpcError, match="no answer"):
            client(server, timeout_s=0.05).call("eth_chainId")
    finally:
        released.set()


def test_messages_keep_the_addresss_secrets():
    rpc = Rpc("http://user:hidden@127.0.0.1:1/v3/hidden?key=hidden")
    with pytest.raises(RpcError, match=r"127\.0\.0\.1:1 ") as caught:
        rpc.call("eth_chainId")
    assert "hidden" not in str(caught.value)


def test_nobody_there():
    with pytest.raises(RpcError, match="is it running"):
        Rpc("http://127.0.0.1:1").call("eth_chainId")
    with pytest.raises(RpcError, match="no answer"):
        Rpc("no address").call("eth_chainId")


@pytest.mark.parametrize("value", [None, 5, True, "5", "0x", "0x00", "0x01", "0X1", "-0x1", "0x1 ", "0x1\n", "0xg", "0x" + "f" * 65, "0x\u0661"])
def test_no_quantity(value):
    with pytest.raises(ProofError):
        quantity(value, "field")


@pytest.mark.parametrize("value", [None, 5, [], "", "00", "0x0", "0x0g", "0x00\n", " 0x00"])
def test_no_bytes(value):
    with pytest.raises(ProofError):
        data(value, "field")


def test_readers_and_writer_agree():
    assert quantity(to_hex(0), "field") == 0
    assert quantity(to_hex(2**256 - 1), "field") == 2**256 - 1
    assert data(to_hex(b"\0\xff"), "field", 2) == b"\0\xff"
    with pytest.raises(ProofError, match="has 2 bytes, not 3"):
        data("0x0000", "field", 3)
