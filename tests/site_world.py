"""A breaker, the plugs behind it, their cars and the wires to the relay, in seconds: what the planner of a site is tried against.

A plug does here what the firmware does (docs/protocol.md, docs/guard.md) as far as a site can see it; tests/e2e/test_sites.py tries the real one.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from wattseal.relay.sites import Planner, Sight, Site

LIFE_S = MIN_ON_S = MIN_OFF_S = 900
STATUS_EVERY_S = 60
CURRENT_FALLS_S = 2
SILENCE_S = 600
MAINS_MV = 230_000


@dataclass
class Plug:
    """One plug with its car. `energy_mj` (millijoules) is what the car still takes; `allowed` False is a session out of its schedule."""

    limit_ma: int
    is_site: bool = True
    wants: bool = False
    allowed: bool = True
    energy_mj: int = 0
    departs_at_s: int = 0
    price_per_kwh: int = 0
    delivered_mj: int = 0
    is_closed: bool = False
    switched_s: int = -MIN_OFF_S
    is_held_open: bool = False  # by the minimum off time
    opening_s: int | None = None
    budget: tuple[int, int] | None = None  # mA, taken at
    switched: list[tuple[int, bool]] = field(default_factory=list)

    @property
    def draws_ma(self) -> int:
        """What a car draws through closed contacts, at the worst: always the plug's limit."""
        return self.limit_ma if self.is_closed else 0

    def claims(self, now_s: int) -> bool:
        """Whether the session wants its contacts closed."""
        if self.budget is None:
            return self.wants and self.allowed and not self.is_site
        return self.wants and self.allowed and self.budget[0] >= self.limit_ma and now_s - self.budget[1] < LIFE_S

    def step(self, now_s: int, elapsed_s: int) -> None:
        """Let time pass."""
        if self.is_closed:
            moved_mj = min(self.energy_mj, self.limit_ma * MAINS_MV // 1000 * elapsed_s)
            self.energy_mj -= moved_mj
            self.delivered_mj += moved_mj
        if self.is_closed and self.opening_s is not None and now_s >= self.opening_s:
            self._switch(False, now_s, self.wants)
        elif self.is_closed and self.opening_s is None and not self.claims(now_s) and (not self.wants or now_s - self.switched_s >= MIN_ON_S):
            self.opening_s = now_s + CURRENT_FALLS_S
        elif not self.is_closed and self.claims(now_s) and (not self.is_held_open or now_s - self.switched_s >= MIN_OFF_S):
            self._switch(True, now_s, False)

    def power_cut(self, now_s: int) -> None:
        """Start anew: the session waits for a budget again."""
        self.budget = None
        if self.is_closed:
            self._switch(False, now_s, False)

    def end(self) -> None:
        """End the session, which opens the contacts whatever the minimum on time."""
        self.wants = self.is_held_open = False
        self.energy_mj = 0

    def status(self, now_s: int) -> Sight:
        """Return what the newest status tells the planner."""
        claims = self.claims(now_s)
        return Sight(self.wants, claims, not self.is_closed and not claims, False, self.departs_at_s, self.price_per_kwh)

    def _switch(self, closed: bool, now_s: int, is_held_open: bool) -> None:
        self.is_closed, self.switched_s, self.opening_s, self.is_held_open = closed, now_s, None, is_held_open
        self.switched.append((now_s, closed))


@dataclass
class Wire:
    """A connection: what is on its way, in order, each with the second it arrives. `delay_s` is that of what is sent from now on."""

    down: deque[tuple[int, int]] = field(default_factory=deque)
    up: deque[tuple[int, Sight | None]] = field(default_factory=deque)
    delay_s: int = 0
    heard_s: int = 0
    reported: tuple[Sight, bool] | None = None
    reported_s: int = 0


class World:
    """Time, plugs, wires and a relay with a planner. `watch` is called after every step."""

    def __init__(self, site: Site, plugs: dict[bytes, Plug], step_s: int = 5, watch: Callable[["World"], None] = lambda world: None) -> None:
        self.site = site
        self.plugs = plugs
        self.now_s = 0
        self.planner = Planner(site, 0)
        self.wires: dict[bytes, Wire] = {}
        self._step_s = step_s
        self._watch = watch
        self._marks: dict[bytes, int] = {}  # answers still to come before the newest budget is known to be taken

    @property
    def drawn_ma(self) -> int:
        """What the breaker carries besides its reserve."""
        return sum(plug.draws_ma for plug in self.plugs.values())

    def connect(self, *ids: bytes) -> None:
        """Have plugs connect, and say a status as with every hello."""
        for plug in ids:
            self.wires[plug] = Wire(heard_s=self.now_s)
            self.planner.connected(plug, self.now_s)
            self._report(plug)

    def disconnect(self, *ids: bytes) -> None:
        """End connections; what is on its way is lost."""
        for plug in ids:
            if self.wires.pop(plug, None):
                self.planner.disconnected(plug)

    def restart_relay(self) -> None:
        """Replace the relay by one that knows nothing; no plug is connected to it yet."""
        self.wires.clear()
        self.planner = Planner(self.site, self.now_s)

    def run(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(0, seconds, self._step_s):
            self.now_s += self._step_s
            for plug in self.plugs.values():
                plug.step(self.now_s, self._step_s)
            for plug, wire in list(self.wires.items()):
                self._carry(plug, wire)
            for plug, current_ma in self.planner.plan(self.now_s):
                wire = self.wires[plug]
                wire.down.append((self._arrival(wire.down, wire.delay_s), current_ma))
                self._marks[plug] = len(wire.down) + sum(answer is None for _, answer in wire.up)
            self._watch(self)

    def _arrival(self, queue: Iterable[tuple[int, object]], delay_s: int) -> int:
        return max([self.now_s + delay_s, *(arrives_s for arrives_s, _ in queue)])

    def _carry(self, plug: bytes, wire: Wire) -> None:
        device = self.plugs[plug]
        while wire.down and wire.down[0][0] <= self.now_s:
            _, current_ma = wire.down.popleft()
            device.budget = current_ma, self.now_s
            device.step(self.now_s, 0)
            wire.up.append((self._arrival(wire.up, wire.delay_s), None))
        if (device.status(self.now_s), device.is_closed) != wire.reported or self.now_s - wire.reported_s >= STATUS_EVERY_S:
            self._report(plug)
        while wire.up and wire.up[0][0] <= self.now_s:
            _, sight = wire.up.popleft()
            wire.heard_s = self.now_s
            if sight is not None:
                self.planner.saw(plug, sight, self.now_s)
                continue
            self._marks[plug] -= 1
            if self._marks[plug] == 0:
                self.planner.taken(plug, self.now_s)
        if self.now_s - wire.heard_s >= SILENCE_S or (wire.down and self.now_s - wire.down[0][0] >= SILENCE_S):
            self.disconnect(plug)

    def _report(self, plug: bytes) -> None:
        wire, device = self.wires[plug], self.plugs[plug]
        sight = device.status(self.now_s)
        wire.reported, wire.reported_s = (sight, device.is_closed), self.now_s
        wire.up.append((self._arrival(wire.up, wire.delay_s), sight))


def flap(world: World, random: Random) -> None:
    """Do to the wires and the relay what may happen to them."""
    plug = random.choice(list(world.plugs))
    match random.randrange(4):
        case 0:
            world.disconnect(plug)
        case 1 if plug not in world.wires:
            world.connect(plug)
        case 2 if plug in world.wires:
            world.wires[plug].delay_s = random.randrange(SILENCE_S)
        case 3 if random.randrange(8) == 0:
            world.restart_relay()
