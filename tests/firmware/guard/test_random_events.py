"""Random histories: whatever comes, the coil is never driven while tripped or unwanted, and never again before its time."""

import random

from guard.rig import Rig, mains, temperature_uv
from plug.errors import PlugError

HISTORIES = 60
EVENTS = 40


class Watcher(Rig):
    """Checks the coil after every sample, from what it has seen itself."""

    def begin(self, events):
        self.random = events
        self.wanted = False
        self.unwanted_ms = None
        self.tripped_ms = None
        self.earliest_ms = 0
        self.was_driven = False
        self.closings = []

    def want(self, closed, final=False):
        try:
            self.guard.want(closed, self.now_ms, final=final)
        except PlugError:
            assert closed
            return
        self.wanted = closed
        self.unwanted_ms = None if closed else self.now_ms
        if final:
            self.earliest_ms = 0

    def check(self):
        guard = self.guard
        driven = mains.coil == 1
        if guard.trip is None:
            self.tripped_ms = None
        elif self.tripped_ms is None:
            self.tripped_ms = self.now_ms
            self.wanted = False
        if driven:
            assert self.tripped_ms is None or self.now_ms - self.tripped_ms < 100
            assert self.wanted or self.unwanted_ms is None or self.now_ms - self.unwanted_ms <= 60_000 + 2_010
        if driven and not self.was_driven:
            assert self.wanted
            assert guard.trip is None
            assert self.now_ms >= self.earliest_ms
            assert not self.welded
            assert 196_000 <= self.meter.voltage_mv <= 264_000
            assert self.meter.is_live
            self.closings = [ms for ms in self.closings if self.now_ms - ms < 3_600_000] + [self.now_ms]
            assert len(self.closings) <= 6
        if self.was_driven and not driven and guard.trip is None and not guard.outage and not self.wanted and not self.is_end:
            self.earliest_ms = self.now_ms + 60_000
        if guard.outage:
            self.earliest_ms = max(self.earliest_ms, self.now_ms + 30_000)
        assert not (guard.is_open and guard.is_closed)
        assert not guard.is_closed or driven
        assert (guard.trip is not None) == (guard.state == "tripped")
        self.was_driven = driven

    def run(self, ms, until=None, step_ms=10):
        for _ in range(ms // step_ms):
            super().run(step_ms, step_ms=step_ms)
            self.check()

    def step(self):
        """Let one thing happen."""
        choose = self.random.randrange
        event = choose(16)
        if event < 5:
            self.want(True)
        elif event < 7:
            self.is_end = bool(choose(2))
            self.want(False, final=self.is_end)
        elif event == 7:
            self.load_ma = (0, 900, 9_000, 12_500, 30_000, 70_000)[choose(6)]
        elif event == 8:
            self.meter.voltage_mv = (0, 100_000, 190_000, 230_000, 230_000, 270_000)[choose(6)]
        elif event == 9:
            self.meter.is_live = choose(3) > 0
        elif event == 10:
            self.welded = (0, 0, 0, 1, 2)[choose(5)]
        elif event == 11:
            self.stuck = (0, 0, 0, 1, 2)[choose(5)]
        elif event == 12:
            mains.uv[32 + choose(2)] = (temperature_uv(25_000), temperature_uv(90_000), 3_200_000)[choose(3)]
        elif event == 13:
            self.guard.on_over_current(self.now_ms, (None, 50_000, 100_000)[choose(3)])
            if self.guard.trip is not None:
                self.wanted = False
        elif event == 14:
            self.heal()
            self.run(2_500)
            try:
                self.guard.clear(self.now_ms, reset_wear=bool(choose(2)))
            except PlugError:
                self.refused += 1
        else:
            self.guard.emergency_open()
            self.wanted = False
            self.is_end = True  # not a suspension
            assert mains.coil == 0
        self.run((10, 50, 300, 1_000, 3_000, 10_000)[choose(6)])

    def heal(self):
        self.meter.voltage_mv, self.meter.is_live, self.welded, self.stuck, self.load_ma = 230_000, True, 0, 0, 0
        mains.uv[32] = mains.uv[33] = temperature_uv(25_000)

    is_end = False
    refused = 0


def test_random_histories():
    closings = 0
    codes = set()
    for seed in range(HISTORIES):
        random.seed(seed)
        rig = Watcher(min_on_ms=60_000, min_off_ms=60_000, wear_budget=5)
        rig.begin(random)
        rig.run(3_000)
        try:
            for _ in range(EVENTS):
                rig.step()
                if rig.guard.trip:
                    codes.add(rig.guard.trip)
        except AssertionError as error:
            raise AssertionError("seed %d at %d ms, state %s, trip %s: %s" % (seed, rig.now_ms, rig.guard.state, rig.guard.trip, error)) from error
        closings += len(rig.closings)
    assert closings > HISTORIES  # they did something
    assert len(codes) >= 8, codes
