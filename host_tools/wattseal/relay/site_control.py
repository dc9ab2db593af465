"""Tells the plugs of each site what its planner grants, and the planner what the plugs say (docs/sites.md)."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wattseal.errors import UnknownPlug, UnknownSession
from wattseal.protocol.messages import Budget, Ping, Refused, Status, to_hex
from wattseal.relay.links import Connection
from wattseal.relay.sites import Planner, Sight, Site
from wattseal.store import Store

STEP_S = 5
_MAX_STALE = 30  # of as many minutes; a connection does not stay silent for so long

_log = logging.getLogger(__name__)


@dataclass
class _Line:
    """A plug's connection. A plug answers its pings in order, so what was sent before one is taken when as many pongs have come.

    At a broker pongs to the pings of an earlier connection may come first; `stale` is how many.
    """

    connection: Connection
    stale: int = 0
    sends: int = 0
    pongs: int = 0
    awaits: int | None = None  # so many pongs say that the newest budget is taken

    async def say(self, current_ma: int) -> None:
        self.sends += 1
        mine, self.awaits = self.sends, None
        await self.connection.send(Budget(current_ma))
        if mine == self.sends:
            self.awaits = self.connection.pings + 1 + self.stale
        for _ in range(1 + self.stale):
            await self.connection.send(Ping())

    def unanswered(self) -> int:
        """Return how many pongs may come on the next connection."""
        return max(0, min(self.stale + self.connection.pings - self.pongs, _MAX_STALE))


class SiteControl:
    """The sites of a relay. Grants are not kept over a restart: a planner that begins anew counts whatever may have been granted before."""

    def __init__(
        self, sites: Iterable[Site], store: Store, clock: Callable[[], float] = time.monotonic, utc: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives seconds and never goes back, `utc` those of the vouchers."""
        self._store = store
        self._clock = clock
        self._utc = utc
        self._planners = [Planner(site, self._now()) for site in sites]
        self._planner_of = {plug: planner for planner in self._planners for plug in planner.site.plugs}
        self._lines: dict[bytes, _Line] = {}
        self._stale: dict[bytes, int] = {}
        self._departures: dict[bytes, tuple[bytes, int]] = {}  # plug -> (session, UTC second that its driver wishes)
        self._due = asyncio.Event()

    async def run(self) -> None:
        """Plan for ever, at once when a plug says something."""
        while True:
            self.step()
            with suppress(TimeoutError):
                async with asyncio.timeout(STEP_S):
                    await self._due.wait()

    def step(self) -> None:
        """Plan now; the messages go out as fast as each plug reads."""
        self._due.clear()
        now_s = self._now()
        for planner in self._planners:
            for plug, current_ma in planner.plan(now_s):
                line = self._lines[plug]
                _log.info("budget", extra={"site": planner.site.name, "plug": to_hex(plug), "current_ma": current_ma})
                line.connection.spawn(line.say(current_ma))

    # -- what the relay hears ---------------------------------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        """A plug has connected, perhaps while an older connection of it is still open."""
        planner = self._planner_of.get(connection.plug)
        if planner is not None:
            older = self._lines.get(connection.plug)
            stale = older.unanswered() if older else self._stale.pop(connection.plug, 0)
            self._lines[connection.plug] = _Line(connection, stale)
            planner.connected(connection.plug, self._now())
            self._due.set()

    def disconnected(self, connection: Connection) -> None:
        """A connection has ended."""
        line = self._lines.get(connection.plug)
        if line is not None and line.connection is connection:
            del self._lines[connection.plug]
            self._stale[connection.plug] = line.unanswered()
            self._planner_of[connection.plug].disconnected(connection.plug)
            self._due.set()

    def saw(self, connection: Connection, status: Status) -> None:
        """A plug has sent a status. Raises StoreError."""
        planner, line = self._planner_of.get(connection.plug), self._lines.get(connection.plug)
        if planner is not None and line is not None and line.connection is connection:
            planner.saw(connection.plug, self._sight(connection.plug, status), self._now())
            self._due.set()

    def answered(self, connection: Connection) -> None:
        """A plug has sent a pong."""
        line = self._lines.get(connection.plug)
        if line is None or line.connection is not connection:
            return
        line.pongs += 1
        if line.awaits is not None and line.pongs >= line.awaits:
            line.awaits = None
            self._planner_of[connection.plug].taken(connection.plug, self._now())
            self._due.set()

    def refused(self, connection: Connection, message: Refused) -> None:
        """A plug has refused something; a frame that it could not read may have been a budget."""
        line = self._lines.get(connection.plug)
        if message.code == "bad_frame" and line is not None and line.connection is connection:
            line.sends += 1
            line.awaits = None
            self._planner_of[connection.plug].lost(connection.plug)

    # -- what the API asks ------------------------------------------------------------------------------------------------------------

    def controls(self, plug: bytes) -> bool:
        """Whether a plug is behind a site's breaker."""
        return plug in self._planner_of

    def wish(self, plug: bytes, departs_at: int) -> None:
        """Take the UTC second at which the driver of the running session wants to leave. Raises UnknownPlug or UnknownSession."""
        line = self._lines.get(plug)
        if plug not in self._planner_of:
            raise UnknownPlug(f"no site has the plug {to_hex(plug)}: add it to the relay's settings")
        if line is None or line.connection.status is None or line.connection.status.session is None:
            raise UnknownSession(f"plug {to_hex(plug)} has no session now; wish again when one has started")
        self._departures[plug] = line.connection.status.session, departs_at
        self.saw(line.connection, line.connection.status)

    def pages(self) -> list[dict[str, Any]]:
        """Return each site as the API shows it."""
        now_s = self._now()
        return [
            {
                "name": planner.site.name,
                "breaker_ma": planner.site.breaker_ma,
                "reserve_ma": planner.site.reserve_ma,
                "may_draw_ma": planner.drawn_ma(now_s),
                "drawn_ma": sum(self._drawn_ma(plug) for plug in planner.site.plugs),
                "plugs": [{"plug": to_hex(plug), **planner.page(plug, now_s)} for plug in planner.site.plugs],
            }
            for planner in self._planners
        ]

    # -- below ------------------------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock())

    def _drawn_ma(self, plug: bytes) -> int:
        """Return what a plug says that it draws, 0 while it is not connected."""
        line = self._lines.get(plug)
        return line.connection.status.current_ma if line and line.connection.status else 0

    def _sight(self, plug: bytes, status: Status) -> Sight:
        claims = status.state == "charging"
        wants = claims or status.state == "suspended"
        is_open = status.contactor == 0 and status.guard in ("open", "tripped") and not claims
        accepted = self._store.voucher(status.session) if wants and status.session is not None else None
        if accepted is None:
            return Sight(wants, claims, is_open, status.weld == "welded", self._now() + (1 << 31))
        session, departs_at = self._departures.get(plug, (b"", 0))
        if session != accepted.session:
            self._departures.pop(plug, None)
            departs_at = accepted.voucher.validUntil
        departs_at_s = self._now() + departs_at - int(self._utc())
        return Sight(wants, claims, is_open, status.weld == "welded", departs_at_s, accepted.voucher.pricePerKwh)
