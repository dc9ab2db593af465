"""What the relay asks of the chain, and the threads in which it waits for the answers."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from wattseal.errors import GatewayError
from wattseal.gateway.settlements import Step
from wattseal.gateway.types import Claim, SessionState

GATEWAY_THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")


class Gateway(Protocol):
    """What the relay asks of the chain. Thread-safe; everything raises GatewayError, whose `retry` says whether to come back."""

    def head_timestamp(self) -> int:
        """UTC seconds of the newest header."""
        ...

    def session_state(self, session: bytes) -> SessionState:
        """The proven state of a session (32 bytes)."""
        ...

    @property
    def sender(self) -> bytes | None:
        """The address that pays for gas, None without a key."""
        ...

    def base_fee_wei(self) -> int:
        """The newest header's base fee for a unit of gas."""
        ...

    def settle_many(self, claims: Sequence[Claim]) -> list[Step]:
        """Take each claim a step towards its payment and return where it stands; safe to repeat."""
        ...


class ChainThreads:
    """Runs what waits for the chain beside the event loop."""

    def __init__(self, failed: Callable[[GatewayError], None] = lambda error: None) -> None:
        """`failed` is told every error of the chain."""
        self.failed = failed
        self._threads = ThreadPoolExecutor(GATEWAY_THREADS, "gateway")

    async def ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a call returns, or raise what it raises."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))
        except GatewayError as error:
            self.failed(error)
            raise

    def close(self) -> None:
        """Let go of the threads; what still runs in them is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
