"""A day of real sessions at eight plugs behind a 32 A breaker, beside the same day without a limit: for `make bench` and docs/sites.md.

The day is the one on which the eight busiest stations of the Caltech garage delivered most (host_tools/wattseal/demo/data). A car takes the
energy that it took there, as fast as the plug lets it, and leaves when it left. Run alone it draws docs/sites.svg: `python tests/bench_sites.py`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rich.console import Console
from site_world import Plug, World, flap
from wattseal.demo.charges import Charge, load
from wattseal.relay.sites import Site

BREAKER_MA = 32_000
PLUGS = 8
LIMITS_MA = (8_000, 10_000, 16_000)
DAY_S = 86_400
MIDNIGHT_S = 8 * 3600  # in California, in UTC
STEP_S = 5
FULL_S = 600  # without current a session ends
MJ_PER_KWH = 3_600_000_000
FAULT_EVERY_S = 900


@dataclass
class Outcome:
    """One day. Energy in millijoules of each visit that was delivered; current in mA at each step."""

    limit_ma: int
    wished: dict[Charge, int]
    delivered: dict[Charge, int] = field(default_factory=dict)
    current_ma: list[int] = field(default_factory=list)
    on: list[list[bool]] = field(default_factory=list)
    switched: int = 0

    @property
    def kwh(self) -> float:
        return sum(self.delivered.values()) / MJ_PER_KWH


def busiest_day() -> list[Charge]:
    """Return the visits of that day, in order of arrival, renamed to the eight plugs."""
    charges = load(10_000)
    energy_wh: Counter[tuple[int, str]] = Counter()
    for charge in charges:
        energy_wh[(charge.arrival - MIDNIGHT_S) // DAY_S, charge.station] += charge.energy_wh
    best: Counter[int] = Counter()
    for day in {day for day, _ in energy_wh}:
        best[day] = sum(wh for _, wh in Counter({station: wh for (other, station), wh in energy_wh.items() if other == day}).most_common(PLUGS))
    day = best.most_common(1)[0][0]
    stations = [name for name, _ in Counter({name: wh for (other, name), wh in energy_wh.items() if other == day}).most_common(PLUGS)]
    return [charge for charge in charges if charge.station in stations and (charge.arrival - MIDNIGHT_S) // DAY_S == day]


def simulate(charges: list[Charge], limit_ma: int, breaker_ma: int, faults: Random | None = None) -> Outcome:
    """Run the day. Raises ValueError where the breaker carries more than its limit."""
    stations = sorted({charge.station for charge in charges})
    ids = {station: bytes([number + 1]) * 20 for number, station in enumerate(stations)}
    plugs = {plug: Plug(limit_ma) for plug in ids.values()}
    outcome = Outcome(limit_ma, {charge: charge.energy_wh * MJ_PER_KWH // 1000 for charge in charges})
    begins_s = charges[0].arrival - 3600
    running: dict[bytes, tuple[Charge, int]] = {}
    full_s: dict[bytes, int] = {}

    def watch(world: World) -> None:
        if world.drawn_ma > breaker_ma:
            raise ValueError(f"{world.drawn_ma} mA behind a breaker of {breaker_ma} mA at {world.now_s} s")
        outcome.current_ma.append(world.drawn_ma)
        outcome.on.append([plug.is_closed for plug in plugs.values()])

    world = World(Site("garage", breaker_ma, 0, dict.fromkeys(plugs, limit_ma)), plugs, STEP_S, watch)
    world.connect(*plugs)
    while world.now_s < DAY_S:
        utc = begins_s + world.now_s
        for plug, (charge, before_mj) in list(running.items()):
            device = plugs[plug]
            full_s[plug] = full_s.get(plug, 0) + STEP_S if device.energy_mj == 0 else 0
            if utc >= charge.departure or full_s[plug] >= FULL_S:
                outcome.delivered[charge] = device.delivered_mj - before_mj
                device.end()
                del running[plug], full_s[plug]
        for charge in charges:
            plug = ids[charge.station]
            if charge.arrival <= utc < charge.departure and charge not in outcome.delivered and plug not in running:
                device = plugs[plug]
                running[plug] = charge, device.delivered_mj
                device.wants, device.energy_mj, device.price_per_kwh = True, outcome.wished[charge], 1
                device.departs_at_s = world.now_s + charge.departure - utc
        if faults and world.now_s % FAULT_EVERY_S == 0:
            flap(world, faults)
        if faults and world.now_s % 300 == 0:
            world.connect(*(plug for plug in plugs if plug not in world.wires and faults.random() < 0.3))
        world.run(STEP_S)
    for plug, (charge, before_mj) in running.items():
        outcome.delivered[charge] = plugs[plug].delivered_mj - before_mj
    outcome.switched = sum(len(plug.switched) for plug in plugs.values())
    return outcome


@dataclass(frozen=True)
class Figure:
    """Energy of the day in kWh: behind the breaker, and without a limit."""

    name: str
    value: float
    beside: float


def figures() -> Iterator[Figure]:
    """Simulate the day for each kind of plug, and once with lost connections, late messages and restarts of the relay."""
    charges = busiest_day()
    for limit_ma in LIMITS_MA:
        free = simulate(charges, limit_ma, PLUGS * limit_ma)
        yield Figure(f"eight plugs of {limit_ma // 1000} A behind 32 A, a day", simulate(charges, limit_ma, BREAKER_MA).kwh, free.kwh)
        if limit_ma == 10_000:
            yield Figure("the same with a fault each quarter of an hour", simulate(charges, limit_ma, BREAKER_MA, Random(1)).kwh, free.kwh)


# -- the plot -------------------------------------------------------------------------------------------------------------------------

WIDTH, LEFT, TOP, HEIGHT, ROW = 900, 60, 40, 200, 18
FIRST_S, LAST_S = 0, 14 * 3600


def svg(limited: Outcome, free: Outcome, begins_s: int) -> str:
    """Draw current over time of both days, and below it when each plug was on."""

    def x(step: int) -> float:
        return LEFT + (step * STEP_S - FIRST_S) * (WIDTH - LEFT - 20) / (LAST_S - FIRST_S)

    def y(ma: int) -> float:
        return TOP + HEIGHT - ma * HEIGHT / 85_000

    def line(values: list[int], style: str) -> str:
        points = [f"{x(0):.1f},{y(values[0]):.1f}"]
        for step in range(1, LAST_S // STEP_S):
            if values[step] != values[step - 1]:
                points += [f"{x(step):.1f},{y(values[step - 1]):.1f}", f"{x(step):.1f},{y(values[step]):.1f}"]
        return f'<polyline points="{" ".join(points)}" fill="none" {style}/>'

    rows_top = TOP + HEIGHT + 40
    bottom = rows_top + PLUGS * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 30}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{bottom + 30}" fill="white"/>',
        f'<text x="{LEFT}" y="20">Eight plugs of {limited.limit_ma // 1000} A, a day of Caltech sessions (UTC-8): current, and who was on</text>',
    ]
    for amperes in range(0, 81, 16):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(amperes * 1000):.1f}" y2="{y(amperes * 1000):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(amperes * 1000) + 4:.1f}" text-anchor="end">{amperes} A</text>')
    first_hour = -(-begins_s // 3600)
    for hour in range(first_hour, first_hour + LAST_S // 3600, 2):
        at = x((hour * 3600 - begins_s) // STEP_S)
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{(hour - MIDNIGHT_S // 3600) % 24}:00</text>')
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom + 4}" stroke="#eee"/>')
    parts.append(line(free.current_ma, 'stroke="#999" stroke-dasharray="3 2"'))
    parts.append(line(limited.current_ma, 'stroke="#0a58ca" stroke-width="1.5"'))
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(BREAKER_MA):.1f}" y2="{y(BREAKER_MA):.1f}" stroke="#c00"/>')
    legend = (("#999", f"no limit, {free.kwh:.0f} kWh"), ("#0a58ca", f"site, {limited.kwh:.0f} kWh"), ("#c00", "breaker, 32 A"))
    for number, (colour, text) in enumerate(legend):
        parts.append(f'<text x="{WIDTH - 170}" y="{TOP + 6 + 16 * number}" fill="{colour}">{text}</text>')
    for number in range(PLUGS):
        row_y = rows_top + number * ROW
        parts.append(f'<text x="{LEFT - 8}" y="{row_y + 12}" text-anchor="end">plug {number + 1}</text>')
        start: int | None = None
        for step in range(LAST_S // STEP_S + 1):
            is_on = step < LAST_S // STEP_S and limited.on[step][number]
            if is_on and start is None:
                start = step
            elif not is_on and start is not None:
                parts.append(f'<rect x="{x(start):.1f}" y="{row_y + 2}" width="{x(step) - x(start):.1f}" height="{ROW - 5}" fill="#0a58ca"/>')
                start = None
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    console = Console(highlight=False, width=200)
    charges = busiest_day()
    begins_s = charges[0].arrival - 3600
    free, limited = (simulate(charges, 10_000, breaker_ma) for breaker_ma in (PLUGS * 10_000, BREAKER_MA))
    (Path(__file__).parents[1] / "docs/sites.svg").write_text(svg(limited, free, begins_s))
    for found in figures():
        console.print(f"{found.name}: {found.value:.1f} kWh beside {found.beside:.1f} kWh")
    for name, one in (("no limit", free), ("site", limited)):
        whole = sum(one.delivered[charge] >= wished for charge, wished in one.wished.items())
        worst = min(one.delivered[charge] / free.delivered[charge] for charge in one.wished)
        console.print(f"{name}: {len(one.wished)} visits, {whole} whole, worst {worst:.0%}, {one.switched} switchings, peak {max(one.current_ma)} mA")


if __name__ == "__main__":
    main()
