"""A guard with its real drivers over fake pins, a fake ADC and a fake meter: what mains, contacts and load do is the test's."""

import sys


class Mains:
    """What the pins are connected to."""

    def __init__(self):
        self.coil = 0
        self.line = self.neutral = False  # contacts
        self.live = 3  # bits: pole's detector may show live
        self.leak = 0  # bits: detector shows live whatever the contacts do
        self.uv = {32: 1_650_000, 33: 1_650_000}  # 25 degrees


mains = Mains()


class Pin:
    IN, OUT, PULL_UP = 1, 3, 2

    def __init__(self, number, mode=None, pull=None, *, value=None):
        self.number = number
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is not None:
            assert self.number == 25
            mains.coil = level
            return None
        shows = mains.leak
        if mains.line:
            shows |= mains.live & 1
        if mains.neutral:
            shows |= mains.live & 2
        return 1 - (shows >> (self.number - 35) & 1)


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, atten):
        self.number = pin.number

    def read_uv(self):
        return mains.uv[self.number]


class FakeMachine:
    Pin, ADC = Pin, ADC


sys.modules["machine"] = FakeMachine
from plug.drivers.contactor import Contactor  # noqa: E402
from plug.drivers.load_sense import LoadSense  # noqa: E402
from plug.drivers.thermometer import Thermometer  # noqa: E402
from plug.guard import Guard  # noqa: E402

STEP_MS = 10
NTC = ((200_000, 100_000), (275_000, 90_000), (1_650_000, 25_000), (2_800_000, -10_000))
LIMITS = {
    "continuous_ma": 10_000,
    "instant_peak_ma": 40_000,
    "breaking_capacity_ma": 60_000,
    "over_voltage_mv": 264_000,
    "under_voltage_mv": 196_000,
    "frequency_min_mhz": 47_500,
    "frequency_max_mhz": 52_000,
    "contact_max_mc": 85_000,
    "contact_reset_mc": 60_000,
    "plug_max_mc": 70_000,
    "plug_reset_mc": 50_000,
    "min_on_ms": 900_000,
    "min_off_ms": 900_000,
    "wear_budget": 1_000,
    "no_load_ma": 50,
    "sample_interval_ms": 10,
}


def temperature_uv(temperature_mc):
    """Return where the table has that temperature."""
    for i in range(len(NTC) - 1):
        (low_uv, hot_mc), (high_uv, cold_mc) = NTC[i], NTC[i + 1]
        if cold_mc <= temperature_mc <= hot_mc:
            return low_uv + (high_uv - low_uv) * (hot_mc - temperature_mc) // (hot_mc - cold_mc)
    raise ValueError


class Meter:
    is_live = True
    voltage_mv = 230_000
    frequency_mhz = 50_000
    current_ma = 0


class Rig:
    """Runs a guard; contacts follow the coil after 20 ms unless they are welded (bits 1, 2) or stuck."""

    def __init__(self, state=None, sense=True, now_ms=1_000_000, delay_ms=0, **limits):
        self.mains = mains
        mains.__init__()
        self.meter = Meter()
        self.load_ma = 0
        self.welded = self.stuck = 0
        self.now_ms = now_ms
        self.limits = dict(LIMITS)
        for key, value in limits.items():
            if value is None:
                del self.limits[key]
            else:
                self.limits[key] = value
        self.delay_ms = delay_ms
        self.has_sense = sense
        self.coil_since = now_ms
        self.coil_before = 0
        self.build(state)

    def build(self, state=None):
        """Boot: a new guard over the same world."""
        sense = LoadSense(35, 36) if self.has_sense else None
        thermometers = (Thermometer(32, NTC), Thermometer(33, NTC))
        self.guard = Guard(Contactor(25), sense, thermometers, self.limits, state, lambda n: min(self.delay_ms, n - 1))

    def reboot(self, cause="power_on", was_closed=False):
        """Boot from what would be in the journal."""
        state = self.guard.to_state()
        for value in state.values():
            assert type(value) in (int, str), state
        self.build(state)
        self.guard.note_boot(cause, was_closed, self.now_ms)

    def move(self):
        """Let the contacts follow."""
        if mains.coil != self.coil_before:
            self.coil_before = mains.coil
            self.coil_since = self.now_ms
        closed = mains.coil if self.now_ms - self.coil_since >= 20 else mains.line and mains.neutral
        mains.line = bool((closed and not self.stuck & 1) or self.welded & 1)
        mains.neutral = bool((closed and not self.stuck & 2) or self.welded & 2)
        mains.live = 3 if self.meter.voltage_mv > 100_000 else 0
        if self.meter.current_ma is not None:
            self.meter.current_ma = self.load_ma if mains.line and mains.neutral else 0

    def run(self, ms, until=None, step_ms=STEP_MS):
        """Let `ms` pass, or less until `until()`; return how long it took, or None when `until` never came."""
        began_ms = self.now_ms
        while self.now_ms - began_ms < ms:
            self.now_ms += step_ms
            self.move()
            self.guard.sample(self.now_ms, self.meter)
            if until is not None and until():
                return self.now_ms - began_ms
        return None if until is not None else ms

    def run_to(self, state, ms=5_000, step_ms=STEP_MS):
        """Run until the guard is in that state; return the time."""
        took_ms = self.run(ms, lambda: self.guard.state == state, step_ms)
        assert took_ms is not None, (state, self.guard.state, self.guard.waits_for, self.guard.trip, self.guard.trip_detail)
        return took_ms

    def run_to_trip(self, code, ms=10_000, step_ms=STEP_MS):
        """Run until a trip, which must be `code`; return the time."""
        took_ms = self.run(ms, lambda: self.guard.trip is not None, step_ms)
        assert self.guard.trip == code, (code, self.guard.trip, self.guard.trip_detail, self.guard.state)
        return took_ms

    def close(self, load_ma=0):
        """Close on a claim, and load it."""
        self.guard.want(True, self.now_ms)
        self.run_to("closed")
        assert mains.coil == 1
        assert self.guard.is_closed
        self.load_ma = load_ma
        self.run(STEP_MS)
        return self

    def is_off(self):
        """Tell whether the coil is released."""
        return mains.coil == 0
