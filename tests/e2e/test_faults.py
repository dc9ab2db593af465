"""Every part around a receipt fails, over and over; in the end every receipt is settled, once and only once."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.e2e.brokers import needs_mosquitto
from tests.e2e.fault_world import World
from tests.postgresql import Cluster, cluster, why_not

pytestmark = [pytest.mark.anyio, needs_mosquitto]

SEED = 20261125
KILLS = 100  # with each of the two stores
PLUGS, SESSIONS = 12, 8
LONGEST_LIFE_S = 0.5
WEEK_S = 7 * 86_400


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def soak(world: World, kills: int, faults: dict[int, str], database: Cluster | None) -> None:
    """Kill the relay so often, at moments by dice, while the plugs charge; in some lives something else dies, too."""
    *everybody, offline_by_tcp, offline_by_mqtt = world.plugs
    world.connect(everybody)
    world.make_blocks()
    for number in range(kills):
        for plug in world.plugs:
            for _ in range(world.dice.randrange(3)):
                plug.go_on()
        life = await world.begin()
        fault = faults.get(number)
        if fault is None:
            await asyncio.sleep(world.dice.uniform(0, LONGEST_LIFE_S))
        else:
            assert await life.is_ready(), life.log().decode()
            await asyncio.sleep(world.dice.uniform(0, LONGEST_LIFE_S))
            match fault:
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
            await asyncio.sleep(world.dice.uniform(0, 3 * LONGEST_LIFE_S))
        assert await life.end() == -signal.SIGKILL, life.log().decode()
    life = await world.begin()
    for plug in world.plugs:
        while not all(charge.is_over for charge in plug.charges):
            plug.go_on()
    await world.until(lambda: all(plug.is_over for plug in everybody))
    world.node.pass_time(WEEK_S)
    world.connect([offline_by_tcp, offline_by_mqtt])
    await world.until(lambda: all(plug.is_done for plug in world.plugs))
    assert await life.end(signal.SIGTERM) == 0, life.log().decode()
    world.check()


async def test_a_file_as_store(tmp_path: Path) -> None:
    async with World.open(tmp_path, str(tmp_path / "relay.sqlite"), SEED) as world:
        world.add_plugs(PLUGS, SESSIONS)
        faults = {number: kind for kind, numbers in FAULTS.items() for number in numbers}
        await soak(world, KILLS, faults, None)


FAULTS = {"broker": (12, 45, 78), "node": (20, 53, 86), "reorganisation": (30, 61, 93)}
