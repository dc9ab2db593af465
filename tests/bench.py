"""Measures what costs time, memory and gas, each beside an alternative in the same run: `make bench`. docs/performance.md says how.

Writes build/bench.json and prints the table. No figure makes it fail; a wrong result of what is measured does.
"""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import bench_accuracy
import bench_embit
import bench_gas
import bench_gateway
import bench_light_client
import bench_load
import bench_month
import bench_relay
import bench_resources
import bench_sites
import differential
import instructions
import load_plugs
import native_code
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from eth_hash.auto import keccak
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from wattseal.demo.processes import ROOT
from wattseal.demo.replay import CAR_CURRENT_MA, Replay
from wattseal.protocol import ocmf, signatures
from wattseal.protocol.messages import ReceiptMessage, SessionMessage
from wattseal.store import Added, Store

FOLDER = ROOT / "build/bench"
TREES = ROOT / "build/firmware/socket_10a"
PORTS = {"x64": "512k", "x86": "128k"}  # heap while time is measured; 128 KB is about what a plain ESP32 has left
START = 1_772_000_000
RECEIPTS = 1000
SLICE_S = 60
HOUR_S = 3600


@dataclass(frozen=True)
class Row:
    """One measurement beside its alternative, both in `unit`: medians, with the fastest of each, where repeated."""

    name: str
    unit: str
    value: float
    beside: str
    beside_value: float
    fastest: float | None = None
    beside_fastest: float | None = None
    runs: int = 1


def firmware(port: str, what: str, heap: str) -> dict[str, Any]:
    """Run bench_firmware.py on one unix port and return its answer."""
    environment = os.environ | {"MICROPYPATH": f"{TREES / port}:{ROOT / 'tests'}:.frozen"}
    command = [str(ROOT / f"build/bin/micropython-{port}"), "-X", f"heapsize={heap}", str(ROOT / "tests/bench_firmware.py"), what]
    result: dict[str, Any] = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    return result


def check_answers(found: dict[str, Any]) -> None:
    """Raise ValueError unless hash and signer are what eth_hash and coincurve say."""
    digest, signature = keccak(bytes(range(240))), bytes.fromhex(found["sign"]["answer"])
    signer = keccak(bytes.fromhex(found["recover"]["answer"]))[-20:]
    if found["keccak256"]["answer"] != digest.hex() or not signatures.recover(digest, signature) == signer == signatures.address(bytes(range(1, 33))):
        raise ValueError(f"the firmware's results are wrong: {found}")


def firmware_times() -> Iterator[Row]:
    names = {"keccak256": "keccak256, 240 bytes", "sign": "secp256k1 sign", "recover": "secp256k1 recover"}
    embit = bench_embit.fetch(FOLDER)
    for port, heap in PORTS.items():
        found = firmware(port, "times", heap)
        check_answers(found)
        for name, title in names.items():
            ours, plain = ([us / 1000 for us in found[name][key]] for key in ("ours_us", "plain_us"))
            yield Row(f"{title}, {port}", "ms", median(ours), "plain Python", median(plain), min(ours), min(plain), len(ours))
            if name == "sign" and port == "x86" and embit:
                theirs = embit_times(embit)
                yield Row(f"{title}, {port}", "ms", median(ours), bench_embit.TITLE, median(theirs), min(ours), min(theirs), len(theirs))


def embit_times(tree: Path) -> list[float]:
    """Milliseconds of embit's signatures. Raises ValueError unless they are coincurve's."""
    answer, times = bench_embit.times_ms(tree)
    r, s = differential.pair(signatures.sign(bytes(range(1, 33)), bytes(range(32))))
    if answer["sign"] != encode_dss_signature(r, s).hex() or not answer["verify"]:
        raise ValueError(f"embit's results are wrong: {answer}")
    return times["sign"]


def firmware_memory() -> Iterator[Row]:
    for port in PORTS:
        found = firmware(port, "memory", "16m")["sign"]  # enough for the alternative with the collector off
        yield Row(f"heap for a signature, {port}", "bytes", found["ours"], "plain Python", found["plain"])


def firmware_instructions() -> Iterator[Row]:
    """Instructions of the 32-bit port, beside the firmware in plain Python or embit; the longest step beside the most that a sample may wait."""
    if instructions.why_not():
        return
    embit = bench_embit.fetch(FOLDER)
    public = bench_embit.instruction_counts(embit) if embit else {}
    native, plain = (instructions.measure(TREES / tree) for tree in ("x86", "xtensawin"))  # of another processor: no native code
    blocks = [sum(counts["keccak256, 2 blocks"]) - sum(counts["keccak256, 1 block"]) for counts in (native, plain)]
    yield Row("keccak256, each block more", "instructions", blocks[0], "plain Python", blocks[1])
    for name, steps in native.items():
        if name == "nothing":
            continue
        beside, other = (bench_embit.TITLE, public[name]) if name in public else ("plain Python", sum(plain[name]))
        yield Row(f"{name}, all {len(steps)} steps" if len(steps) > 1 else name, "instructions", sum(steps), beside, other)
        if len(steps) > 1:
            yield Row(f"{name}, longest step", "instructions", max(steps), "limit of a step", instructions.STEP_LIMIT)


def random_cases() -> Iterator[Row]:
    for port in PORTS:
        device = differential.Device(port, port)
        found = differential.agreed(device, differential.CASES)
        device.close()
        yield Row(f"random cases as coincurve and cryptography have them, {port}", "cases", found, "run", differential.CASES)


def native_code_size() -> Iterator[Row]:
    yield Row("native code for xtensawin", "bytes", sum(native_code.tree().values()), "limit", native_code.LIMIT)


def gas() -> Iterator[Row]:
    for found in bench_gas.gas(FOLDER):
        yield Row(found.name, "gas" if "bytes" not in found.name else "", found.used, "floor", found.floor)
    for found in bench_gas.checks(FOLDER):
        yield Row(found.name, "gas", found.used, "without", found.floor)


def store() -> Iterator[Row]:
    terms = bench_gas.voucher(1, START)
    session, plug = bench_gas.key("session"), terms.plug
    signature = signatures.sign(bench_gas.key("plug"), session)
    messages = []
    for sequence in range(RECEIPTS):
        reading = replace(bench_gas.receipt(session, START, sequence), flags=0)
        messages.append(ReceiptMessage(reading, signature, ocmf.build(reading, plug, "0.1.0", bytes(16), bytes(32))))
    kept = Store(FOLDER / "relay.sqlite")
    kept.add_voucher(SessionMessage(session, terms, signature))
    start = time.perf_counter()
    for message in messages:
        if kept.add_receipt(plug, message) is not Added.STORED:
            raise ValueError(f"the store did not take receipt {message.receipt.sequence}")
    stored_s = time.perf_counter() - start
    kept.close()
    lines = [json.dumps(message.receipt.to_wire()).encode() + message.signature + message.ocmf.encode() for message in messages]
    with (FOLDER / "appended").open("ab", buffering=0) as file:
        start = time.perf_counter()
        for line in lines:
            file.write(line)
            os.fsync(file.fileno())
        appended_s = time.perf_counter() - start
    yield Row("receipts stored, one commit each", "1/s", RECEIPTS / stored_s, "write and fsync", RECEIPTS / appended_s)


def relay() -> Iterator[Row]:
    for found in bench_relay.figures(FOLDER):
        yield Row(found.name, found.unit, found.value, found.beside, found.beside_value)


def simulator() -> Iterator[Row]:
    with Replay(FOLDER / "replay", START) as replay:
        page = replay.connected()
        driver = replay.driver(bench_gas.key("driver"))
        offer = replay.relay.get(f"/plugs/{page['plug']}/offer")
        session = driver.start(replay.relay, driver.voucher(offer, replay.host))
        before = replay.plug.ask(cmd="plug_in", energy_wh=100_000, current_ma=CAR_CURRENT_MA)
        replay.charging(session)
        start = time.perf_counter()
        for _ in range(HOUR_S // SLICE_S):
            state = replay.let_pass(SLICE_S)
        seconds = time.perf_counter() - start
        if not state["contacts"] or state["true_mwh"] - before["true_mwh"] < 3_600_000:
            raise ValueError(f"the plug did not charge for an hour: {state}")
    yield Row("an hour of charging simulated, x64", "s", seconds, "real time", HOUR_S)


def resources() -> Iterator[Row]:
    for found in bench_resources.figures():
        yield Row(found.name, found.unit, found.value, "limit", found.limit)


def sites() -> Iterator[Row]:
    for found in bench_sites.figures():
        yield Row(found.name, "kWh", found.value, "no limit", found.beside)


def load() -> Iterator[Row]:
    for found in bench_load.figures(load_plugs.sign_ahead(bench_load.PLUGS, bench_load.PACED.stop)):
        yield Row(f"receipts acknowledged, {found.plugs:,} plugs at Mosquitto, {found.store}", "1/s", found.acknowledged_per_s, "aimed for", 4000)
        yield Row(f"99 of 100 acknowledged at half that rate, {found.store}", "ms", 1000 * found.p99_s, "aimed for", 250)
        yield Row(f"the relay's processor time for one of them, {found.store}", "us", found.relay_cpu_us, "the broker's", found.broker_cpu_us)


def gateway() -> Iterator[Row]:
    for found in bench_gateway.figures():
        fastest = (found.ours_fastest, found.library_fastest)
        yield Row(found.name, "ms", found.ours, "trie library", found.library, *fastest, runs=bench_gateway.RUNS)


def figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.4g}"


def light_client() -> Iterator[Row]:
    for found in bench_light_client.figures(FOLDER):
        once = len(found.ours) == len(found.other) == 1
        fastest = (None, None) if once else (min(found.ours), min(found.other))
        yield Row(found.name, found.unit, median(found.ours), found.beside, median(found.other), *fastest, runs=len(found.ours))


def table(rows: list[Row]) -> Table:
    result = Table("measured", "value", "beside", "its value", "ratio", box=SIMPLE_HEAD, padding=(0, 1))
    for column in (1, 3, 4):
        result.columns[column].justify = "right"
    for row in rows:
        ratio = f"{row.value / row.beside_value:.3g}"
        result.add_row(f"{row.name}, {row.unit}", figure(row.value), row.beside, figure(row.beside_value), ratio)
    return result


def main() -> None:
    console = Console()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    steps: dict[str, Callable[[], Iterator[Row]]] = {
        "hashing and signing": firmware_times,
        "memory": firmware_memory,
        "instructions": firmware_instructions,
        "code size": native_code_size,
        "random cases": random_cases,
        "gas": gas,
        "store": store,
        "the way of a receipt": relay,
        "the gateway's proofs": gateway,
        "the light client": light_client,
        "simulator": simulator,
        "a site's day": sites,
        "ten thousand plugs": load,
        "the ESP32's resources": resources,
    }
    rows: list[Row] = []
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=len(steps))
        for title, measure in steps.items():
            progress.update(task, description=title)
            rows += measure()
            progress.advance(task)
    console.print(table(rows))
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    (ROOT / "build/bench.json").write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    bench_accuracy.main(console)
    bench_month.main(console)
    console.print("build/bench.json")


if __name__ == "__main__":
    main()
