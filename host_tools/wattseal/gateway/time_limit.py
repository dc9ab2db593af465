"""How long one question may take, however many servers are asked for it: a deadline that all that is called on the way sees."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

from wattseal.errors import TimeUp

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give what is called inside, in this thread or a task of it, so many seconds at most; an outer limit that ends earlier stays."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextlib.contextmanager
def held(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock. Raises TimeUp when it does not become free in time."""
    while not lock.acquire(timeout=min(left_s(), threading.TIMEOUT_MAX)):
        pass
    try:
        yield
    finally:
        lock.release()


def left_s() -> float:
    """Return the seconds that are left, infinite without a limit. Raises TimeUp when there are none."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise TimeUp("the time for this question is up; ask again, for less at once, or give faster servers")
    return left
