"""Tasks that die, hang or end: noticed, and the watchdog starves."""

import asyncio
import time

from plug.errors import TaskDied
from plug.supervisor import Supervisor


class Clock:
    now_ms = 0

    def tick(self):
        return self.now_ms


class Watchdog:
    fed = 0

    def feed(self):
        self.fed += 1


class Bench:
    def __init__(self):
        self.clock = Clock()
        self.watchdog = Watchdog()
        self.alarms = 0
        self.supervisor = Supervisor(self.watchdog, self.clock, self.alarm)

    def alarm(self):
        self.alarms += 1

    async def beating(self, name, turns):
        for _ in range(turns):
            self.supervisor.beat(name)
            self.clock.now_ms += 100
            await asyncio.sleep_ms(0)

    async def until_it_stops(self):
        try:
            await asyncio.wait_for_ms(self.supervisor.run(), 5_000)  # one that never stops must not hang the test
        except Exception as error:  # noqa: BLE001 - whatever stopped it is what the tests look at
            return error


async def test_a_task_that_raises_is_noticed_with_its_error():
    bench = Bench()

    async def broken():
        await asyncio.sleep_ms(0)
        raise ValueError("broken")

    bench.supervisor.start("broken", broken(), 1000)
    assert isinstance(await bench.until_it_stops(), ValueError)


async def test_a_task_that_ends_is_noticed():
    bench = Bench()
    bench.supervisor.start("short", bench.beating("short", 2), 1000)
    error = await bench.until_it_stops()
    assert isinstance(error, TaskDied)
    assert "short" in str(error)


async def test_a_task_that_was_cancelled_is_noticed():
    bench = Bench()
    bench.supervisor.start("long", bench.beating("long", 1000), 1000)
    bench.supervisor._tasks[0][1].cancel()
    assert isinstance(await bench.until_it_stops(), TaskDied)


async def test_a_silent_task_is_noticed_the_alarm_comes_and_the_watchdog_starves():
    bench = Bench()

    async def hanging():
        while True:
            bench.clock.now_ms += 600
            await asyncio.sleep_ms(200)

    bench.supervisor.start("hanging", hanging(), 1000)
    error = await bench.until_it_stops()
    assert isinstance(error, TaskDied)
    assert "hanging" in str(error)
    assert bench.alarms == 1
    assert 1 <= bench.watchdog.fed <= 2


async def test_the_watchdog_is_fed_only_while_all_beat():
    bench = Bench()
    bench.supervisor.start("a", bench.beating("a", 1_000_000), 500)
    bench.supervisor.start("b", bench.beating("b", 1_000_000), 500)

    async def end():
        await asyncio.sleep_ms(300)

    bench.supervisor.start("end", end(), 1 << 40)
    assert isinstance(await bench.until_it_stops(), TaskDied)
    assert bench.watchdog.fed >= 1
    assert bench.alarms == 0


async def test_a_loop_that_something_blocked_is_no_silent_task():
    """A TLS handshake computes for longer than a task may be silent; the supervisor, due first, lets the others speak."""
    bench = Bench()

    async def steady():
        while True:
            bench.supervisor.beat("steady")
            await asyncio.sleep_ms(270)

    async def blocking():
        await asyncio.sleep_ms(230)
        bench.clock.now_ms += 5_000
        time.sleep_ms(80)
        await asyncio.sleep_ms(200)

    bench.supervisor.start("steady", steady(), 1_000)
    bench.supervisor.start("blocking", blocking(), 1 << 40)
    error = await bench.until_it_stops()
    assert "blocking has ended" in str(error), error
    assert bench.alarms == 0
