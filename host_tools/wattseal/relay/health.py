"""Whether the relay can do its work, and why not (docs/operations.md)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wattseal.errors import WattsealError

CHECK_TIMEOUT_S = 5
KEEP_S = 2  # an answer serves everybody who asks within this

Check = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True)
class Reason:
    """A check that failed, and what to do about it."""

    check: str
    why: str


class Health:
    """The checks of one relay, each made at most every KEEP_S seconds however many ask."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._asked: asyncio.Task[list[Reason]] | None = None
        self._asked_at = 0.0

    def add(self, name: str, check: Check) -> None:
        """Add a check, which returns None or why it fails, or raises WattsealError."""
        self._checks[name] = check

    async def reasons(self) -> list[Reason]:
        """Return why the relay is not ready; nothing where it is."""
        now = time.monotonic()
        if self._asked is None or (self._asked.done() and now - self._asked_at >= KEEP_S):
            self._asked, self._asked_at = asyncio.create_task(self._make()), now
        return await asyncio.shield(self._asked)

    async def _make(self) -> list[Reason]:
        found = await asyncio.gather(*(_made(check) for check in self._checks.values()))
        return [Reason(name, why) for name, why in zip(self._checks, found, strict=True) if why is not None]


async def _made(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S} s"
    except WattsealError as error:
        return f"{error} [{error.code}]"
