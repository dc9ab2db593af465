"""What Prometheus reads of a relay that does things."""

import asyncio
import json
import logging
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from wattseal.cli import serving
from wattseal.errors import RpcError, StoreError
from wattseal.protocol.messages import to_hex
from wattseal.relay.site_control import SiteControl
from wattseal.relay.sites import Site

from tests.host_tools.conftest import Actors, FakeGateway, RunningRelay, until

pytestmark = pytest.mark.anyio


def read(running: RunningRelay) -> dict[tuple[str, ...], float]:
    """Return every sample by name and label values."""
    families = text_string_to_metric_families(running.relay.metrics.text().decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def test_receipts_count_by_outcome_and_their_acknowledgements_are_timed(running: RunningRelay) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    for sequence in (3, 1):
        await plug.send(running.actors.receipt_message(session, sequence).frame())
        await plug.expect("ack")
    await plug.send(running.actors.receipt_message(session, 4, energyWh=0).frame())
    await plug.expect("refused")
    found = read(running)
    assert [found["wattseal_receipts_total", outcome] for outcome in ("stored", "superseded", "refused", "not_kept")] == [1, 1, 1, 0]
    assert found["wattseal_acknowledgement_seconds_count",] == 2
    assert found["wattseal_quarantined_total", "not_monotone"] == 1
    assert found["wattseal_plugs_connected",] == 1
    assert found["wattseal_queued_receipts",] == 0


async def test_a_receipt_that_the_store_did_not_take_counts_as_not_kept(running: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    plug = await running.connect()
    session = await running.charge(plug)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(running.store, "add_receipts", full)
    await plug.send(running.actors.receipt_message(session, 1).frame())
    await plug.closed()
    await until(lambda: read(running)["wattseal_receipts_total", "not_kept"] == 1)
    assert not [message for message in plug.heard if message["type"] == "ack"]


async def test_money_is_at_risk_until_it_is_settled(running: RunningRelay, gateway: FakeGateway) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    await plug.send(running.actors.receipt_message(session, 1, final=True).frame())
    await plug.expect("ack")
    await until(lambda: read(running).get(("wattseal_money_at_risk", to_hex(bytes(20))), 0) > 0)
    gateway.open(session)
    await plug.expect("settled")
    await until(lambda: not read(running).get(("wattseal_money_at_risk", to_hex(bytes(20))), 0))
    assert read(running)["wattseal_settlements_total", "settled"] == 1


async def test_the_age_of_the_chains_head_is_shown(running: RunningRelay, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattseal.relay.metrics.time.time", lambda: gateway.head + 30)
    await running.connect()
    assert 25 < read(running)["wattseal_chain_head_age_seconds",] <= 30


async def test_failures_of_the_chain_count_by_code(running: RunningRelay, gateway: FakeGateway) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    gateway.open(session)
    gateway.failures.append(RpcError("nobody answers"))
    await plug.send(running.actors.receipt_message(session, 1, final=True).frame())
    await plug.expect("settled")
    assert read(running)["wattseal_gateway_errors_total", "rpc"] == 1


async def test_a_site_shows_what_it_has_and_uses(running: RunningRelay, actors: Actors) -> None:
    clock = 0
    running.relay.sites = SiteControl([Site("garage", 32_000, 2_000, {actors.plug: 10_000})], running.store, lambda: clock)
    plug = await running.connect()
    await plug.send(actors.status("charging", current_ma=9_500))
    await until(lambda: read(running)["wattseal_site_drawn_amperes", "garage"] == 9.5)
    found = read(running)
    assert found["wattseal_site_capacity_amperes", "garage"] == 30
    assert found["wattseal_site_may_draw_amperes", "garage"] == 10
    assert found["wattseal_site_waiting_plugs", "garage"] == 1
    assert found["wattseal_site_uncontrolled_plugs", "garage"] == 0


async def test_no_label_grows_with_plugs_and_sessions(running: RunningRelay) -> None:
    names: list[set[tuple[str, ...]]] = []
    for number in (0x51, 0x52):
        plug = await running.connect(running.actors.hello(plug="0x" + f"{number:02x}" * 20))
        await plug.send(running.actors.status("idle"), {"type": "nonsense"})
        await plug.expect("refused")
        names.append(set(read(running)))
    assert names[0] == names[1]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_every_line_about_a_receipt_has_its_id(
    running: RunningRelay, gateway: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    serving.log_to_stderr()
    plug = await running.connect()
    session = await running.charge(plug)
    gateway.open(session)
    await plug.send(running.actors.receipt_message(session, 2, final=True).frame())
    await plug.expect("settled")
    await asyncio.sleep(0)
    ids = {line["event"]: line.get("receipt") for line in lines(capsys)}
    one = f"{session.hex()[:8]}-2"
    assert ids["receipt stored"] == one
    assert ids["settlement settled"] == one
    assert ids["plug connected"] is None
