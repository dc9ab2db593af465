"""Ten thousand plugs at Mosquitto and one relay: receipts acknowledged a second, and how long one waits at half that rate. Part of `make bench`.

python tests/bench_load.py [PLUGS]   fewer plugs, to try it
"""

import asyncio
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import load_plugs
import postgresql
import psutil
from rich.console import Console
from rich.table import Table
from wattseal.demo.processes import ROOT, Chain, Command, Process, free_port
from wattseal.protocol.messages import to_hex

FOLDER = ROOT / "build/bench/load"
PLUGS = 10_000
FIRST = range(1)  # the receipt of each plug for which its session is looked up
FAST = range(1, 4)  # those that go as fast as they are acknowledged
AFTER_STATUSES = range(4, 5)  # one that follows as many statuses as STATUSES says
PACED = range(5, 7)  # at half the rate
STATUSES = 3
WINDOW = 4000  # receipts under way
TARGET_PER_S = 4000
TARGET_P99_S = 0.25
TIMEOUT_S = 300.0
QUIET_CPU_S = 0.1  # in a second
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


@dataclass(frozen=True)
class Load:
    """What one run gave: rates, waiting at half the rate, processor time for a receipt and a status, resident bytes."""

    store: str
    plugs: int
    acknowledged_per_s: float
    p50_s: float
    p99_s: float
    longest_s: float
    relay_cpu_us: float
    status_cpu_us: float
    broker_cpu_us: float
    relay_memory: int


def figures(plugs: list[load_plugs.SignedAhead], folder: Path = FOLDER) -> Iterator[Load]:
    """Measure with each database. Raises ValueError where something is refused, TimeoutError where something is not acknowledged."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        chain = stack.enter_context(Chain(folder, load_plugs.START + 3600))
        port = free_port()
        config = folder / "mosquitto.conf"
        # No limit on what waits for one client: the generator's few clients are thousands of plugs each.
        lines = ["user root", f"listener {port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0"]
        config.write_text("\n".join([*lines, ""]))
        broker = stack.enter_context(Process([MOSQUITTO, "-c", str(config)], folder / "mosquitto.log"))
        stores = {"SQLite": str(folder / "relay.sqlite")}
        if not postgresql.why_not():
            stores["PostgreSQL"] = stack.enter_context(postgresql.cluster(fsync=True)).empty_database()
        for name, store in stores.items():
            options = ["--store", store, "--contract", to_hex(load_plugs.CONTRACT), "--chain-id", str(load_plugs.CHAIN_ID)]
            options += ["--rpc", chain.url, "--trust-rpc", "--broker", f"mqtt://127.0.0.1:{port}", "--max-plugs", "20000"]
            options += ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
            environment = {"WATTSEAL_RELAY_KEY": to_hex(secrets.token_bytes(32))}
            with Command(["relay", *options], folder / f"relay_{name}.log", environment) as relay:
                yield asyncio.run(_load(name, plugs, port, psutil.Process(relay.pid), psutil.Process(broker.pid)))


async def _load(store: str, plugs: list[load_plugs.SignedAhead], port: int, relay: psutil.Process, broker: psutil.Process) -> Load:
    fleet = await load_plugs.Fleet(plugs).connect("127.0.0.1", port)
    # At a pace: what a thousand new plugs a second say first is not what is measured.
    for number, plug in enumerate(plugs):
        fleet.say(plug, plug.hello)
        fleet.say(plug, plug.opening)
        fleet.say(plug, plug.charging)
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    await fleet.all_heard("time", len(plugs), TIMEOUT_S)
    await _quiet(relay)
    await fleet.as_fast_as_possible(FIRST, WINDOW, TIMEOUT_S)
    before = _used(relay), _used(broker)
    rate = await fleet.as_fast_as_possible(FAST, WINDOW, TIMEOUT_S)
    relay_s, broker_s = ((_used(process) - then) / (len(FAST) * len(plugs)) for process, then in zip((relay, broker), before, strict=True))
    before_statuses = _used(relay)
    for number, plug in enumerate(plugs):
        for _ in range(STATUSES):
            fleet.say(plug, plug.charging)
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    await fleet.as_fast_as_possible(AFTER_STATUSES, WINDOW, TIMEOUT_S)
    status_s = ((_used(relay) - before_statuses) / len(plugs) - relay_s) / STATUSES
    waited = await fleet.at_a_rate(PACED, rate / 2, TIMEOUT_S)
    refused = {kind: count for kind, count in fleet.other.items() if kind.startswith("refused")}
    if refused or len(waited) != len(PACED) * len(plugs):
        raise ValueError(f"{len(waited)} receipts were acknowledged, and refused were {refused}")
    memory = relay.memory_info().rss
    fleet.close()
    return Load(
        store=store,
        plugs=len(plugs),
        acknowledged_per_s=rate,
        p50_s=waited[len(waited) // 2],
        p99_s=waited[len(waited) * 99 // 100],
        longest_s=waited[-1],
        relay_cpu_us=1e6 * relay_s,
        status_cpu_us=1e6 * status_s,
        broker_cpu_us=1e6 * broker_s,
        relay_memory=memory,
    )


async def _quiet(process: psutil.Process) -> None:
    """Wait until a process has nothing left to do of what came before."""
    used = -1.0
    while _used(process) - used > QUIET_CPU_S:
        used = _used(process)
        await asyncio.sleep(1)


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main(console: Console, count: int = PLUGS) -> list[Load]:
    """Measure and print."""
    with console.status(f"{count} plugs sign ahead"):
        plugs = load_plugs.sign_ahead(count, PACED.stop)
    table = Table(
        "store",
        "acknowledged",
        "half the rate: p50, p99, longest",
        "relay: receipt, status; broker",
        "relay's memory",
        title=f"{count} plugs at Mosquitto",
    )
    found = []
    with console.status("receipts on their way"):
        for one in figures(plugs):
            waits = f"{1000 * one.p50_s:.0f}, {1000 * one.p99_s:.0f}, {1000 * one.longest_s:.0f} ms"
            table.add_row(
                one.store,
                f"{one.acknowledged_per_s:,.0f}/s",
                waits,
                f"{one.relay_cpu_us:.0f}, {one.status_cpu_us:.0f}; {one.broker_cpu_us:.0f} us",
                f"{one.relay_memory / 1e6:.0f} MB",
            )
            found.append(one)
    console.print(table)
    return found


if __name__ == "__main__":
    main(Console(), int(sys.argv[1]) if len(sys.argv) > 1 else PLUGS)
