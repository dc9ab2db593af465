"""Two real plugs behind one breaker that carries one of them, and the real relay, whose clock is the plugs' virtual one."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import CHAIN_ID, SimulatedPlug
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Voucher, to_hex
from wattseal.relay.links import Timings
from wattseal.relay.links.tcp import PlugServer
from wattseal.relay.service import Relay
from wattseal.relay.site_control import SiteControl
from wattseal.relay.sites import MIN_ON_S, Site
from wattseal.store import Store

from tests.host_tools.conftest import FakeGateway

pytestmark = pytest.mark.anyio

CONTRACT, HOST = b"\x11" * 20, b"\x44" * 20
DOMAIN = domain_separator(CHAIN_ID, CONTRACT)
NOW = 1_790_000_000
LIMIT_MA = 16_000
SITE = {"breaker_ma": 25_000, "reserve_ma": 6_000}
TERMS = {"host": to_hex(HOST), "utc_offset_min": 0, "tariff": [], "schedule": [], "button": False, "site": True}


class Garage:
    """Relay and plugs in lockstep: time passes for the plugs a few seconds at once, then for the relay."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0
        self.store = Store(folder / "relay.sqlite")
        self.gateway = FakeGateway()
        self.gateway.head = NOW
        self.plugs: list[SimulatedPlug] = []
        self.states: list[dict[str, Any]] = []
        self._port = 0

    async def start_relay(self, *sites: Site) -> None:
        """Start a relay on the same store and port."""
        timings = Timings(poll_s=0.01, ping_s=0.02, time_s=1)
        self.relay = Relay(CHAIN_ID, CONTRACT, self.store, self.gateway, timings)
        self.relay.sites = SiteControl(sites, self.store, lambda: self.now_s, lambda: NOW + self.now_s)
        self.server = PlugServer(CHAIN_ID, CONTRACT, self.relay, timings)
        _, self._port = await self.server.start("127.0.0.1", self._port)

    async def stop_relay(self) -> None:
        await self.server.close()
        self.relay.close()

    async def boot(self, folder: Path) -> None:
        """Put up another plug and wait until it has an offer."""
        known = set(self.relay.connections)
        make = asyncio.to_thread(SimulatedPlug, folder, "desk_16a", "x64", CONTRACT, self._port, config={"terms": TERMS})
        self.plugs.append(await make)
        while len(self.offers() - known) < 1:
            await self.run(1)

    def offers(self) -> set[bytes]:
        return {plug for plug, connection in self.relay.connections.items() if connection.offer is not None}

    async def run(self, seconds: int) -> None:
        """Let seconds pass."""
        for _ in range(0, seconds, 5):
            elapsed_s = min(seconds, 5)
            self.states = list(await asyncio.gather(*(asyncio.to_thread(plug.run, elapsed_s) for plug in self.plugs)))
            self.now_s += elapsed_s
            self.gateway.head = NOW + self.now_s
            await asyncio.sleep(0.005)  # what the plugs have said is in the sockets
            self.relay.sites.step()
            assert sum(self.closed()) * LIMIT_MA <= SITE["breaker_ma"] - SITE["reserve_ma"], self.states

    def closed(self) -> list[int]:
        return [state["contacts"] for state in self.states]

    async def charge(self, plug: bytes, number: int) -> bytes:
        """Have a driver's voucher taken, its lock opened, and a car plugged in."""
        driver = secrets.token_bytes(32)
        offer = self.relay.offer(plug)
        terms = {"driver": signatures.address(driver), "host": HOST, "plug": plug, "token": bytes(20), "funding": 0}
        prices = {"pricePerKwh": 10**14, "pricePerHour": 0, "maxPowerW": 4600, "cap": 10**18}
        times = {"issuedAt": offer.issued_at, "validUntil": offer.issued_at + 86_400, "nonce": offer.nonce}
        voucher = Voucher(**terms | prices | times)
        session = voucher.digest(DOMAIN)
        self.gateway.open(session)
        asked = asyncio.create_task(self.relay.submit_voucher(plug, voucher, signatures.sign(driver, session)))
        while not asked.done():
            await self.run(1)
        await asked
        self.plugs[number].ask(cmd="plug_in", energy_wh=50_000, current_ma=LIMIT_MA)
        while (status := self.relay.connections[plug].status) is None or status.state not in ("suspended", "charging"):
            await self.run(1)
        return session


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def garage(tmp_path: Path) -> AsyncIterator[Garage]:
    garage = Garage(tmp_path)
    await garage.start_relay()
    for name in ("left", "right"):
        await garage.boot(tmp_path / name)
    yield garage
    for plug in garage.plugs:
        plug.kill()
    await garage.stop_relay()
    garage.store.close()


async def test_two_plugs_share_a_breaker_in_turns_over_a_restart_of_the_relay(garage: Garage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattseal.relay.sites.TURN_S", MIN_ON_S)  # the shortest that the guard allows
    left, right = garage.relay.connections
    for number, plug in enumerate((left, right)):
        await garage.charge(plug, number)
    await garage.run(20)
    assert garage.closed() == [0, 0]  # nobody has a budget

    await garage.stop_relay()
    await garage.start_relay(Site("garage", plugs=dict.fromkeys((left, right), LIMIT_MA), **SITE))
    while not any(garage.closed()):
        await garage.run(5)
    assert garage.now_s < 300  # both were seen to be off: nothing that may have been granted before is waited for
    first = garage.closed().index(1)

    await garage.run(MIN_ON_S // 3)
    await garage.stop_relay()
    await garage.run(60)
    assert garage.closed()[first]  # the grant goes on without a relay
    await garage.start_relay(Site("garage", plugs=dict.fromkeys((left, right), LIMIT_MA), **SITE))
    for _ in range(2 * MIN_ON_S // 5):
        await garage.run(5)
        if not garage.closed()[first]:
            break
    await garage.run(90)
    assert garage.closed()[1 - first]
