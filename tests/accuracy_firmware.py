"""Inside MicroPython, started by tests/accuracy.py: `micropython accuracy_firmware.py <jobs.json>`; prints a line of JSON for each job.

The firmware's own driver and energy register on the simulated IC, without app and guard. Every job is a plug that has just been switched on.
"""

import json
import os
import random
import sys

sys.path[:] = os.getenv("MICROPYPATH").split(":")  # without this script's own folder in front

import time  # noqa: E402

import mains  # noqa: E402
from clock import world  # noqa: E402
from plug import board  # noqa: E402
from plug.drivers.contactor import Contactor  # noqa: E402
from plug.errors import MeterError  # noqa: E402
from plug.metering.calibration import Calibration  # noqa: E402
from plug.metering.energy import EnergyRegister  # noqa: E402
from plug.metering.meter import open_meter  # noqa: E402

QUIET_MS = 4_000  # before and after a charge: rms values settle, the last readings are believed
FLIP_PPM = (100, 1_000, 10_000, 50_000, 200_000)
PLAIN_FAULTS = ("before", "after", "flips", "low", "high", "reset", "gap", "misread")
FAULTS = {  # by IC
    "ade7953": PLAIN_FAULTS + ("misconfigured", "register"),  # noqa: RUF005 - not in MicroPython
    "bl0942": PLAIN_FAULTS + ("misconfigured", "garbage"),  # noqa: RUF005
    "cse7766": PLAIN_FAULTS + ("edge", "garbage"),  # noqa: RUF005
    "hlw8012": ("reset", "gap"),
}


class Plug:
    """Driver and energy register, sampled every `interval_ms`."""

    def __init__(self, interval_ms):
        self.interval_ms = interval_ms
        self.contactor = Contactor(board.PINS["contactor"], board.CONTACTOR_ACTIVE_HIGH)
        self.contactor.open()
        clear_faults()
        time.sleep_ms(1_000)
        world.meter.reset(world.now_ms)
        time.sleep_ms(200)
        self.meter = open_meter(Calibration())[0]
        self.meter.start()
        self.register = EnergyRegister(0, board.METER["energy_mwh_numerator"], board.METER["energy_mwh_denominator"])
        self.failed = 0
        self.run(max(QUIET_MS, 3 * interval_ms))
        self.true_mwh, self.ideal_mwh = energies()

    def run(self, milliseconds):
        """Sample for so long."""
        end_ms = world.now_ms + milliseconds
        while world.now_ms < end_ms:
            time.sleep_ms(self.interval_ms)
            try:
                self.meter.sample(world.now_ms)
            except MeterError:
                self.failed += 1
            self.register.add(self.meter.take_counts())

    def charge(self, job):
        """Close the contacts on a new car."""
        world.unplug()
        world.plug_in(job)
        self.contactor.close()

    def result(self):
        """Open the contacts; return what flowed, what the IC's counts stand for and what is booked, in mWh, and what went wrong meanwhile."""
        self.contactor.open()
        self.run(max(QUIET_MS, 3 * self.interval_ms))
        true_mwh, ideal_mwh = energies()
        return {
            "true_mwh": true_mwh - self.true_mwh,
            "ideal_mwh": ideal_mwh - self.ideal_mwh,
            "booked_mwh": self.register.total_mwh,
            "reverse_mwh": self.register.reverse_mwh,
            "discarded": self.meter.discarded,
            "failed": self.failed,
        }


def energies():
    world.settle()
    return world.true_j / 3.6, world.meter.ideal_j / 3.6


def point(job):
    """A constant load for job["s"] seconds."""
    world.set_mains(job["voltage_mv"], job["frequency_mhz"])
    plug = Plug(job["interval_ms"])
    plug.run(job.get("wait_ms", 0))
    current_ma = job["power_mw"] * 1_000 / job["voltage_mv"] / job["power_factor"]
    plug.charge({"energy_wh": 100_000, "taper_wh": 0, "current_ma": current_ma, "power_factor": job["power_factor"], "start_ms": 0})
    plug.run(job["s"] * 1000)
    return plug.result()


def session(job):
    """A car that takes job["energy_wh"], to the end. The mains' voltage changes as often as the meter is sampled."""
    mains.STEP_MS = max(1_000, job["interval_ms"])
    world.set_mains(230_000, 50_000)
    plug = Plug(job["interval_ms"])
    plug.charge({"energy_wh": job["energy_wh"], "current_ma": job["current_ma"]})
    while not world.is_reached("car_full"):
        plug.run(max(10_000, 10 * job["interval_ms"]))
    return plug.result()


def clear_faults():
    world.failing_transfers = world.late_failures = 0
    world.bus_faults.flip_ppm = 0
    world.bus_faults.stuck = None


def reset():
    """Let the IC start again."""
    world.meter.reset(world.now_ms)
    world.meter_changed()


def strike(plug, name):
    """Let a fault of the bus or the IC happen, at random for how long."""
    faults = world.bus_faults
    if name == "before":
        world.failing_transfers = random.randint(1, 60)
    elif name == "after":
        world.late_failures = random.randint(1, 60)
    elif name == "flips":
        faults.flip_ppm = random.choice(FLIP_PPM)
    elif name == "low":
        faults.stuck = 0x00
    elif name == "high":
        faults.stuck = 0xFF
    elif name == "reset":
        reset()
    elif name == "misconfigured":  # bits flip while the driver configures the IC after a reset, and then no longer
        clear_faults()
        faults.flip_ppm = random.choice((3_000, 10_000, 30_000))
        reset()
        plug.run(random.randint(200, 3_000))
        faults.flip_ppm = 0
        plug.run(3_000)
    elif name == "edge":  # a reset just before the pulses of the CSE7766 begin again at zero
        world.meter._pulses = 131_072.0 - random.randint(1, 300)
        plug.run(random.randint(200, 400))
        reset()
        plug.run(2_000)
    elif name == "register":
        world.meter.corrupt(random.choice((0x004, 0x007, 0x008, 0x108, 0x120, 0x201, 0x203, 0x280, 0x281, 0x282, 0x289)), random.getrandbits(1))
    elif name == "misread":
        misread(plug)
    elif name == "garbage":
        for _ in range(random.randint(1, 20)):
            data = bytes([random.choice((0x55, 0x5A, 0x00, 0xFF, random.getrandbits(8))) for _ in range(random.randint(1, 40))])
            world.meter.send(data, world.now_us)
            plug.run(random.randint(1, 300))
    else:
        time.sleep_ms(random.choice((100, 1_000, 10_000, 29_000, 31_000, 60_000, 180_000)) + random.randint(0, 999))


def misread(plug):
    """Let a single reading of the energy be wrong by one bit in a way that no checksum or second look shows, perhaps soon after a start."""
    clear_faults()
    plug.run(500)
    if random.getrandbits(1):
        try:
            plug.meter.start()
        except MeterError:
            plug.failed += 1
    plug.run(random.choice((50, 100, 150, 200, 300, 500)))
    meter = world.meter
    name, reads = {"ADE7953Model": ("_read_energy", 2), "BL0942Model": ("_read", 1), "CSE7766Model": ("_frame", 1)}[type(meter).__name__]
    good = getattr(meter, name)
    error = random.choice((1, -1)) << random.randint(0, 12)
    left = [reads]

    def wrong(*arguments):
        if name == "_frame":
            meter._pulses += error
            answer = good()
            meter._pulses -= error
        else:
            answer = good(*arguments)
            if name == "_read" and arguments != (7,):  # CF_CNT
                return answer
            answer = answer + error & 0xFFFFFF
        left[0] -= 1
        if not left[0]:
            setattr(meter, name, good)
        return answer

    setattr(meter, name, wrong)
    plug.run(2_000)


def faulty(job):
    """A charge while random faults come and go, several at once too; the seed says which."""
    random.seed(job["seed"])
    names = job.get("only") or FAULTS[board.METER["part"]]
    plug = Plug(job["interval_ms"])
    # A small current loses little where nothing is booked: a few mWh too much then show.
    current_ma = random.randint(1_000, job["most_ma"]) if random.getrandbits(1) else random.randint(100, 300)
    plug.charge({"energy_wh": random.randint(5, 60), "current_ma": current_ma, "power_factor": random.choice((1.0, 0.8, 0.5))})
    struck = []
    for _ in range(random.randint(2, 8)):
        plug.run(random.randint(100, 6_000))
        for _ in range(random.choice((1, 1, 2, 3))):
            name = random.choice(names)
            struck.append(name)
            strike(plug, name)
            plug.run(random.choice((10, 200, 2_000, 12_000)))
        if random.getrandbits(2):
            clear_faults()
    clear_faults()
    plug.run(3_000)
    result = plug.result()
    result["struck"] = struck
    return result


KINDS = {"point": point, "session": session, "faulty": faulty}

with open(sys.argv[1]) as file:
    for job in json.load(file):
        sys.stdout.write(json.dumps(KINDS[job["kind"]](job)) + "\n")
