"""One beacon node that is slow, wrong, busy or hostile."""

import socket
import threading

import pytest
from wattseal.errors import BadUpdate, BeaconError, UnsupportedFork
from wattseal.gateway.consensus.beacon_client import BeaconClient
from wattseal.gateway.consensus.networks import MAINNET


@pytest.fixture
def node(nodes):
    return nodes()


def test_what_an_honest_node_says(node):
    root = node.tell(50)
    client = node.client()
    assert client.bootstrap(root) == node.chain.bootstrap(node.chain.block(16))
    assert client.updates(0, 1) == [node.made(40)]
    assert client.finality_update() == node.made(50, parts="finality")
    assert client.optimistic_update().attested_header == node.chain.block(50).header


@pytest.mark.parametrize(
    ("answer", "message", "rest_s"),
    [
        ((404, {}, b""), "does not have it", 0),
        ((200, {}, b"null"), "does not have it", 0),
        ((429, {}, b""), "30 s of rest", 30),
        ((429, {"retry-after": "7"}, b""), "7 s of rest", 7),
        ((503, {"retry-after": "999999999"}, b""), "3600 s of rest", 3600),
        ((429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""), "30 s of rest", 30),
        ((500, {}, b"oops"), "HTTP 500", 0),
        ((302, {"location": "http://127.0.0.1:1/"}, b""), "HTTP 302", 0),
        ((200, {}, b"<html>"), "JSON", 0),
        ((200, {}, b""), "JSON", 0),
        ((200, {}, b"[" * 100_000), "JSON", 0),
        ((200, {}, b"\xff"), "JSON", 0),
        ((200, {}, [b" " * 100_000] * 5), "more than 262144 bytes", 0),
    ],
)
def test_no_answer(node, answer, message, rest_s):
    node.answers["finality_update"] = answer
    with pytest.raises(BeaconError, match=message) as caught:
        node.client().finality_update()
    assert caught.value.retry_after_s == rest_s


@pytest.mark.parametrize("answer", [[], {}, 7, "text", {"data": None}, {"data": []}, {"version": 7, "data": {}}, {"version": "deneb"}])
def test_no_light_client_object(node, answer):
    node.answers["finality_update"] = answer
    with pytest.raises(BadUpdate):
        node.client().finality_update()


def test_a_fork_that_is_not_known(node):
    node.answers["finality_update"] = {"version": "gloas", "data": {}}
    with pytest.raises(UnsupportedFork, match=r"gloas.*update Wattseal"):
        node.client().finality_update()


@pytest.mark.parametrize("genesis", [{"data": {"genesis_validators_root": "0x" + MAINNET.genesis_validators_root.hex()}}, {"data": []}, [], 7])
def test_a_node_of_another_network(node, genesis):
    node.tell(50)
    node.answers["genesis"] = genesis
    with pytest.raises(BeaconError, match="is not of simulated"):
        node.client().finality_update()
    assert not node.asked


def test_a_node_that_serves_light_clients_only(node):
    node.tell(50)
    del node.answers["genesis"]
    node.client().finality_update()


def test_more_updates_than_asked_for(node):
    node.tell(200)
    node.answers["updates?start_period=0&count=1"] = node.answers["updates?start_period=0&count=2"]
    with pytest.raises(BadUpdate, match="asked for 1"):
        node.client().updates(0, 1)


def test_nobody_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = BeaconClient(f"http://user:secret@127.0.0.1:{unused.getsockname()[1]}/key", None)
        with pytest.raises(BeaconError, match="is it running") as caught:
            client.finality_update()
    assert "secret" not in str(caught.value).split("(")[0]


def test_silence(node):
    release = threading.Event()
    node.answers["finality_update"] = lambda: release.wait(10) and (200, {}, b"")
    try:
        with pytest.raises(BeaconError, match="no answer"):
            node.client(timeout_s=0.05).finality_update()
    finally:
        release.set()


def test_an_answer_without_end(node):
    """Each piece comes in time, the whole does not."""
    release = threading.Event()

    def drip():
        class Endless(list):
            def __iter__(self):
                while not release.wait(0.01):
                    yield b" "

        return 200, {}, Endless()

    node.answers["finality_update"] = drip
    try:
        with pytest.raises(BeaconError, match="no whole answer"):
            node.client(timeout_s=0.05).finality_update()
    finally:
        release.set()
