"""Runs the firmware's driver and energy register on the simulated metering ICs: what test_accuracy.py and bench_accuracy.py measure with."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GAIN_PPM, NOISE_PPM = 300, 100  # of the simulated front end
SLACK_MWH = 20

# Sampling interval, the most that is drawn in faulty charges, and what a charge may lose beside the share: seconds of its power (readings not yet
# or no longer believed, rms current that comes late), and mWh (a pulse that is not full).
BOARDS: dict[str, dict[str, float]] = {
    "socket_16a": {"interval_ms": 10, "most_ma": 16_000, "lost_s": 0, "lost_mwh": 0},
    "desk_16a": {"interval_ms": 100, "most_ma": 16_000, "lost_s": 0, "lost_mwh": 0},
    "bl0942_10a": {"interval_ms": 100, "most_ma": 10_000, "lost_s": 0.6, "lost_mwh": 187},
    "cse7766_16a": {"interval_ms": 50, "most_ma": 16_000, "lost_s": 0.35, "lost_mwh": 2},
    "hlw8012_10a": {"interval_ms": 100, "most_ma": 10_000, "lost_s": 3.1, "lost_mwh": 3},
}
CSE7766_WRAP_MWH = 131_072 * 5_195 / 3_600  # its pulses begin again at zero: that cannot be told from a reset, and three frames are lost
CSE7766_WRAP_S = 0.2

Job = dict[str, Any]


def build(board: str) -> None:
    """Bring the firmware tree of a board up to date."""
    subprocess.run([sys.executable, str(ROOT / "firmware/build.py"), "trees", "--board", board, "--arch=x64"], check=True, capture_output=True)


def board_file(board: str) -> dict[str, Any]:
    """Return a board file's values."""
    return tomllib.loads((ROOT / f"firmware/boards/{board}.toml").read_text())


def measure(board: str, jobs: Iterable[Job], gain_ppm: int = GAIN_PPM) -> list[Job]:
    """Let accuracy_firmware.py do jobs, one after the other, on a board whose meter has this gain error; return each job with its result."""
    jobs = list(jobs)
    values = board_file(board)["meter"]
    front_end = {key: values[key] for key in ("shunt_uohm", "divider_upper_ohm", "divider_lower_ohm")}
    if values["part"] == "CSE7766":
        front_end["divider_upper_ohm"] -= front_end["divider_lower_ohm"]  # its manual takes 1 MOhm over 1 kOhm as 1000, not as 1001
    front_end |= {"gain_error_ppm": gain_ppm, "noise_ppm": NOISE_PPM}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sim.json").write_text(json.dumps({"meter": values["part"].lower(), "front_end": front_end}))
        (Path(folder) / "jobs.json").write_text(json.dumps([{"interval_ms": BOARDS[board]["interval_ms"]} | job for job in jobs]))
        path = [ROOT / "firmware/sim", ROOT / "build/firmware" / board / "x64"]
        environment = os.environ | {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "WATTSEAL_SIM": "sim.json"}
        command = [str(ROOT / "build/bin/micropython-x64"), "-X", "heapsize=512k", str(ROOT / "tests/accuracy_firmware.py"), "jobs.json"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{board}: MicroPython ended with status {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    return [{"board": board} | job | json.loads(line) for job, line in zip(jobs, done.stdout.splitlines(), strict=True)]


def point(power_mw: int, power_factor: float, frequency_mhz: int, voltage_mv: int, seconds: int) -> Job:
    """A constant load."""
    conditions = {"power_mw": power_mw, "power_factor": power_factor, "frequency_mhz": frequency_mhz, "voltage_mv": voltage_mv}
    return {"kind": "point", "s": seconds, **conditions}


def current_ma(job: Job) -> float:
    """Return the rms current of a point."""
    return job["power_mw"] * 1000 / job["voltage_mv"] / job["power_factor"]


def caltech_sessions() -> list[int]:
    """Return the energies of the Caltech sessions in Wh."""
    with (ROOT / "host_tools/wattseal/demo/data/caltech_2019_03.csv").open() as file:
        return [round(float(row["energy_kwh"]) * 1000) for row in csv.DictReader(file)]


def faulty(board: str, seeds: Iterable[int], only: tuple[str, ...] = ()) -> list[Job]:
    """Charges on a bus with random faults, of all kinds or only some."""
    return [{"kind": "faulty", "seed": seed, "most_ma": BOARDS[board]["most_ma"], "only": only} for seed in seeds]


def least_mwh(result: Job, reference_mwh: float, share: float, power_w: float) -> float:
    """Return the least that may be booked of a fault-free charge at this power."""
    limits = BOARDS[result["board"]]
    lost_s = limits["lost_s"]
    if result["board"].startswith("cse7766"):
        lost_s += CSE7766_WRAP_S * (reference_mwh // CSE7766_WRAP_MWH)
    return reference_mwh * share - SLACK_MWH - limits["lost_mwh"] - lost_s * power_w / 3.6


def is_over(result: Job, reference: str) -> bool:
    """Tell whether more is booked than 100.1 % and 20 mWh of "true_mwh" or "ideal_mwh"."""
    over: bool = result["booked_mwh"] > result[reference] * 1.001 + SLACK_MWH
    return over
