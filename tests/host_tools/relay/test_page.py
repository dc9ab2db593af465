"""A session's page, as a driver's browser gets it."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from wattseal.protocol.bill import PREFIX, Bill
from wattseal.protocol.messages import to_hex
from wattseal.relay.api import make_drivers_app

from tests.host_tools.conftest import RunningRelay, until
from tests.host_tools.relay.test_api import serving

pytestmark = pytest.mark.anyio


class Page(HTMLParser):
    """The texts of a page, its scripts and styles apart, and what it would load from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.words: list[str] = []
        self._tag = ""
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.loads += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset") and value]

    def handle_data(self, data: str) -> None:
        if self._tag not in ("style", "script"):
            self.words.append(data)


@pytest.fixture
async def drivers(running: RunningRelay) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(running, loopback_only=False, make=make_drivers_app) as client:
        yield client


async def look(drivers: httpx.AsyncClient, session: bytes) -> tuple[Page, httpx.Response]:
    response = await drivers.get(f"/sessions/{to_hex(session)}/page")
    assert response.status_code == 200
    return Page(response.text), response


async def test_a_session_from_its_start_to_its_end(running: RunningRelay, drivers: httpx.AsyncClient) -> None:
    actors, plug = running.actors, await running.connect()
    session = await running.charge(plug)
    page, _ = await look(drivers, session)
    assert "No receipt yet" in page.text
    assert "no word from the plug now" in page.text
    running.gateway.open(session)
    await plug.send(actors.status("charging", session), actors.receipt_message(session, 1).frame(), actors.receipt_message(session, 2).frame())
    await until(lambda: running.store.count_receipts(session) == 2 and running.relay.connection(actors.plug).status is not None)
    page, _ = await look(drivers, session)
    for text in (
        "charging",
        "2,300 W",
        "230 V and 10.0 A",
        "300 Wh",
        "0.000316112 due, in coins (316111111111111 wei)",
        "Receipts (2)",
        to_hex(actors.plug),
    ):
        assert text in page.text
    await plug.send(actors.receipt_message(session, 3, final=True).frame(), actors.status("idle"))
    await plug.expect("settled")
    await until(lambda: running.relay.connection(actors.plug).status.state == "idle")  # type: ignore[union-attr]
    page, _ = await look(drivers, session)
    for text in ("over", "number 3, final", "Paid on the chain"):
        assert text in page.text


async def test_the_code_holds_the_newest_receipt(running: RunningRelay, drivers: httpx.AsyncClient) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    messages = [running.actors.receipt_message(session, sequence) for sequence in (1, 2)]
    await plug.send(*(message.frame() for message in messages))
    await until(lambda: running.store.count_receipts(session) == 2)
    page, response = await look(drivers, session)
    found = re.search(PREFIX + "[A-Z2-7]+", page.text)
    assert found
    bill = Bill.from_text(found[0])
    assert (bill.voucher, bill.message) == (running.actors.voucher(), messages[1])
    assert "<svg" in response.text


async def test_nothing_comes_from_elsewhere_and_nothing_runs_but_its_own_script(running: RunningRelay, drivers: httpx.AsyncClient) -> None:
    session = await running.charge(await running.connect())
    page, response = await look(drivers, session)
    _, again = await look(drivers, session)
    assert page.loads == []
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", response.text)
    policy = response.headers["content-security-policy"]
    nonce = re.search("'nonce-([^']+)'", policy)
    assert nonce
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<(?:script|style)[^>]*>", response.text) == [f'<style nonce="{nonce[1]}">', f'<script nonce="{nonce[1]}">']
    assert nonce[1] not in again.text
    assert response.headers["cache-control"] == "no-store"


async def test_what_a_plug_says_is_text(running: RunningRelay, drivers: httpx.AsyncClient) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    evil = "<script>alert(1)</script>\"'&"
    status: dict[str, Any] = running.actors.status("charging", session, waits_for=evil, trip=evil, trip_detail=evil)
    await plug.send(status)
    await until(lambda: running.relay.connection(running.actors.plug).status is not None)
    page, response = await look(drivers, session)
    assert "<script>alert" not in response.text
    assert evil in page.text


@pytest.mark.parametrize(("session", "status"), [("0x" + "00" * 32, 404), ("0x12", 422), ("x", 422), ("0x" + "zz" * 32, 422)])
async def test_a_session_that_is_none(drivers: httpx.AsyncClient, session: str, status: int) -> None:
    assert (await drivers.get(f"/sessions/{session}/page")).status_code == status


async def test_another_session_of_the_plug_shows_no_live_numbers(running: RunningRelay, drivers: httpx.AsyncClient) -> None:
    plug = await running.connect()
    first = await running.charge(plug)
    second = await running.charge(plug, running.actors.voucher(nonce=8))
    await plug.send(running.actors.status("charging", second))
    await until(lambda: running.relay.connection(running.actors.plug).status is not None)
    assert "2,300 W" not in (await look(drivers, first))[0].text
    assert "2,300 W" in (await look(drivers, second))[0].text
