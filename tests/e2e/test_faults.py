"""Every part around a receipt fails, over and over; in the end every receipt is settled, once and only once."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.brokers import needs_mosquitto
from tests.e2e.fault_world import World
from tests.postgresql import Cluster, cluster, why_not

pytestmark = [pytest.mark.anyio, needs_mosquitto]

SEED = 20261125
KILLS = 100  # with each of the two stores
PLUGS, SESSIONS = 12, 12
OFFLINE_SESSIONS = 2  # the last ones of each plug
START_S = 0.15
LONGEST_LIFE_S = 0.6
WEEK_S = 7 * 86_400


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


FAULTS = {"broker": (12, 45, 78), "node": (20, 53, 86), "reorganisation": (30, 61, 93)}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    missing = why_not()
    if missing:
        pytest.skip(missing)
    with cluster() as running:
        yield running


async def break_something(world: World, what: str, database: Cluster | None) -> None:
    """Have one of the parts around the relay fail, and come back."""
    match what:
        case "broker":
            await world.restart_broker()
        case "node":
            await world.restart_node()
        case "reorganisation":
            await world.reorganise()
        case "database":
            assert database
            await asyncio.to_thread(database.kill)
            await asyncio.to_thread(database.start)


async def soak(world: World, faults: dict[str, tuple[int, ...]], database: Cluster | None) -> None:
    """Kill the relay so often, at moments by dice, while the plugs charge; in some lives something else dies, too."""
    world.add_plugs(PLUGS, SESSIONS)
    fault_of = {number: kind for kind, numbers in faults.items() for number in numbers}
    world.connect(world.plugs[:-2])  # the last two are heard of in the end only
    world.make_blocks()
    for number in range(KILLS):
        for plug in world.plugs:
            for _ in range(world.dice.randrange(3)):
                plug.go_on(SESSIONS - OFFLINE_SESSIONS)
        life = await world.begin()
        fault = fault_of.get(number)
        if fault is None:
            await asyncio.sleep(world.dice.uniform(0, world.dice.choice((START_S, LONGEST_LIFE_S))))
        else:
            assert await life.is_ready(), life.log()
            await asyncio.sleep(world.dice.uniform(0, LONGEST_LIFE_S))
            await break_something(world, fault, database)
            await asyncio.sleep(world.dice.uniform(0, 2 * LONGEST_LIFE_S))
        assert await life.end() == -signal.SIGKILL, life.log()
    life = await world.begin()
    await world.disconnect()
    for plug in world.plugs:
        while plug.go_on(SESSIONS):
            pass
    await world.pass_time(WEEK_S)
    world.connect(world.plugs)
    await world.until_all_is_settled(life)
    world.check()


async def test_a_file_as_store(tmp_path: Path) -> None:
    async with World.open(tmp_path, str(tmp_path / "relay.sqlite"), SEED) as world:
        await soak(world, FAULTS, None)


async def test_a_server_as_store(tmp_path: Path, postgresql: Cluster) -> None:
    async with World.open(tmp_path, postgresql.empty_database(), SEED + 1) as world:
        await soak(world, FAULTS | {"database": (5, 40, 70)}, postgresql)


async def test_a_relay_outlives_all_that_is_around_it(tmp_path: Path, postgresql: Cluster) -> None:
    """Nobody starts it again: what it knows by heart must be right, too."""
    everything = ("broker", "database", "reorganisation", "node")
    async with World.open(tmp_path, postgresql.empty_database(), SEED + 2) as world:
        world.add_plugs(6, len(everything) + 2)
        world.connect(world.plugs)
        world.make_blocks()
        life = await world.begin()
        assert await life.is_ready(), life.log()
        for what in everything:
            for plug in world.plugs:
                plug.finish()
            await asyncio.sleep(world.dice.uniform(0, LONGEST_LIFE_S))
            await break_something(world, what, postgresql)
        for plug in world.plugs:
            while plug.go_on(SESSIONS):
                pass
        await world.until_all_is_settled(life)
        world.check()
