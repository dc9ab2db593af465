"""The plug over MQTT: the real firmware, real brokers, and a test in the relay's place."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wattseal.protocol.messages import Receipt

from tests.e2e.brokers import Amqtt, Listener, Mosquitto, MqttBench, needs_mosquitto

BROKERS = [Amqtt, pytest.param(Mosquitto, marks=needs_mosquitto)]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Amqtt | Mosquitto]:
    running = request.param(tmp_path)
    yield running
    running.close()


@pytest.fixture
def listener(broker: Amqtt | Mosquitto) -> Iterator[Listener]:
    running = Listener(broker.port)
    yield running
    running.close()


@pytest.fixture
def bench(tmp_path: Path, broker: Amqtt | Mosquitto, listener: Listener) -> Iterator[MqttBench]:
    running = MqttBench(tmp_path, broker.port, listener)
    yield running
    running.close()


def test_a_session_from_hello_to_the_acknowledged_receipt(bench: MqttBench) -> None:
    plug = bench.hello["plug"][2:]
    assert bench.listener.topic == f"wattseal/1/{plug[:2]}/{plug}/up"
    session = bench.start()
    bench.plug.run(10)
    bench.stop(session)
    bench.plug.run(6)
    receipt = bench.expect("receipt")["receipt"]
    assert Receipt.from_wire(receipt).final
    bench.send(type="ack", session=session, sequence=receipt["sequence"], status="stored")
    bench.send(type="ping")
    bench.expect("pong")


def test_greet_starts_over_and_brings_what_is_not_acknowledged(bench: MqttBench) -> None:
    session = bench.start()
    bench.plug.run(10)
    bench.stop(session)
    bench.plug.run(6)
    receipt = bench.expect("receipt")
    bench.send(type="greet")
    assert bench.receive()["type"] == "hello"
    assert bench.expect("session")["session"] == session
    assert bench.expect("receipt") == receipt


def test_what_is_no_message_costs_one_refusal_each(bench: MqttBench) -> None:
    for payload in (b"", b"hello", b"{", b"[]", b'{"type":1}', b"[" * 1000, b"x" * 2001, b"x" * 60_000, b"\xff" * 10):
        bench.listener.publish(payload)
        assert bench.expect("refused")["code"] == "bad_frame", payload[:20]
    bench.listener.publish(json.dumps({"type": "ping"}).encode(), qos=0)
    bench.expect("pong")
    bench.listener.publish(b'{"type":"format_flash"' + b" " * 1977 + b"}")
    assert bench.expect("refused")["code"] == "unknown_type"


def test_a_retained_command_is_not_carried_out(bench: MqttBench) -> None:
    bench.listener.publish(b'{"type":"ping"}', retain=True)
    bench.expect("pong")
    bench.plug.kill()
    bench.boot()
    assert bench.expect("refused")["message"].startswith("a retained message")


def test_the_last_will_says_that_the_plug_is_gone(bench: MqttBench) -> None:
    bench.plug.kill()
    assert bench.expect("gone") == {"type": "gone"}


def test_keep_alive_while_nothing_happens(bench: MqttBench, broker: Amqtt | Mosquitto) -> None:
    for _ in range(30):
        bench.plug.run(30)
    assert "link:" not in bench.plug.log.read_text()
    assert isinstance(broker, Amqtt) or broker.log.count("Received PINGREQ from wattseal-") >= 10  # every other message is a status each minute
    bench.send(type="ping")
    bench.expect("pong")


def test_a_broker_that_dies_in_a_session_costs_no_receipt(bench: MqttBench, broker: Amqtt | Mosquitto) -> None:
    session = bench.start()
    bench.plug.run(10)
    bench.listener.forget_subscription()
    broker.close()
    state = bench.plug.run(60)
    assert state["contacts"] == 1
    bench.plug.ask(cmd="unplug")
    bench.plug.run(10)
    broker.start()
    bench.listener.wait_subscribed()
    bench.accept()
    assert bench.expect("session")["session"] == session
    assert bench.expect_final()["session"] == session
