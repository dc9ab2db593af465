"""Plugs at Mosquitto."""

import asyncio
import json
from typing import Any

import pytest
from wattseal.errors import PlugOffline
from wattseal.protocol.messages import to_hex
from wattseal.relay.links import Timings, mqtt, pace
from wattseal.relay.links.mqtt import MAX_PAYLOAD_UP
from wattseal.relay.links.mqtt_client import BrokerAddress, MqttClient

from tests.host_tools.conftest import PATIENCE_S, until
from tests.host_tools.relay.links.conftest import Mosquitto, MqttPlug, MqttRelay

pytestmark = pytest.mark.anyio


async def deliver(relay: MqttRelay, plug: MqttPlug, session: bytes, sequence: int) -> dict[str, Any]:
    await plug.send(relay.actors.receipt_message(session, sequence).frame())
    return await plug.expect("ack")


async def test_a_receipt_is_committed_and_acknowledged(at_broker: MqttRelay) -> None:
    plug = await at_broker.connect()
    session = await at_broker.charge(plug)
    assert await deliver(at_broker, plug, session, 1) == {"type": "ack", "session": to_hex(session), "sequence": 1, "status": "stored"}
    assert at_broker.store.count_receipts(session) == 1


async def test_duplicates_and_late_ones_are_acknowledged_and_counted_once(at_broker: MqttRelay) -> None:
    plug = await at_broker.connect()
    session = await at_broker.charge(plug)
    answers = [(await deliver(at_broker, plug, session, sequence))["status"] for sequence in (3, 3, 1, 2, 1, 3)]
    assert answers == ["stored", "stored", "superseded", "superseded", "superseded", "stored"]
    assert at_broker.quarantined_codes() == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "bad_frame"),
        (b"\xff\xfe\x00", "bad_frame"),
        (b"[]", "bad_frame"),
        (b"null", "bad_frame"),
        (b'{"type":1}', "bad_frame"),
        (b'{"type":"pong","type":"pong"}', "bad_frame"),
        (b'{"type":"pong","at":1.5}', "bad_frame"),
        (b'{"type":"pong","at":NaN}', "bad_frame"),
        (b'{"type":"\\ud800"}', "bad_frame"),
        (b'{"type":"pong","x":' + b"[" * 1000 + b"]" * 1000 + b"}", "bad_frame"),
        (b'{"type":"pong","x":"' + b"x" * MAX_PAYLOAD_UP + b'"}', "bad_frame"),
        (b"x" * 200_000, "bad_frame"),
        (b'{"type":"reboot"}', "unknown_type"),
        (b'{"type":"pong","x":1}', "malformed"),
        (b'{"type":"offer","nonce":-1,"issued_at":0}', "malformed"),
    ],
)
async def test_what_is_no_message_is_refused_by_name_and_kept(at_broker: MqttRelay, payload: bytes, code: str) -> None:
    plug = await at_broker.connect()
    session = await at_broker.charge(plug)
    await plug.send_raw(payload)
    assert (await plug.expect("refused"))["code"] == code
    entry = at_broker.store.quarantined()[0]
    assert (entry.code, entry.peer) == (code, f"mqtt:{to_hex(plug.plug)}")
    assert entry.raw == payload[: len(entry.raw)]
    assert len(entry.raw) >= min(len(payload), MAX_PAYLOAD_UP + 1)
    assert (await deliver(at_broker, plug, session, 1))["sequence"] == 1


async def test_before_hello_a_plug_is_greeted_once_and_nothing_is_taken(at_broker: MqttRelay) -> None:
    plug = await at_broker.plug()
    accepted = at_broker.actors.session()
    await plug.send(accepted.frame(), at_broker.actors.status("idle"), {"type": "gone"})
    assert await plug.expect("greet") == {"type": "greet"}
    await plug.send(at_broker.actors.hello())
    await plug.expect("time")
    assert plug.heard == [{"type": "greet"}, {"type": "time", "utc": at_broker.gateway.head}]
    assert at_broker.store.plugs() == []
    assert at_broker.quarantined_codes() == []


async def test_hello_of_another_plug_than_the_topics_is_refused(at_broker: MqttRelay) -> None:
    plug = await at_broker.plug()
    await plug.send(at_broker.actors.hello(plug=to_hex(at_broker.actors.other_plug)))
    assert (await plug.expect("refused"))["code"] == "wrong_plug"
    assert at_broker.relay.connections == {}


async def test_another_version_is_refused_by_name_on_its_own_topic(at_broker: MqttRelay) -> None:
    plug = await at_broker.plug()
    await plug.client.subscribe(plug.topic("down", version=2))
    await plug.send_raw(b"\x93 no JSON any more", plug.topic("up", version=2))
    refused = await plug.expect("refused")
    assert refused["code"] == "unsupported_version"
    assert "version 2" in refused["message"]
    await plug.send(at_broker.actors.hello(version=2))
    assert (await plug.expect("refused"))["code"] == "unsupported_version"
    assert at_broker.relay.connections == {}


async def test_another_chain_is_refused_and_may_be_corrected(at_broker: MqttRelay) -> None:
    plug = await at_broker.plug()
    await plug.send(at_broker.actors.hello(chain_id=1))
    assert (await plug.expect("refused"))["code"] == "wrong_chain"
    await plug.send(at_broker.actors.hello())
    await plug.expect("time")


@pytest.mark.parametrize(
    "topic", ["wattseal/1/{shard}/{plug}/up/", "wattseal/1/00/{plug}/up", "wattseal/1/{shard}/x/up", "wattseal/one/{shard}/{plug}/up"]
)
async def test_a_topic_that_is_none_of_ours_is_quarantined(at_broker: MqttRelay, topic: str) -> None:
    plug = await at_broker.connect()
    wrong = topic.format(plug=plug.plug.hex(), shard=plug.plug.hex()[:2])
    await plug.send_raw(b'{"type":"pong","budget_ma":null}', wrong)
    await plug.send_raw(b"x" * 5000, "wattseal/1/" + "y" * 60_000 + "/z/up")
    await plug.send_raw(b"rubbish")
    await plug.expect("refused")
    assert at_broker.quarantined_codes() == ["malformed"] * (1 if topic.endswith("/") else 2) + ["bad_frame"]


async def test_a_retained_message_is_not_taken(mosquitto: Mosquitto, at_broker: MqttRelay) -> None:
    plug = await at_broker.connect()
    await plug.client.publish(plug.topic("up"), json.dumps(at_broker.actors.session().frame()), qos=1, retain=True)
    late = MqttRelay(at_broker.store, at_broker.gateway, at_broker.actors, Timings())
    async with late.at(mosquitto.address()):
        await until(lambda: late.link.dropped == 1)
    assert "malformed" in at_broker.quarantined_codes()


async def test_the_last_will_ends_the_connection(at_broker: MqttRelay) -> None:
    plug = await at_broker.connect()
    assert list(at_broker.relay.connections) == [plug.plug]
    plug.client._client._sock.shutdown(2)  # type: ignore[union-attr]  # a cut cable: no DISCONNECT
    await until(lambda: not at_broker.relay.connections)


async def test_a_second_hello_is_a_new_connection(at_broker: MqttRelay) -> None:
    plug = await at_broker.connect()
    before = at_broker.relay.connections[plug.plug]
    await plug.send(at_broker.actors.hello())
    await plug.expect("time")
    assert at_broker.relay.connections[plug.plug] is not before


@pytest.mark.parametrize("is_served", [True, False])
async def test_other_shards_are_left_to_other_relays(mosquitto: Mosquitto, at_broker: MqttRelay, is_served: bool) -> None:
    shard = at_broker.actors.plug[0]
    sharded = MqttRelay(at_broker.store, at_broker.gateway, at_broker.actors, Timings(), range(shard, shard + 1) if is_served else range(shard))
    async with sharded.at(mosquitto.address()):
        plug = await at_broker.connect()
        neighbour = bytes([shard - 1]) * 20  # in the one, not in the other
        await plug.send_raw(b"rubbish", f"wattseal/1/{neighbour.hex()[:2]}/{neighbour.hex()}/up")
        await plug.send_raw(b"rubbish")
        await plug.expect("refused")
        await until(lambda: len(sharded.link._peers) == 1)
        assert list(sharded.link._peers) == [plug.plug if is_served else neighbour]


async def test_a_relay_that_was_restarted_greets_and_gets_everything(mosquitto: Mosquitto, at_broker: MqttRelay) -> None:
    plug = await at_broker.connect()
    session = await at_broker.charge(plug)
    await at_broker.link.close()
    again = MqttRelay(at_broker.store, at_broker.gateway, at_broker.actors, Timings())
    async with again.at(mosquitto.address()):
        receipt = again.actors.receipt_message(session, 1).frame()
        await plug.send(receipt)
        await plug.expect("greet")
        assert again.store.count_receipts(session) == 0
        await plug.send(again.actors.hello(), again.actors.session().frame(), receipt)
        await plug.expect("ack")


async def test_when_the_broker_is_back_the_plugs_are_greeted(mosquitto: Mosquitto, at_broker: MqttRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    plug = await at_broker.connect()
    offered = at_broker.actors.voucher_message()
    asked = asyncio.create_task(at_broker.relay.submit_voucher(plug.plug, offered.voucher, offered.signature))
    await plug.expect("voucher")
    there = asyncio.Event()
    connect = at_broker.link._connect

    async def connect_later(address: BrokerAddress) -> MqttClient:
        await there.wait()
        return await connect(address)

    monkeypatch.setattr(at_broker.link, "_connect", connect_later)
    mosquitto.stop()
    await until(lambda: not at_broker.relay.connections)
    with pytest.raises(PlugOffline, match="went away before it answered"):
        await asked
    # The plug is back before the relay, and does not say a word before it is greeted.
    mosquitto.start()
    again = await at_broker.plug()
    there.set()
    await again.expect("greet")
    await again.send(at_broker.actors.hello())
    await again.expect("time")


class TestSilence:
    @pytest.fixture
    def timings(self) -> Timings:
        return Timings(poll_s=0.01, silence_s=0.3, ping_s=0.05)

    async def test_a_silent_plug_is_pinged_and_then_ended(self, at_broker: MqttRelay) -> None:
        plug = await at_broker.connect()
        await plug.expect("ping")
        await until(lambda: not at_broker.relay.connections)

    async def test_one_that_answers_is_kept(self, at_broker: MqttRelay) -> None:
        plug = await at_broker.connect()
        for _ in range(10):
            await plug.expect("ping")
            await plug.send({"type": "pong", "budget_ma": None})
        assert at_broker.relay.connections

    async def test_each_plug_starts_over_now_and_then(self, at_broker: MqttRelay, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mqtt, "GREET_EVERY_S", 0)
        monkeypatch.setattr(mqtt, "REFRESH_S", 0.1)
        plug = await at_broker.connect()
        await plug.expect("greet")
        assert at_broker.relay.connections

    async def test_who_was_too_fast_is_greeted_once_calm(self, at_broker: MqttRelay, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mqtt, "GREET_EVERY_S", 0)
        monkeypatch.setattr(pace, "MESSAGES_PER_S", 0)
        monkeypatch.setattr(pace, "BURST", 5)
        plug = await at_broker.connect()
        for _ in range(10):
            await plug.send({"type": "pong", "budget_ma": None})
        assert (await plug.expect("refused"))["code"] == "too_fast"
        assert "greet" not in [message["type"] for message in plug.heard]
        monkeypatch.setattr(pace, "MESSAGES_PER_S", 1000)
        await plug.expect("greet")


async def test_a_full_inbox_makes_the_broker_wait_and_loses_nothing(at_broker: MqttRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "INBOX", 4)
    plug = await at_broker.connect()
    session = await at_broker.charge(plug)
    pauses = []
    client = at_broker.link._client
    assert client
    monkeypatch.setattr(client, "pause", lambda pause=client.pause: (pauses.append(at_broker.link._waiting), pause()))
    messages = [at_broker.actors.receipt_message(session, sequence) for sequence in range(100)]
    await asyncio.gather(*(plug.send(message.frame()) for message in messages))
    acknowledged = {(await plug.expect("ack"))["sequence"] for _ in messages}
    assert acknowledged == set(range(100))
    assert pauses
    assert at_broker.link._waiting == 0
    assert not client._paused


async def test_the_broker_need_not_be_there_first(mosquitto: Mosquitto, at_broker: MqttRelay) -> None:
    mosquitto.stop()
    late = MqttRelay(at_broker.store, at_broker.gateway, at_broker.actors, Timings())
    async with late.at(mosquitto.address()):
        mosquitto.start()
        async with asyncio.timeout(PATIENCE_S):
            while late.link._client is None:
                await asyncio.sleep(0.01)
        await late.connect()
