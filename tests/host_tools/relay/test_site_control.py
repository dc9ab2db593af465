"""A relay's sites over real sockets with scripted plugs: who is told what, and when something counts as taken."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from wattseal.errors import InSite, UnknownPlug, UnknownSession
from wattseal.protocol.messages import Budget, to_hex
from wattseal.relay.api import make_app
from wattseal.relay.links import Timings
from wattseal.relay.site_control import SiteControl
from wattseal.relay.sites import TURN_S, Site
from wattseal.store import Store

from tests.host_tools.conftest import PATIENCE_S, Actors, FakeGateway, RunningRelay, ScriptedPlug, until

pytestmark = pytest.mark.anyio

LIMIT_MA = 10_000


class Clock:
    now_s = 5_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def running(tmp_path: Path, gateway: FakeGateway, actors: Actors, clock: Clock) -> AsyncIterator[RunningRelay]:
    """A relay with one site of two plugs, of which one fits; it pings only where the site does."""
    store = Store(tmp_path / "relay.sqlite")
    async with RunningRelay(store, gateway, actors, Timings(poll_s=0.01, ping_s=1000, answer_s=PATIENCE_S)) as relay:
        site = Site("garage", 12_000, 0, {actors.plug: LIMIT_MA, actors.other_plug: LIMIT_MA})
        relay.relay.sites = SiteControl([site], store, lambda: clock.now_s, lambda: actors.now)
        yield relay
    store.close()


async def suspended(running: RunningRelay, plug: ScriptedPlug) -> bytes:
    """Have a session running that waits for a budget."""
    session = await running.charge(plug)
    await plug.send(running.actors.status("suspended", session))
    await until(lambda: running.relay.sites.pages()[0]["plugs"][0]["wants"])
    return session


def page(running: RunningRelay, number: int = 0) -> dict[str, Any]:
    shown: dict[str, Any] = running.relay.sites.pages()[0]["plugs"][number]
    return shown


async def test_a_plug_that_wants_is_granted_and_one_that_is_done_is_not(running: RunningRelay, clock: Clock) -> None:
    clock.now_s += 5_000  # nothing from before counts any more
    plug = await running.connect()
    session = await suspended(running, plug)
    running.relay.sites.step()
    assert (await plug.expect("budget"))["current_ma"] == LIMIT_MA
    await plug.expect("ping")
    await plug.send(running.actors.status("charging", session))
    await until(lambda: page(running)["granted"])
    assert running.relay.sites.pages()[0]["may_draw_ma"] == LIMIT_MA
    await plug.send(running.actors.status("idle"))
    await until(lambda: not page(running)["wants"])
    running.relay.sites.step()
    assert (await plug.expect("budget"))["current_ma"] == 0


async def test_a_withdrawal_counts_once_its_ping_is_answered_and_a_later_status_shows_open_contacts(running: RunningRelay, clock: Clock) -> None:
    plug = await running.connect()
    await plug.send(running.actors.status("idle"))
    await until(lambda: running.relay.connections[running.actors.plug].status is not None)
    running.relay.sites.step()
    assert (await plug.expect("budget"))["current_ma"] == 0
    await plug.expect("ping")
    await plug.send(running.actors.status("idle", at=running.actors.now + 1))  # said before the answer: it may be older than the budget
    await until(lambda: running.relay.connections[running.actors.plug].status.at == running.actors.now + 1)
    assert page(running)["may_draw"]
    await plug.send({"type": "pong"})
    await plug.send(running.actors.status("idle"))
    await until(lambda: not page(running)["may_draw"])


async def test_a_pong_to_an_earlier_ping_takes_nothing(running: RunningRelay, clock: Clock) -> None:
    plug = await running.connect()
    await plug.send(running.actors.status("idle"))
    await until(lambda: running.relay.connections[running.actors.plug].status is not None)
    running.relay.sites.step()
    await plug.expect("ping")
    clock.now_s += 60
    running.relay.sites.step()  # not answered yet: said again
    await plug.expect("ping")
    await plug.send({"type": "pong"}, running.actors.status("idle", at=running.actors.now + 1))
    await until(lambda: running.relay.connections[running.actors.plug].status.at == running.actors.now + 1)
    assert page(running)["may_draw"]
    await plug.send({"type": "pong"}, running.actors.status("idle"))
    await until(lambda: not page(running)["may_draw"])


async def test_a_pong_to_a_ping_of_an_earlier_connection_takes_nothing(running: RunningRelay) -> None:
    """At a broker it may come after the next hello."""
    actors = running.actors
    before = await running.connect()
    await before.send(actors.status("idle"))
    await until(lambda: running.relay.connections[actors.plug].status is not None)
    running.relay.sites.step()
    await before.expect("ping")
    plug = await running.connect()
    await plug.send(actors.status("idle"))
    await until(lambda: running.relay.connections[actors.plug].status is not None)
    running.relay.sites.step()
    for _ in range(2):
        await plug.expect("ping")
    await plug.send({"type": "pong"}, actors.status("idle", at=actors.now + 1))
    await until(lambda: running.relay.connections[actors.plug].status.at == actors.now + 1)
    assert page(running)["may_draw"]
    await plug.send({"type": "pong"}, actors.status("idle"))
    await until(lambda: not page(running)["may_draw"])


async def test_a_frame_that_the_plug_could_not_read_is_sent_again(running: RunningRelay) -> None:
    plug = await running.connect()
    await plug.send(running.actors.status("idle"))
    await until(lambda: running.relay.connections[running.actors.plug].status is not None)
    running.relay.sites.step()
    await plug.expect("ping")
    await plug.send({"type": "refused", "code": "bad_frame", "message": "", "session": None}, {"type": "pong"}, running.actors.status("charging"))
    await until(lambda: running.relay.connections[running.actors.plug].status.state == "charging")
    running.relay.sites.step()
    await plug.expect("budget")


async def test_an_older_connection_that_ends_late_changes_nothing(running: RunningRelay) -> None:
    await running.connect()
    await running.connect()
    await until(lambda: len(running.relay.connections) == 1)
    assert page(running)["connected"]


async def test_nobody_else_budgets_a_plug_of_a_site(running: RunningRelay) -> None:
    await running.connect()
    with pytest.raises(InSite):
        await running.relay.command(running.actors.plug, Budget(LIMIT_MA))


async def test_a_wish_to_leave_sooner_counts_for_its_session_only(running: RunningRelay, clock: Clock) -> None:
    actors = running.actors
    with pytest.raises(UnknownPlug):
        running.relay.sites.wish(b"\x99" * 20, actors.now)
    plug = await running.connect()
    with pytest.raises(UnknownSession):
        running.relay.sites.wish(actors.plug, actors.now)
    await suspended(running, plug)
    assert page(running)["weight_permille"] == 1000
    running.relay.sites.wish(actors.plug, actors.now + 4 * 3600)
    assert page(running)["weight_permille"] == 2000
    session = await running.charge(plug, actors.voucher(nonce=8))
    await plug.send(actors.status("suspended", session))
    await until(lambda: page(running)["weight_permille"] == 1000)


async def test_two_plugs_take_turns(running: RunningRelay, clock: Clock) -> None:
    clock.now_s += 5_000
    actors = running.actors
    plugs = [await running.connect(), await running.connect(actors.hello(plug=to_hex(actors.other_plug)))]
    for plug in plugs:
        await plug.send(actors.status("suspended"))
    await until(lambda: all(page(running, number)["wants"] for number in (0, 1)))
    running.relay.sites.step()
    assert [(await plug.expect("budget"))["current_ma"] for plug in plugs] == [LIMIT_MA, 0]
    for plug in plugs:
        await plug.expect("ping")
        await plug.send({"type": "pong"})
    await plugs[0].send(actors.status("charging"))
    await until(lambda: running.relay.connections[actors.plug].status.state == "charging")
    clock.now_s += TURN_S + 1
    running.relay.sites.step()
    clock.now_s += 1
    running.relay.sites.step()
    assert (await plugs[0].expect("budget"))["current_ma"] == 0
    await plugs[0].expect("ping")
    await plugs[0].send({"type": "pong"}, actors.status("suspended"))
    await until(lambda: not page(running)["may_draw"])
    running.relay.sites.step()
    assert (await plugs[1].expect("budget"))["current_ma"] == LIMIT_MA


async def test_the_api_shows_sites_and_takes_wishes(running: RunningRelay, clock: Clock) -> None:
    actors = running.actors
    app = httpx.ASGITransport(make_app(running.relay, loopback_only=True))
    async with httpx.AsyncClient(base_url="http://localhost", transport=app) as api:
        plug = await running.connect()
        path = f"/plugs/{to_hex(actors.plug)}/departure"
        assert (await api.post(path, json={"departs_at": actors.now})).json()["code"] == "unknown_session"
        await suspended(running, plug)
        assert (await api.post(path, json={"departs_at": actors.now + 4 * 3600})).status_code == 202
        for body in ({"departs_at": -1}, {"departs_at": "soon"}, {}):
            assert (await api.post(path, json=body)).status_code == 422
        assert (await api.post(path, content='{"departs_at": 1}', headers={"content-type": "text/plain"})).status_code == 415
        (site,) = (await api.get("/sites")).json()["sites"]
        assert (site["name"], site["breaker_ma"], site["reserve_ma"], len(site["plugs"])) == ("garage", 12_000, 0, 2)
        assert site["plugs"][0] | {"waited_s": 0} == {
            "plug": to_hex(actors.plug),
            "limit_ma": LIMIT_MA,
            "connected": True,
            "wants": True,
            "granted": False,
            "may_draw": True,
            "waited_s": 0,
            "weight_permille": 2000,
            "uncontrolled": False,
        }
        answer = await api.post(f"/plugs/{to_hex(actors.plug)}/commands", json={"type": "budget", "current_ma": 0})
        assert (answer.status_code, answer.json()["code"]) == (409, "in_site")
