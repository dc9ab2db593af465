"""The time by the chain: what a plug's clock is set from, and what it must not be far ahead of."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from wattseal.errors import GatewayError, Implausible

# A plug's clock goes on while the chain has no block; and a chain's own clock may be off by as much as its validators allow.
MAX_AHEAD_S = 3600
_ASK_EVERY_S = 1  # while somebody is ahead

_log = logging.getLogger(__name__)


class ChainTime:
    """The newest header's time that was seen, and how long ago that was."""

    def __init__(self, head_timestamp: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """`head_timestamp` asks the chain for the UTC seconds of its newest header, and raises GatewayError."""
        self._head_timestamp = head_timestamp
        self._newest: int | None = None
        self._seen_at = 0.0
        self._asked: asyncio.Task[int] | None = None

    @property
    def newest(self) -> int | None:
        """UTC second of the newest header that was seen, None before the first."""
        return self._newest

    async def ask(self) -> int:
        """Return the UTC seconds of the chain's newest header; who asks while another waits for it waits for the same answer. Raises GatewayError."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._look())
        return await asyncio.shield(self._asked)

    async def _look(self) -> int:
        utc = await self._head_timestamp()
        self._newest = max(utc, self._now() or 0)
        self._seen_at = time.monotonic()
        return utc

    async def check(self, utc: int) -> None:
        """Raise Implausible where a time (UTC seconds) is more than an hour ahead of the chain; while the chain was never reached, do not."""
        if not self._is_ahead(utc):
            return
        if time.monotonic() - self._seen_at >= _ASK_EVERY_S:
            try:
                await self.ask()
            except GatewayError as error:
                _log.warning("the chain's time is not known", extra={"code": error.code, "why": str(error)})
                return
        if self._is_ahead(utc):
            raise Implausible(f"the receipt's time {utc} is more than {MAX_AHEAD_S} s ahead of the chain's, {self._now()}: check the plug's clock")

    def _now(self) -> int | None:
        return None if self._newest is None else self._newest + int(time.monotonic() - self._seen_at)

    def _is_ahead(self, utc: int) -> bool:
        now = self._now()
        return now is not None and utc > now + MAX_AHEAD_S
