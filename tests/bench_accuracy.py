"""Measures how exactly the firmware books energy: error curves of the four metering ICs, the Caltech sessions, charges with bus faults.

Part of `make bench`; alone: build/venv/bin/python tests/bench_accuracy.py. Prints the tables and writes `accuracy` into build/bench.json. Two errors
stand side by side: the meter's, what its counts stand for against what flowed (as simulated: gain, noise, no-load rule), and the register's, what the
firmware booked against what the counts stand for. Raises ValueError when what is booked is out of bounds.
"""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from accuracy import (
    BOARDS,
    ROOT,
    Job,
    board_file,
    build,
    caltech_sessions,
    current_ma,
    faulty,
    is_over,
    least_mwh,
    measure,
    point,
)
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

LOADS_MW = (6_000, 12_000, 25_000, 60_000, 150_000, 500_000, 1_500_000, 2_300_000, 3_700_000)
FACTORS = (0.5, 0.8, 1.0)
FREQUENCIES_MHZ = (45_000, 50_000, 55_000, 60_000, 65_000)
VOLTAGES_MV = (85_000, 120_000, 230_000, 265_000)
MOST_MA = {"ADE7953": 44_000, "BL0942": 41_000, "CSE7766": 30_900, "HLW8012": 30_900}  # full scale of the boards' front ends
BOOKED_MOST = 1.45  # of the rated power; from 1.5 on a board books nothing
CURVE_S, COARSE_CURVE_S = 60, 300  # of the ADE7953; of the others, whose pulses are coarse
COARSE_MS = 10_000  # sampling of the Caltech sessions, and how long the mains' voltage stays the same in them
SEEDS = 120  # a quarter of them where sampling is fast
CHUNK = 15
WORKERS = 2


def in_chunks(board: str, jobs: list[Job], **named: Any) -> list[Job]:
    """Measure jobs in several processes at a time."""
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(itertools.chain.from_iterable(pool.map(lambda chunk: measure(board, chunk, **named), chunks)))


def grid(board: str) -> Iterator[Job]:
    """Return the points of a board's sweep: all axes for the ADE7953, fewer values for the others."""
    values = board_file(board)
    part, rated_mw = values["meter"]["part"], values["ratings"]["rated_power_w"] * 1000
    axes = (LOADS_MW, FACTORS, FREQUENCIES_MHZ, VOLTAGES_MV)
    if part != "ADE7953":
        axes = (LOADS_MW, FACTORS[::2], FREQUENCIES_MHZ[1:4:2], VOLTAGES_MV)
    elif BOARDS[board]["interval_ms"] < 100:
        axes = (LOADS_MW, FACTORS, FREQUENCIES_MHZ[::2], VOLTAGES_MV[::3])
    for load_mw, *others in itertools.product(*axes):
        job = point(load_mw, *others, CURVE_S if part == "ADE7953" else COARSE_CURVE_S)
        if current_ma(job) <= MOST_MA[part] and load_mw <= rated_mw * BOOKED_MOST:
            yield job


def check(results: list[Job]) -> list[Job]:
    """Return the results. Raises ValueError when one is out of bounds."""
    for result in results:
        no_load = result["kind"] == "point" and current_ma(result) < 2 * board_file(result["board"])["meter"]["no_load_ma"]
        least = 0 if no_load else least_mwh(result, result["ideal_mwh"], 0.999, result.get("power_mw", 3_700_000) / 1000)
        if is_over(result, "ideal_mwh") or result["booked_mwh"] < least or result["reverse_mwh"]:
            raise ValueError(f"out of bounds: {result}")
    return results


def percent(value: float, reference: float) -> float | None:
    """Return how much more than a reference a value is, in percent; None without a reference."""
    return round((value / reference - 1) * 100, 4) if reference else None


def curve(board: str) -> list[dict[str, Any]]:
    """Return the error curve of a board: for each load and power factor the extremes over mains frequency and voltage."""
    build(board)
    rows = []
    results = check(in_chunks(board, list(grid(board))))
    for (load_mw, factor), group in itertools.groupby(results, lambda result: (result["power_mw"], result["power_factor"])):
        points = list(group)
        meter = [percent(one["ideal_mwh"], one["true_mwh"]) for one in points]
        register = [one["booked_mwh"] - one["ideal_mwh"] for one in points]
        worst = max(points, key=lambda one: abs(one["booked_mwh"] - one["ideal_mwh"]))
        rows.append(
            {
                "board": board,
                "load_w": load_mw / 1000,
                "power_factor": factor,
                "points": len(points),
                "meter_percent": [min(meter), max(meter)],
                "register_mwh": [round(min(register), 2), round(max(register), 2)],
                "register_percent": percent(worst["booked_mwh"], worst["ideal_mwh"]),
            }
        )
    return rows


def caltech() -> dict[str, Any]:
    """Return what became of the Caltech sessions, one after the other at 16 A."""
    jobs = [{"kind": "session", "energy_wh": energy_wh, "current_ma": 16_000, "interval_ms": COARSE_MS} for energy_wh in caltech_sessions()]
    results = check(in_chunks("desk_16a", jobs))
    true_mwh, ideal_mwh, booked_mwh = (sum(result[key] for result in results) for key in ("true_mwh", "ideal_mwh", "booked_mwh"))
    register = [result["booked_mwh"] - result["ideal_mwh"] for result in results]
    return {
        "sessions": len(results),
        "true_kwh": round(true_mwh / 1e6, 3),
        "meter_percent": percent(ideal_mwh, true_mwh),
        "booked_percent_of_true": round(booked_mwh / true_mwh * 100, 4),
        "register_percent": percent(booked_mwh, ideal_mwh),
        "most_under_mwh": round(-min(register), 2),
        "most_over_mwh": round(max(0, *register), 2),
    }


def faults(board: str) -> dict[str, Any]:
    """Return what became of charges with bus faults; the meter itself has no error in them."""
    build(board)
    seeds = SEEDS if BOARDS[board]["interval_ms"] >= 50 else SEEDS // 4
    results = in_chunks(board, faulty(board, range(seeds)), gain_ppm=0)
    for result in results:
        if is_over(result, "true_mwh"):
            raise ValueError(f"more is booked than flowed: {result}")
    return {
        "board": board,
        "charges": len(results),
        "booked_percent_of_true": round(sum(result["booked_mwh"] for result in results) / sum(result["true_mwh"] for result in results) * 100, 2),
        "most_over_mwh": round(max(result["booked_mwh"] - result["true_mwh"] for result in results), 2),
    }


def facts_table(rows: list[dict[str, Any]], title: str) -> Table:
    """Return rows with the same keys as a table."""
    result = Table(*(name.replace("_", " ") for name in rows[0]), title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for row in rows:
        result.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    return result


def curve_table(rows: list[dict[str, Any]]) -> Table:
    """Return the error curves as a table."""
    columns = ("board", "load, W", "PF", "meter, %", "register, mWh", "worst, %")
    result = Table(*columns, title="Errors: meter against truth, register against meter", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    result.columns[0].no_wrap = True
    for column in result.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for row in rows:
        meter, register = (f"{low:.3g} .. {high:.3g}" for low, high in (row["meter_percent"], row["register_mwh"]))
        worst = "" if row["register_percent"] is None else f"{row['register_percent']:.3g}"
        result.add_row(row["board"], f"{row['load_w']:g}", f"{row['power_factor']:g}", meter, register, worst)
    return result


def main(console: Console) -> None:
    """Measure everything; add it to build/bench.json."""
    rows: list[dict[str, Any]] = []
    struck: list[dict[str, Any]] = []
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=2 * len(BOARDS) + 1)
        for board in BOARDS:
            progress.update(task, description=f"error curve of {board}")
            rows += curve(board)
            progress.advance(task)
        progress.update(task, description="954 sessions")
        replayed = caltech()
        progress.advance(task)
        for board in BOARDS:
            progress.update(task, description=f"bus faults, {board}")
            struck.append(faults(board))
            progress.advance(task)
    console.print(curve_table(rows))
    console.print(facts_table([replayed], "The Caltech sessions"))
    console.print(facts_table(struck, "Faults of the bus"))
    path = ROOT / "build/bench.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | {"accuracy": {"curve": rows, "caltech": replayed, "faults": struck}}, indent=2) + "\n")


if __name__ == "__main__":
    main(Console())
