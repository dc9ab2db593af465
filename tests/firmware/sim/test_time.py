# needs: sim
"""Virtual time, with the tick counter 5 s before its wrap, and asyncio upon it."""

import json
import os
import socket

with open("sim.json", "w") as file:
    json.dump({"start_ms": (1 << 30) - 5000}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

import asyncio
import select
import time

import utime
from clock import world
from run_in_micropython import raises


async def test_timers_cross_the_wrap_in_order():
    order = []

    async def note(delay_ms):
        start = time.ticks_ms()
        await asyncio.sleep_ms(delay_ms)
        order.append((delay_ms, time.ticks_diff(time.ticks_ms(), start)))

    assert time.ticks_ms() > 1 << 29
    await asyncio.gather(note(8000), note(2000), note(6000), note(4000))
    assert order == [(2000, 2000), (4000, 4000), (6000, 6000), (8000, 8000)]
    assert time.ticks_ms() < 1 << 29


async def test_tasks_of_one_millisecond_run_in_their_order():
    order = []

    async def note(name):
        for _ in range(3):
            await asyncio.sleep_ms(10)
            order.append(name)

    await asyncio.gather(note("a"), note("b"), note("c"))
    assert "".join(order) == "abcabcabc"


async def test_an_hour_passes_at_once():
    real, virtual = utime.ticks_ms(), world.now_ms
    await asyncio.sleep(3600)
    assert world.now_ms - virtual == 3_600_000
    assert utime.ticks_diff(utime.ticks_ms(), real) < 10_000


async def test_wait_for_cancels_what_is_late():
    cancelled = []

    async def forever():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    start = world.now_ms
    try:
        await asyncio.wait_for_ms(forever(), 500)
        raise AssertionError("no timeout")
    except asyncio.TimeoutError:  # noqa: UP041  MicroPython has no other
        pass
    assert cancelled == [True]
    assert world.now_ms - start == 500


async def test_cancel_reaches_a_sleeper_and_those_who_await_it():
    async def sleeper():
        await asyncio.sleep(1000)

    task = asyncio.create_task(sleeper())
    outer = asyncio.create_task(asyncio.wait_for(task, 2000))
    start = world.now_ms
    await asyncio.sleep_ms(5)
    task.cancel()
    for waiting in (task, outer):
        try:
            await waiting
            raise AssertionError("not cancelled")
        except asyncio.CancelledError:
            pass
    assert task.done()
    assert world.now_ms - start == 5


async def test_a_task_hands_over_its_result_and_its_exception():
    async def result():
        return 42

    async def failure():
        raise KeyError("x")

    assert await asyncio.create_task(result()) == 42
    late = asyncio.create_task(result())
    await asyncio.sleep_ms(1)
    assert await late == 42
    done = await asyncio.gather(result(), failure(), return_exceptions=True)
    assert done[0] == 42
    assert isinstance(done[1], KeyError)


async def test_lock_and_event_wake_in_order():
    lock, event, order = asyncio.Lock(), asyncio.Event(), []

    async def worker(name):
        async with lock:
            await event.wait()
            order.append(name)

    tasks = [asyncio.create_task(worker(name)) for name in "xyz"]
    await asyncio.sleep_ms(1)
    event.set()
    await asyncio.gather(*tasks)
    assert order == ["x", "y", "z"]


def test_poll_waits_virtual_time_for_a_silent_socket():
    listener = socket.socket()
    listener.bind(socket.getaddrinfo("127.0.0.1", 0)[0][-1])
    listener.listen(1)
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    start = world.now_ms
    assert poller.poll(60_000) == []
    assert world.now_ms - start == 60_000
    listener.close()


def test_blocking_sleeps_add_up():
    start_ms, start_us = time.ticks_ms(), time.ticks_us()
    time.sleep_ms(250)
    time.sleep(0.75)
    for _ in range(5):
        time.sleep_us(500)
    assert time.ticks_diff(time.ticks_ms(), start_ms) == 1002
    assert time.ticks_diff(time.ticks_us(), start_us) == 1_002_500


def test_a_loop_that_watches_the_clock_ends():
    start = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), start) < 3:
        pass


async def test_a_loop_that_only_yields_ends():
    start = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), start) < 3:
        await asyncio.sleep_ms(0)


def test_ticks_are_those_of_a_32_bit_port():
    assert time.ticks_add((1 << 30) - 1, 1) == 0
    assert time.ticks_add(0, -1) == (1 << 30) - 1
    assert time.ticks_diff(5, (1 << 30) - 5) == 10
    assert time.ticks_diff((1 << 30) - 5, 5) == -10
    raises(OverflowError, time.ticks_add, 0, 1 << 29)


def test_epoch_is_2000():
    assert time.gmtime(0) == (2000, 1, 1, 0, 0, 0, 5, 1)
    assert time.gmtime(825_552_000)[:3] == (2026, 2, 28)
    assert time.time() == world.now_ms // 1000
    for seconds in (0, 5097600, 68255999, 825_552_000, 1_000_000_007):
        assert time.mktime(time.gmtime(seconds)) == seconds
