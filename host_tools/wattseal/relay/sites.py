"""Shares the current of one breaker among the plugs behind it (docs/sites.md). No clock, no input or output: events and times come as arguments.

A plug is on or off: it is granted its whole continuous limit or nothing, by `budget` messages of 15 minutes. What counts against the breaker
is not what was granted last, but what a plug may still draw by anything ever sent to it: see `Planner._may_draw`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LIFE_S = 900  # of a budget, from when the plug takes it
MIN_ON_S = 900  # the guard's: contacts that are closed stay so for as long
MIN_OFF_S = 900
OPENING_S = 10  # from the end of a claim to open contacts: 2 s for the current to fall, sampling, and a crystal's error
DELIVERY_S = 600  # after as long without a frame both ends close a connection: what was not delivered by then never is
RENEW_S = 240  # three tries within a budget's life
RESEND_S = 60
TURN_S = 1800  # a plug keeps its current this long before another one's turn: half of the wear that the shortest turn would cost
USELESS_S = 60  # a session with a budget claims the contacts at once, unless something else keeps it from it
PAUSE_S = 300  # until it is tried again
STATUS_S = 60  # a plug's first status of a connection comes with its hello

# A grant may be taken as late as a message can come, and the contacts closed at its very end.
_LONGEST_S = DELIVERY_S + LIFE_S + MIN_ON_S + OPENING_S
_HORIZON_S = 8 * 3600  # a departure later than this is not urgent
_ONE = 1000  # weights are in thousandths
_HEAVIEST = 4 * _ONE


@dataclass(frozen=True, slots=True)
class Site:
    """A breaker and the plugs behind it, each (20 bytes) with its continuous limit. `reserve_ma` is kept for everything else behind it."""

    name: str
    breaker_ma: int
    reserve_ma: int
    plugs: Mapping[bytes, int]

    @property
    def capacity_ma(self) -> int:
        """What the plugs may draw together."""
        return self.breaker_ma - self.reserve_ma


@dataclass(frozen=True, slots=True)
class Sight:
    """What a plug's newest status says, and the terms of its session. `departs_at_s` is on the planner's clock, the price in token base units."""

    wants: bool  # a session is charging or suspended
    claims: bool  # it has the contacts closed, or asks the guard to: nothing is wanting, current included
    is_open: bool  # the contacts are open, and nothing but a new claim closes them
    is_welded: bool = False
    departs_at_s: int = 0
    price_per_kwh: int = 0


@dataclass(slots=True)
class _Plug:
    limit_ma: int
    ends_s: int  # by then the contacts are open, whatever was lost, unless another grant is sent
    is_released: bool = False  # nothing that was sent can close or keep closed the contacts any more
    known: bool = False  # anything was sent since the planner began
    online: bool = False
    online_s: int = 0
    granted: bool = False
    held_s: int = 0  # since when it has been granted without a break
    sent_s: int | None = None  # the newest budget on this connection
    sent_ma: int = 0
    taken_s: int | None = None  # since when the plug is known to have taken it
    sight: Sight | None = None  # of this connection
    seen_s: int | None = None  # when the first status after `taken_s` came
    is_welded: bool = False
    opened_s: int | None = None  # when the contacts were seen to open within a session
    paused_s: int = 0  # not granted before
    waiting_s: int | None = None  # since when it has wanted current
    share: int = 0  # thousandths of a second that it was granted, each divided by its weight

    @property
    def wants(self) -> bool:
        return self.sight is not None and self.sight.wants


class Planner:
    """Decides for one site who may draw. Times are integer seconds of a clock that never goes back."""

    def __init__(self, site: Site, now_s: int) -> None:
        """Begin knowing nothing: whatever an earlier planner has granted up to now is counted until it must have run out, or is seen not to be."""
        self.site = site
        self._plugs = {plug: _Plug(limit_ma, now_s + _LONGEST_S) for plug, limit_ma in site.plugs.items()}
        self._began_s = self._planned_s = now_s

    # -- what happens -----------------------------------------------------------------------------------------------------------------

    def connected(self, plug: bytes, now_s: int) -> None:
        """A plug has connected; whether the last messages on an older connection reached it is unknown."""
        one = self._plugs[plug]
        one.online, one.online_s, one.sight = True, now_s, None
        one.sent_s = one.taken_s = one.seen_s = None

    def disconnected(self, plug: bytes) -> None:
        """A plug's connection has ended."""
        self._plugs[plug].online = False

    def taken(self, plug: bytes, now_s: int) -> None:
        """A plug has answered something that was sent after its newest budget: it has taken that one and all before it."""
        one = self._plugs[plug]
        if one.sent_s is not None and one.taken_s is None:
            one.taken_s = now_s

    def lost(self, plug: bytes) -> None:
        """A plug has refused a frame that it could not read: it may have been its newest budget."""
        one = self._plugs[plug]
        one.sent_s = one.taken_s = one.seen_s = None

    def saw(self, plug: bytes, sight: Sight, now_s: int) -> None:
        """A plug has sent a status. It must have been made after every answer that came before it."""
        one = self._plugs[plug]
        if not sight.wants:
            one.opened_s = one.waiting_s = None  # the end of a session ends the minimum off time too
        elif sight.is_open and one.sight is not None and not one.sight.is_open:
            one.opened_s = now_s
        if sight.wants and one.waiting_s is None:
            one.waiting_s = now_s
            one.share = max(one.share, min((other.share for other in self._plugs.values() if other is not one and other.wants), default=0))
        one.sight, one.is_welded = sight, sight.is_welded
        if one.taken_s is not None:
            one.seen_s = one.seen_s or now_s
            one.is_released = one.is_released or (one.sent_ma == 0 and sight.is_open)

    # -- what to do about it ----------------------------------------------------------------------------------------------------------

    def plan(self, now_s: int) -> list[tuple[bytes, int]]:
        """Return the budgets (plug, mA) to send now, to connected plugs only; they are counted as sent."""
        self._account(now_s)
        for one in self._plugs.values():
            self._adopt(one, now_s)
            if one.granted and self._is_over(one, now_s):
                one.granted = False
        self._shed(now_s)
        self._grant(now_s)
        return [(plug, one.sent_ma) for plug, one in self._plugs.items() if self._send(one, now_s)]

    def drawn_ma(self, now_s: int) -> int:
        """Return the most that the plugs may draw together now, by anything that was ever sent to them."""
        return sum(one.limit_ma for one in self._plugs.values() if self._may_draw(one, now_s))

    def page(self, plug: bytes, now_s: int) -> dict[str, int | bool | None]:
        """Return what the planner holds of a plug. Times are seconds ago."""
        one = self._plugs[plug]
        return {
            "limit_ma": one.limit_ma,
            "connected": one.online,
            "wants": one.wants,
            "granted": one.granted,
            "may_draw": self._may_draw(one, now_s),
            "waited_s": now_s - one.waiting_s if one.waiting_s is not None and not one.granted else None,
            "weight_permille": self._weight(one, now_s) if one.wants else None,
            "uncontrolled": self._is_uncontrolled(one, now_s),
        }

    # -- below ------------------------------------------------------------------------------------------------------------------------

    def _may_draw(self, one: _Plug, now_s: int) -> bool:
        """Whether anything that a plug was ever sent may still have its contacts closed, or they are known to be."""
        is_closed = one.online and one.sight is not None and not one.sight.is_open
        return one.granted or is_closed or one.is_welded or not (one.is_released or now_s >= one.ends_s)

    def _is_leaving(self, one: _Plug, now_s: int) -> bool:
        """Whether a plug is about to open its contacts, or they may be open already."""
        return not (one.granted or one.is_welded or one.is_released or now_s >= one.ends_s)

    def _is_uncontrolled(self, one: _Plug, now_s: int) -> bool:
        """Whether a plug claims its contacts though it has taken a budget of 0: its configuration lacks `site`."""
        is_late = one.taken_s is not None and now_s >= one.taken_s + OPENING_S
        return one.online and one.sent_ma == 0 and is_late and one.seen_s is not None and one.sight is not None and one.sight.claims

    def _account(self, now_s: int) -> None:
        for one in self._plugs.values():
            if one.granted:
                one.share += (now_s - self._planned_s) * _ONE * _ONE // self._weight(one, now_s)
        self._planned_s = now_s

    def _weight(self, one: _Plug, now_s: int) -> int:
        """Return how large a plug's share is, 1 to 4 times, in thousandths: by price above the lowest one, and by how near its departure is."""
        if one.sight is None:
            return _ONE
        lowest = min((other.sight.price_per_kwh for other in self._plugs.values() if other.sight and other.wants), default=0)
        price = one.sight.price_per_kwh
        by_price = _ONE * price // lowest if lowest else _HEAVIEST if price else _ONE
        by_departure = _ONE * _HORIZON_S // max(one.sight.departs_at_s - now_s, 1)
        return max(_ONE, min(max(_ONE, by_price) * max(_ONE, by_departure) // _ONE, _HEAVIEST))

    def _adopt(self, one: _Plug, now_s: int) -> None:
        """Let a plug go on that charges by a grant from before this planner began: it is among those that had the breaker then."""
        is_recent = now_s < self._began_s + _LONGEST_S
        if one.known or not one.online or one.sight is None or not one.sight.claims or not is_recent:
            return
        if self._known_ma(now_s) + one.limit_ma <= self.site.capacity_ma:
            one.granted, one.held_s = True, now_s

    def _is_over(self, one: _Plug, now_s: int) -> bool:
        """Whether a grant has run out, or is of no use."""
        if not one.online:
            return now_s >= one.ends_s - _LONGEST_S + LIFE_S
        if one.sight is None:
            return False
        if not one.sight.wants:
            return True
        if one.sight.claims or one.taken_s is None or one.seen_s is None or now_s < one.taken_s + USELESS_S:
            return False
        one.paused_s = now_s + PAUSE_S
        return True

    def _shed(self, now_s: int) -> None:
        """Take grants back, the largest share first, where the breaker carries less than before or a plug draws without one."""
        holders = sorted((one for one in self._plugs.values() if one.granted), key=lambda one: one.share)
        while holders and self._known_ma(now_s) > self.site.capacity_ma:
            holders.pop().granted = False

    def _known_ma(self, now_s: int) -> int:
        """Return what plugs have a grant for, or draw without one and will not stop."""
        return sum(one.limit_ma for one in self._plugs.values() if self._may_draw(one, now_s) and not self._is_leaving(one, now_s))

    def _grant(self, now_s: int) -> None:
        """Grant in the order of shares, the smallest first. Who does not fit has the largest ones' turns ended, and nobody overtakes."""
        for one in sorted((one for one in self._plugs.values() if self._is_eligible(one, now_s)), key=lambda one: (one.share, one.waiting_s)):
            needed_ma = 0 if self._may_draw(one, now_s) else one.limit_ma
            if self.drawn_ma(now_s) + needed_ma > self.site.capacity_ma:
                self._end_turns(one, needed_ma, now_s)
                return
            one.granted, one.held_s = True, now_s

    def _is_eligible(self, one: _Plug, now_s: int) -> bool:
        return (
            one.online
            and one.wants
            and not one.granted
            and one.limit_ma <= self.site.capacity_ma
            and now_s >= one.paused_s
            and (one.opened_s is None or now_s >= one.opened_s + MIN_OFF_S)
        )

    def _end_turns(self, waiting: _Plug, needed_ma: int, now_s: int) -> None:
        """End the turns of plugs with larger shares, if that makes room; not more than is needed beside what is about to open anyway."""
        others = self._plugs.values()
        leaving_ma = sum(one.limit_ma for one in others if one.online and one is not waiting and self._is_leaving(one, now_s))
        missing_ma = needed_ma + self.drawn_ma(now_s) - self.site.capacity_ma - leaving_ma
        candidates = [one for one in others if one.granted and now_s - one.held_s >= TURN_S and one.share > waiting.share]
        if missing_ma > sum(one.limit_ma for one in candidates):
            return
        for one in sorted(candidates, key=lambda one: -one.share):
            if missing_ma <= 0:
                return
            one.granted = False
            missing_ma -= one.limit_ma

    def _send(self, one: _Plug, now_s: int) -> bool:
        """Return whether a plug must be sent `sent_ma` now."""
        if not one.online or (one.sight is None and now_s < one.online_s + STATUS_S):
            return False  # a first 0 would open the contacts of one that may go on
        wanted_ma = one.limit_ma if one.granted else 0
        if one.sent_s is not None and one.sent_ma == wanted_ma:
            pause_s = RENEW_S if one.granted else RESEND_S
            if now_s < one.sent_s + pause_s or (not one.granted and one.taken_s is not None):
                return False
        one.known, one.sent_s, one.sent_ma = True, now_s, wanted_ma
        one.taken_s = one.seen_s = None
        if wanted_ma:
            one.ends_s, one.is_released = now_s + _LONGEST_S, False
        return True
