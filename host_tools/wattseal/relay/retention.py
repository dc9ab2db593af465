"""Has the store forget what is no longer needed."""

import asyncio
import logging
import time
from collections.abc import Callable

from wattseal.errors import StoreError
from wattseal.store import Store

DAY_S = 86_400
_EVERY_S = 3600

_log = logging.getLogger(__name__)


class Forgetting:
    """Forgets interim receipts some days after a session is settled, and the whole session when no law asks for it any more."""

    def __init__(self, store: Store, interim_days: int, session_days: int) -> None:
        """Days are counted from the last settlement on; `session_days` should not be below `interim_days`."""
        self._store = store
        self._interim_s = interim_days * DAY_S
        self._session_s = session_days * DAY_S

    async def run(self) -> None:
        """Look every hour, for ever."""
        while True:
            try:
                await asyncio.to_thread(self.forget)
            except StoreError as error:
                _log.error("cannot forget", extra={"code": error.code, "why": str(error)})
            await asyncio.sleep(_EVERY_S)

    def forget(self) -> None:
        """Forget all that is due now. Raises StoreError."""
        now = int(time.time())
        interim = _all(lambda: self._store.forget_interim(now - self._interim_s))
        sessions = _all(lambda: self._store.forget_sessions(now - self._session_s))
        self._store.forget_transactions(now - self._session_s)
        if interim or sessions:
            _log.info("forgot", extra={"interim_receipts_of_sessions": interim, "sessions": sessions})


def _all(step: Callable[[], int]) -> int:
    total = 0
    while done := step():
        total += done
    return total
